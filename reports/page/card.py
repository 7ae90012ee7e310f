"""What the overview says of one grid, as ``site/report.json`` keeps it for the next report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.claims.verdicts import VERDICTS
from reports.page.section import Section, svg_size
from reports.paths import safe_name

BAR = ("done", "running", "queued", "stale", "failed", "planned")
"""The states of a cell in the order of the progress bar."""

_THUMBNAIL = 1.75  # width over height; style.css has it too

_WORST_FIRST = ("failed", "stale", "running", "queued", "planned")


@dataclass(frozen=True)
class CardClaim:
    """A claim: its verdict, and how it stands on the paper's own numbers."""

    id: str
    says: str
    locus: str
    verdict: str
    printed: str


@dataclass(frozen=True)
class Card:
    """One grid at one scale. ``runs``: run id -> state; ``figure``: width and height of its SVG."""

    slug: str
    title: str
    question: str
    paper_key: str
    paper: str
    locus: str
    scale: str
    datasets: str
    num_seeds: str
    headline: str
    finding: str
    claims: list[CardClaim]
    cells: dict[str, int]
    runs: dict[str, str]
    estimated_core_s: float | None
    actual_core_s: float
    figure: tuple[float, float]

    @property
    def tall(self) -> bool:
        """Whether a thumbnail of the figure shows its upper part rather than all of it, small."""
        width, height = self.figure
        return width < _THUMBNAIL * height

    @property
    def num_cells(self) -> int:
        """Cells and references."""
        return sum(self.cells.values())

    @property
    def bar(self) -> list[tuple[str, int]]:
        """(state, cells) of the progress bar, those that there are."""
        return [(state, self.cells[state]) for state in BAR if self.cells.get(state)]

    @property
    def progress(self) -> str:
        """The progress bar in words: ``8 of 10 cells done, 1 running, 1 failed``."""
        done = self.cells.get("done", 0)
        start = f"all {done} cells done" if done == self.num_cells else f"{done} of {self.num_cells} cells done"
        return ", ".join([start, *(f"{count} {state}" for state, count in self.bar if state != "done")])

    @property
    def cost_ratio(self) -> str:
        """How much more or less than estimated was spent, once all is done; empty before, or without an estimate."""
        if not self.estimated_core_s or self.cells.get("done", 0) < self.num_cells:
            return ""
        percent = round(100 * (self.actual_core_s / self.estimated_core_s - 1))
        return f"{abs(percent)} % {'more' if percent > 0 else 'less'} than estimated" if percent else "as estimated"

    @property
    def tally(self) -> list[tuple[str, int]]:
        """(verdict, claims), those that there are."""
        counts = Counter(claim.verdict for claim in self.claims)
        return [(name, counts[name]) for name in VERDICTS if counts[name]]

    def to_json(self) -> dict[str, Any]:
        """As it stands in report.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Card:
        """Back from report.json. Raises TypeError, KeyError, ValueError or InputError for anything else."""
        claims = [CardClaim(**claim) for claim in content["claims"]]
        width, height = map(float, content["figure"])
        safe_name(content["slug"], "report.json")
        return cls(**{**content, "claims": claims, "figure": (width, height)})


def card(section: Section, svg: str) -> Card:
    """The card of a grid; ``svg`` is its figure."""
    spec = section.spec
    counts = sorted({len(cell["runs"]) for cell in spec["cells"] if cell["role"] == "cell"}) or [0]
    return Card(
        slug=section.slug,
        title=str(spec["title"]),
        question=str(spec["question"]),
        paper_key=str(spec["paper"]["key"]),
        paper=section.paper,
        locus=str(spec["paper"]["locus"]),
        scale=section.result.scale,
        datasets=section.result.datasets,
        num_seeds=" to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))),
        headline=section.headline,
        finding=section.finding,
        claims=[
            CardClaim(verdict.id, verdict.says, verdict.locus, verdict.verdict, verdict.trial.words)
            for verdict in section.verdicts
        ],
        cells=dict(Counter(_cell_state(cell["runs"]) for cell in spec["cells"])),
        runs={str(run["run_id"]): str(run["state"]) for cell in spec["cells"] for run in cell["runs"]},
        estimated_core_s=section.cost["estimated_core_s"],
        actual_core_s=float(section.cost["actual_core_s"] or 0.0),
        figure=svg_size(svg),
    )


def _cell_state(runs: Sequence[Mapping[str, Any]]) -> str:
    """``done`` if all its runs are; else the state that most asks to be looked at."""
    states = {run["state"] for run in runs} - {"done"}
    return next((state for state in _WORST_FIRST if state in states), "planned" if states else "done")
