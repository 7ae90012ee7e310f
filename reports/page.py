"""The page: every grid's figure beside the paper's, its claims with verdicts, its numbers. One HTML file, no asset."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports.claims import VERDICTS, Verdict
from reports.edits import edits, record_text
from reports.figures import describe, draw
from reports.forest import HEIGHT, WIDTH, Forest, forests
from reports.inputs import GridResult, load_results
from reports.metrics import headed, number, paper_name, quantity
from reports.reference import Untrained, untrained
from reports.selectors import level_text
from reports.style import save
from reports.tables import (
    cell_table,
    comparison_table,
    csv_text,
    latex,
    mean_text,
    tuned_rows,
    verdict_table,
    wide_rows,
)

_FEW_ROWS = 12  # a table up to this long is shown open


@dataclass(frozen=True)
class Section:
    """What the template shows of one grid at one scale."""

    result: GridResult
    slug: str
    paper: str
    svg: Markup
    finding: str
    claims: list[tuple[Verdict, Forest | None]]
    header: list[str]
    rows: list[list[str]]
    untrained: list[Untrained]
    states: list[tuple[str, int]]
    notable: list[tuple[str, str, list[int]]]
    labels: str
    edited: Mapping[str, str]
    record: str
    tuned: list[tuple[str, str, str]]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The grid's JSON."""
        return self.result.spec


def write_site(results_dir: Path, out_dir: Path, names: Sequence[str] | None = None) -> Path:
    """Write ``index.html``, ``figures/`` and ``tables/`` from a results folder; returns the path of the page.

    ``names``: grids (``grid`` or ``grid.scale``), all of the folder if None. Raises InputError before anything is
    written; every file is replaced whole.
    """
    files: dict[str, bytes] = {}
    sections = [_section(result, files) for result in load_results(Path(results_dir), names)]
    files["index.html"] = render(sections).encode()
    for name, content in files.items():
        _replace(Path(out_dir) / name, content)
    return Path(out_dir) / "index.html"


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _section(result: GridResult, files: dict[str, bytes]) -> Section:
    """One grid's part of the page; adds its figures and tables to ``files``."""
    slug = f"{result.name}.{result.scale}"
    figure, finding = draw(result), describe(result)
    svg = save(figure, "svg")
    verdicts = result.verdicts
    caption = f"{result.spec['title']}, scale {result.scale} on {result.datasets}: mean and 95 % half-width over seeds."
    files[f"figures/{slug}.svg"] = svg
    files[f"figures/{slug}.pdf"] = save(figure, "pdf")
    files[f"tables/{slug}.csv"] = csv_text(cell_table(result)).encode()
    files[f"tables/{slug}.tex"] = latex(result, caption).encode()
    files[f"tables/{slug}.claims.csv"] = csv_text(comparison_table(verdicts)).encode()
    files[f"tables/{slug}.verdicts.csv"] = csv_text(verdict_table(verdicts, edits(result.spec))).encode()
    header, rows = wide_rows(result)
    return Section(
        result=result,
        slug=slug,
        paper=paper_name(result.spec["paper"]["key"]),
        svg=inline_svg(svg.decode(), slug, finding),
        finding=finding,
        claims=list(zip(verdicts, forests(verdicts), strict=True)),
        header=header,
        rows=rows,
        untrained=untrained(result),
        states=list(Counter(run["state"] for cell in result.spec["cells"] for run in cell["runs"]).items()),
        notable=_notable(result),
        labels=_labels(result),
        edited=edits(result.spec),
        record=record_text(result.spec),
        tuned=tuned_rows(result),
    )


def _labels(result: GridResult) -> str:
    counts = {int(count) for count in result.frame["num_labels"].dropna()}
    return " and ".join(f"{count:,}" for count in sorted(counts))


def _notable(result: GridResult) -> list[tuple[str, str, list[int]]]:
    """(what, cell, seeds) of the runs that are no ordinary success: not done, collapsed, diverged."""
    runs = result.frame.drop_duplicates(["label", "run_id"])
    what = runs["outcome"].where(
        runs["outcome"].isin(["collapsed", "diverged"]) & (runs["state"] == "done"), runs["state"]
    )
    odd = runs.assign(what=what)[what != "done"]
    return [
        (str(state), str(label), [int(seed) for seed in group["seed"]])
        for (state, label), group in odd.groupby(["what", "label"], sort=False)
    ]


def inline_svg(svg: str, slug: str, finding: str) -> Markup:
    """An SVG file as an element of the page: ids made unique by ``slug``, its style rule kept from the rest."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)
    prefix = re.sub(r"[^\w-]", "-", slug)
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", body)
    width = re.search(r'viewBox="0 0 ([\d.]+)', body)
    least = f"{0.9 * float(width[1]):.0f}px" if width else "auto"  # text would be too small to read below that
    head = Markup('<svg role="img" aria-label="{}" style="min-width:{}" stroke-linejoin="round" stroke-linecap="butt"')
    body = re.sub(r' (?:width|height)="[\d.]+pt"', "", body, count=2)
    return head.format(finding, least) + Markup(body.removeprefix("<svg"))  # noqa: S704 - drawn here, text escaped


def _interval(verdict: Verdict) -> str:
    decimals, sign = verdict.decimals, verdict.signed
    return f"[{number(verdict.low, decimals, sign=sign)}, {number(verdict.high, decimals, sign=sign)}]"


def _setting(value: object, key: str) -> str:
    """A value of the configuration; a dash where that side does not have the setting."""
    if value is None:
        return "–"
    if value == 0 and key.rpartition(".")[2] in ("train_images", "num_labels"):
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, list) else level_text(value)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "quantity": quantity,
        "interval": _interval,
        "band": _band,
        "p_value": _p_value,
        "mean_text": mean_text,
        "css_class": lambda verdict: verdict.replace(" ", "-"),
        "duration": _duration,
        "setting": _setting,
        "capfirst": headed,
        "sentence": lambda text: headed(text) + ("" if text.endswith(".") else "."),
    }
    macros: Any = environment.get_template("macros.html").module
    environment.globals |= {"badge": macros.badge, "forest": macros.forest}
    return environment


def _band(verdict: Verdict) -> str:
    """The band of the known seed noise around the paper's estimate; empty where it is not known."""
    low, high = verdict.trial.low, verdict.trial.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    low_text, high_text = (number(bound, verdict.decimals, sign=verdict.signed) for bound in (low, high))
    return f"[{low_text}, {high_text}]"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else number(value, 3)


def _duration(seconds: float | None) -> str:
    """Core-seconds in a unit that a person would choose."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} core-seconds"
    return f"{seconds / 60:.0f} core-minutes" if seconds < 7200 else f"{seconds / 3600:.1f} core-hours"


def render(sections: Sequence[Section]) -> str:
    """The page as HTML; the same sections give the same text."""
    verdicts = Counter(verdict.verdict for section in sections for verdict, _ in section.claims)
    return (
        _environment()
        .get_template("index.html")
        .render(
            sections=sections,
            tally=[(name, verdicts[name]) for name in VERDICTS],
            few_rows=_FEW_ROWS,
            forest_width=WIDTH,
            forest_height=HEIGHT,
        )
    )
