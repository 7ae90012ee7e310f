"""What a claim is judged by: the values of the cells that it names, measured or printed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from formats.levels import is_value
from formats.selectors import Selector, select
from reports.claims.stats import Effect, Floats, contrast, one_sample


def cell_name(levels: Mapping[str, str]) -> str:
    """A short name for a cell: its levels in words, ``crop → color``; ``crop`` if they agree; else axis=level."""
    words = [level for level in levels.values() if not is_value(level)]
    values = [f"{axis}={level}" for axis, level in levels.items() if is_value(level)]
    name = words[0] if len(set(words)) == 1 else " → ".join(words)
    return ", ".join([name, *values] if words else values)


@dataclass(frozen=True)
class Term:
    """A weight times the mean of a metric over cells."""

    weight: float
    metric: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Evidence:
    """Values (seeds x cells) per metric, with the levels of every cell, (cell -> axis -> level text).

    ``outcomes`` (seeds x cells) says how the runs ended. ``printed`` has the paper's numbers for our cells, per metric.
    The other two are set where the values are the paper's own, one number a cell: ``noise_sd`` is the known spread of
    such a number over seeds, NaN if nobody has published it; ``reading_errors``, per metric and cell, are the limits
    within which a number was read off a plot, NaN if it is printed.
    """

    levels: Mapping[str, Mapping[str, str]]
    values: Mapping[str, pd.DataFrame]
    outcomes: pd.DataFrame
    printed: Mapping[str, Mapping[str, float]]
    noise_sd: float | None = None
    reading_errors: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def name(self, cells: Sequence[str]) -> str:
        """A cell's name, or how many cells there are."""
        return cell_name(self.levels[cells[0]]) if len(cells) == 1 else f"mean of {len(cells)} cells"

    def select(self, selector: Selector) -> list[str]:
        """The selected cells."""
        return select(selector, self.levels)

    def first(self, num_seeds: int) -> Evidence:
        """The same from the first seeds alone."""
        values = {metric: frame.iloc[:num_seeds] for metric, frame in self.values.items()}
        return dataclasses.replace(self, values=values, outcomes=self.outcomes.iloc[:num_seeds])

    def num_complete(self, cells: Sequence[str], *, ended: bool = False) -> int:
        """How many of the first seeds have every value of these cells; ``ended``: have a run that ended somehow."""
        asked = [self.outcomes] if ended else list(self.values.values())
        whole = [frame[list(cells)].notna().all(axis=1).to_numpy() for frame in asked]
        gaps = np.flatnonzero(~np.all(whole, axis=0))
        return int(gaps[0]) if len(gaps) else len(whole[0])

    def sample(self, term: Term) -> Floats:
        """One number a seed, (n,): the mean over the term's cells, of the seeds that all of them have."""
        mean = self._per_seed(term)
        return np.asarray(mean[~np.isnan(mean)])

    def _per_seed(self, term: Term) -> Floats:
        frame = self.values[term.metric]
        return np.asarray(np.mean([frame[cell].to_numpy(dtype=float) for cell in term.cells], axis=0))

    def contrast(self, terms: Sequence[Term], *, paired: bool = False) -> Effect:
        """The sum of the terms: seed by seed if ``paired`` or if a run is in two terms, else of independent samples."""
        if self.noise_sd is not None:
            return self._printed_contrast(terms)
        cells = [cell for term in terms for cell in term.cells]
        if paired or len(set(cells)) < len(cells):
            sums = np.sum([term.weight * self._per_seed(term) for term in terms], axis=0)
            return one_sample(sums[~np.isnan(sums)])
        return contrast([self.sample(term) for term in terms], [term.weight for term in terms])

    def _printed_contrast(self, terms: Sequence[Term]) -> Effect:
        if not all(term.cells for term in terms):  # cells that the paper does not have
            return one_sample([])
        weights: dict[tuple[str, str], float] = {}
        for term in terms:
            for cell in term.cells:
                key = (term.metric, cell)
                weights[key] = weights.get(key, 0.0) + term.weight / len(term.cells)
        estimate = sum(weight * float(self.values[metric][cell].iloc[0]) for (metric, cell), weight in weights.items())
        spread = math.hypot(*(weight * self._printed_sd(*key) for key, weight in weights.items()))
        error = math.inf if math.isnan(spread) else spread
        return Effect(np.asarray(estimate), np.asarray(error), np.asarray(math.inf), 1)

    def _printed_sd(self, metric: str, cell: str) -> float:
        limits = self.reading_errors[metric][cell]
        # within known limits and nothing more: uniform, as JCGM 100:2008 (GUM), 4.3.7
        reading = 0.0 if math.isnan(limits) else limits / math.sqrt(3)
        return math.hypot(self.noise_sd or 0.0, reading)


