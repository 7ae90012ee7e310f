"""What a page says of one grid at one scale: worked out once, for its page, its JSON twin and the overview."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from formats.levels import level_text
from reports.claims.edits import edits, record_text
from reports.claims.verdicts import VERDICTS, Verdict
from reports.figures.drawing import describe
from reports.inputs import GridResult
from reports.metrics import paper_name
from reports.page.forest import Forest, forests
from reports.page.numbers import NumberTable, number_table, run_kind
from reports.page.tables import tuned_rows
from reports.page.untrained import Untrained, untrained
from reports.paths import safe_name


@dataclass(frozen=True)
class Odd:
    """Runs of one cell that are no ordinary success, for one reason; ``error`` is what the first of them left."""

    kind: str
    cell_id: str
    label: str
    runs: list[tuple[str, int]]
    error: str


@dataclass(frozen=True)
class Section:
    """One grid at one scale, read, judged and described."""

    result: GridResult
    slug: str
    paper: str
    finding: str
    headline: str
    verdicts: list[Verdict]
    forests: list[Forest | None]
    numbers: NumberTable
    untrained: list[Untrained]
    run_states: list[tuple[str, int]]
    odd: list[Odd]
    trained: str
    labels: str
    edited: Mapping[str, str]
    record: str
    tuned: list[tuple[str, dict[str, str], str]]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The grid's JSON."""
        return self.result.spec

    @property
    def cost(self) -> Mapping[str, Any]:
        """``estimated_core_s``, ``estimated_by`` (words) and ``actual_core_s``.

        Tables that do not say what an estimate rests on have one that was worked out from the runs themselves.
        """
        found = self.spec["cost"]
        none = {"estimated_core_s": None, "estimated_by": "no estimate was kept before the first run"}
        return found if found.get("estimated_by") else {**found, **none}


def slug_of(result: GridResult) -> str:
    """``<grid>.<scale>``, by which its files are called."""
    return safe_name(f"{result.name}.{result.scale}", "a grid's name and scale")


def section(result: GridResult) -> Section:
    """All that a page says of a grid, figures and tables aside."""
    verdicts = result.verdicts
    runs = [run for cell in result.spec["cells"] for run in cell["runs"]]
    return Section(
        result=result,
        slug=slug_of(result),
        paper=paper_name(result.spec["paper"]["key"]),
        finding=describe(result),
        headline=headline([verdict.verdict for verdict in verdicts]),
        verdicts=verdicts,
        forests=forests(verdicts),
        numbers=number_table(result),
        untrained=untrained(result),
        run_states=list(Counter(str(run["state"]) for run in runs).items()),
        odd=_odd(result),
        trained=_trained(result.spec.get("base") or {}),
        labels=" and ".join(f"{int(count):,}" for count in sorted(set(result.frame["num_labels"].dropna()))),
        edited=edits(result.spec),
        record=record_text(result.spec),
        tuned=tuned_rows(result),
    )


def headline(verdicts: list[str]) -> str:
    """What was found, in a few words: ``2 claims supported, 1 undecided``."""
    counts = [(name, verdicts.count(name)) for name in VERDICTS if name in verdicts]
    if not counts:
        return "no claims"
    (first, most), *others = counts
    if not others and most > 1:
        return f"{'both' if most == 2 else f'all {most}'} claims {first}"
    words = [f"{most} {'claim' if most == 1 else 'claims'} {first}"]
    return ", ".join([*words, *(f"{count} {name}" for name, count in others)])


def _trained(base: Mapping[str, Any]) -> str:
    """How long and in what precision all cells train, as far as no axis varies it; empty where it was not collected."""
    epochs, precision = base.get("training.epochs"), base.get("training.precision")
    words = [f"{level_text(epochs)} epochs"] if epochs is not None else []
    return " in ".join([*words, str(precision)] if precision is not None else words)


def _odd(result: GridResult) -> list[Odd]:
    found = []
    for cell in result.spec["cells"]:
        kinds: dict[str, list[Mapping[str, Any]]] = {}
        for run in cell["runs"]:
            if (kind := run_kind(run)) != "done":
                kinds.setdefault(kind, []).append(run)
        for kind, runs in kinds.items():
            errors = [str(result.provenance.get(run["run_id"], {}).get("error", "")).strip() for run in runs]
            error = next((text.splitlines()[-1] for text in errors if text), "") if kind == "failed" else ""
            ids = [(str(run["run_id"]), int(run["seed"])) for run in runs]
            found.append(Odd(kind, str(cell["cell_id"]), str(cell["label"]), ids, error))
    return sorted(found, key=lambda odd: odd.kind)  # stable: cells keep their order


def inline_svg(svg: str, slug: str, finding: str) -> Markup:
    """An SVG file as an element of the page: ids made unique by ``slug``, its font and style rules left to the page.

    ``<use href="#<id_prefix(slug)>-figure_1">`` draws it again.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{id_prefix(slug)}-", body)
    width, _ = svg_size(svg)
    least, most = f"{0.9 * width:.0f}px", f"{1.65 * width:.0f}px"  # between these its text is pleasant to read
    style = f"min-width:{least};max-width:{most}"
    head = Markup('<svg role="img" aria-label="{}" style="{}" stroke-linejoin="round" stroke-linecap="butt"')
    body = re.sub(r' (?:width|height)="[\d.]+pt"', "", body, count=2)
    return head.format(finding, style) + Markup(body.removeprefix("<svg"))  # noqa: S704 - drawn here, text escaped


def id_prefix(slug: str) -> str:
    """What the ids of a grid's inlined figure begin with, without dots."""
    return slug.replace(".", "-")


def svg_size(svg: str) -> tuple[float, float]:
    """Width and height of an SVG's view box."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return (float(found[1]), float(found[2])) if found else (400.0, 300.0)
