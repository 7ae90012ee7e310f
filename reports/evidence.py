"""What a claim is judged by: the measured values of the cells that it names, and the paper's numbers for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.selectors import is_value, select
from reports.stats import Effect, Floats, difference


def cell_name(levels: Mapping[str, str]) -> str:
    """A short name for a cell: its levels in words, ``crop → color``; ``crop`` if they agree; else axis=level."""
    words = [level for level in levels.values() if not is_value(level)]
    values = [f"{axis}={level}" for axis, level in levels.items() if is_value(level)]
    name = words[0] if len(set(words)) == 1 else " → ".join(words)
    return ", ".join([name, *values] if words else values)


@dataclass(frozen=True)
class Evidence:
    """What a claim is judged by: values (seeds x cells) per metric, the cells of each side, and the paper's numbers."""

    group: list[str]
    than: list[str]
    names: Mapping[str, str]
    values: Mapping[str, pd.DataFrame]
    paper: Mapping[str, Mapping[str, float]]

    def sample(self, metric: str, cells: Sequence[str]) -> Floats:
        """One number a seed, (n,): the mean over the cells, of the seeds that all of them have."""
        complete = self.values[metric][list(cells)].dropna()
        return complete.mean(axis=1).to_numpy(dtype=float)

    def difference(self, metric: str, group: Sequence[str], than: Sequence[str], *, paired: bool) -> Effect:
        """Mean of the cells of ``group`` minus mean of those of ``than``."""
        if not paired:
            return difference(self.sample(metric, group), self.sample(metric, than))
        complete = self.values[metric][[*group, *than]].dropna()
        sides = (complete[list(side)].mean(axis=1).to_numpy(dtype=float) for side in (group, than))
        return difference(*sides, paired=True)

    def differences(self, metric: str, cell: str, others: Sequence[str], *, paired: bool) -> list[Effect]:
        """``difference`` of a cell to each of the others."""
        sample, samples = self.sample(metric, [cell]), [self.sample(metric, [other]) for other in others]
        if paired or len({len(other) for other in samples}) > 1:
            return [self.difference(metric, [cell], [other], paired=paired) for other in others]
        # All at once: a claim may rest on hundreds of comparisons.
        return difference(np.broadcast_to(sample, (len(others), len(sample))), np.stack(samples)).split()

    def paper_difference(self, metric: str, group: Sequence[str], than: Sequence[str]) -> float:
        """The same on the paper's numbers, NaN if one is missing."""
        printed = self.paper.get(metric, {})
        sides = [[printed.get(cell, math.nan) for cell in side] for side in (group, than)]
        return float(np.mean(sides[0]) - np.mean(sides[1]))


def gather(
    claim: Mapping[str, Any], frame: pd.DataFrame, axes: list[str], used: list[str], paper: pd.DataFrame | None
) -> tuple[Evidence, str]:
    """The evidence on a claim, and a sentence on the runs that it lacks (empty if none)."""
    rows = frame[(frame["role"] == "cell") & frame["metric"].isin(used)]
    levels = {
        str(row["cell_id"]): {axis: str(row[axis]) for axis in axes}
        for row in rows.drop_duplicates("cell_id").to_dict("records")
    }
    group, than = select(claim["group"], levels), select(claim["than"], levels)
    if claim["kind"] == "top":
        than = [cell for cell in than if cell not in group]
    rows = rows[rows["cell_id"].isin([*group, *than])]
    values = {
        metric: rows[rows["metric"] == metric].pivot(index="seed", columns="cell_id", values="value") for metric in used
    }
    printed: dict[str, dict[str, float]] = {}
    if paper is not None:
        by_levels = {tuple(found.values()): cell for cell, found in levels.items()}
        for row in paper.to_dict("records"):
            if (cell := by_levels.get(tuple(str(row[axis]) for axis in axes))) is not None:
                printed.setdefault(str(row["metric"]), {})[cell] = float(row["value"])
    names = {cell: cell_name(found) for cell, found in levels.items()}
    return Evidence(group, than, names, values, printed), _missing_text(rows)


def _missing_text(rows: pd.DataFrame) -> str:
    per_run = rows.groupby("run_id", sort=False).agg(
        value=("value", lambda values: values.notna().all()), state=("state", "first"), outcome=("outcome", "first")
    )
    missing = per_run[~per_run["value"]]
    if missing.empty:
        return ""
    why = missing["outcome"].where(missing["outcome"] == "diverged", missing["state"])
    kinds = ", ".join(f"{count} {kind}" for kind, count in why.value_counts(sort=False).items())
    return f"{len(missing)} of {len(per_run)} runs have no value ({kinds}), so the claim is left undecided"