def gather(frame: pd.DataFrame, axes: Sequence[str], used: Sequence[str], paper: pd.DataFrame | None) -> Evidence:
    """The evidence in the rows of a grid's frame; ``paper``: axes, metric, value of the paper's cells."""
    rows = frame[frame["role"] == "cell"]
    levels = {
        str(row["cell_id"]): {axis: str(row[axis]) for axis in axes}
        for row in rows.drop_duplicates("cell_id").to_dict("records")
    }
    values = {
        metric: rows[rows["metric"] == metric].pivot(index="seed", columns="cell_id", values="value") for metric in used
    }
    outcomes = rows.drop_duplicates("run_id").pivot(index="seed", columns="cell_id", values="outcome")
    printed: dict[str, dict[str, float]] = {}
    if paper is not None:
        by_levels = {tuple(found.values()): cell for cell, found in levels.items()}
        for row in paper.to_dict("records"):
            if (cell := by_levels.get(tuple(str(row[axis]) for axis in axes))) is not None:
                printed.setdefault(str(row["metric"]), {})[cell] = float(row["value"])
    return Evidence(levels, values, outcomes, printed)


def printed_evidence(paper: pd.DataFrame, axes: Sequence[str], used: Sequence[str], noise_sd: float) -> Evidence:
    """The evidence in the paper's own cells (axes, metric, value, reading_error), which this scale may lack."""
    keys = [" ".join(f"{axis}={row[axis]}" for axis in axes) for row in paper.to_dict("records")]
    levels = {
        key: {axis: str(row[axis]) for axis in axes} for key, row in zip(keys, paper.to_dict("records"), strict=True)
    }
    rows = paper.assign(cell_id=keys, seed=0).dropna(subset="value")

    def of_cells(column: str) -> dict[str, pd.DataFrame]:
        return {
            metric: rows[rows["metric"] == metric]
            .pivot(index="seed", columns="cell_id", values=column)
            .reindex(index=[0], columns=list(levels))
            for metric in used
        }

    errors = {metric: dict(frame.iloc[0]) for metric, frame in of_cells("reading_error").items()}
    outcomes = pd.DataFrame(index=[0], columns=list(levels))
    return Evidence(levels, of_cells("value"), outcomes, {}, noise_sd, errors)


def missing_text(frame: pd.DataFrame, cells: Sequence[str], used: Sequence[str], *, ended: bool = False) -> str:
    """A sentence on the runs of these cells that lack a value; empty if none does. ``ended``: that lack an outcome."""
    rows = frame[(frame["role"] == "cell") & frame["metric"].isin(used) & frame["cell_id"].isin(cells)]
    per_run = rows.groupby("run_id", sort=False).agg(
        value=("value", lambda values: values.notna().all()), state=("state", "first"), outcome=("outcome", "first")
    )
    missing = per_run[per_run["outcome"].isna() if ended else ~per_run["value"]]
    if missing.empty:
        return ""
    why = missing["outcome"].where(missing["outcome"] == "diverged", missing["state"])
    kinds = ", ".join(f"{count} {kind}" for kind, count in why.value_counts(sort=False).items())
    what = "outcome" if ended else "value"
    return f"{len(missing)} of {len(per_run)} runs have no {what} ({kinds}), so the claim is left undecided"
