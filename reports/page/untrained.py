"""Ours against the backbone as it was before training: where did training not beat it?"""

from __future__ import annotations

from dataclasses import dataclass

from reports.claims.evidence import cell_name
from reports.claims.stats import summarise
from reports.inputs import GridResult


@dataclass(frozen=True)
class Untrained:
    """A reference's mean and interval on the grid's metric, and the cells whose mean is not above that interval."""

    label: str
    mean: float
    half_width: float
    n: int
    not_beaten: list[tuple[str, float]]  # (cell, mean), lowest first
    num_cells: int


def untrained(result: GridResult) -> list[Untrained]:
    """One entry per reference of the grid that has a value."""
    rows = result.frame[result.frame["metric"] == result.metric]
    cells = summarise(rows[rows["role"] == "cell"], list(result.axes)).dropna(subset="mean")
    found = []
    for entry in summarise(rows[rows["role"] == "reference"], ["label"]).dropna(subset="mean").to_dict("records"):
        bound = entry["high"] if entry["n"] > 1 else entry["mean"]
        below = cells[cells["mean"] <= bound].sort_values("mean", kind="stable")
        names = [
            (cell_name({axis: str(cell[axis]) for axis in result.axes}), float(cell["mean"]))
            for cell in below.to_dict("records")
        ]
        found.append(
            Untrained(str(entry["label"]), entry["mean"], entry["half_width"], int(entry["n"]), names, len(cells))
        )
    return found
