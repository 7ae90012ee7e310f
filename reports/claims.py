"""From a claim and the measured cells to a verdict. The rule itself is in reports/stats.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from reports.metrics import number, quantity
from reports.selectors import select
from reports.stats import ALPHA, Decision, Effect, Floats, conjunction, difference, one_sample, some_conjunction

VERDICTS = ("supported", "contradicted", "undecided", "not testable here")


@dataclass(frozen=True)
class Verdict:
    """A claim and what the runs say of it.

    ``estimate``, ``low`` and ``high`` (95 %, two-sided, unadjusted) belong to the comparison that ``comparison``
    names: of several, the one on which the claim stands or falls. ``margin`` is what the estimate has to exceed, or
    to stay under where ``wants_below``. ``paper_estimate`` is the same contrast of the paper's printed numbers, NaN
    where they do not give it. ``comparisons`` has every comparison made: comparison, estimate, low, high, margin, n.
    """

    id: str
    says: str
    locus: str
    verdict: str
    metric: str
    comparison: str
    estimate: float
    low: float
    high: float
    n: int
    margin: float
    detail: str
    paper_estimate: float = math.nan
    wants_below: bool = False
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def unit(self) -> str:
        """The unit of estimate and margin; empty for a pure number."""
        return quantity(self.metric).difference_unit

    @property
    def signed(self) -> bool:
        """Whether the estimate is a difference, and so reads best with its sign."""
        return not self.wants_below


def cell_name(levels: Mapping[str, str]) -> str:
    """A short name for a cell: its levels in words, ``crop → color``; ``crop`` if they agree; else axis=level."""
    words = [level for level in levels.values() if not _is_value(level)]
    values = [f"{axis}={level}" for axis, level in levels.items() if _is_value(level)]
    name = words[0] if len(set(words)) == 1 else " → ".join(words)
    return ", ".join([name, *values] if words else values)


def _is_value(level: str) -> bool:
    if level in ("true", "false"):
        return True
    try:
        float(level)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Evidence:
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

    def paper_difference(self, metric: str, group: Sequence[str], than: Sequence[str]) -> float:
        """The same on the paper's numbers, NaN if one is missing."""
        printed = self.paper.get(metric, {})
        sides = [[printed.get(cell, math.nan) for cell in side] for side in (group, than)]
        return float(np.mean(sides[0]) - np.mean(sides[1]))


@dataclass(frozen=True)
class _Judgement:
    """A decision with what led to it; ``binding`` is the row of ``comparisons`` that is shown."""

    decision: Decision
    metric: str
    comparisons: pd.DataFrame
    binding: int
    text: str
    paper_estimate: float
    wants_below: bool = False


def decide(
    claim: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    axes: Sequence[str],
    metric: str,
    scale: str,
    paper: pd.DataFrame | None = None,
) -> Verdict:
    """The verdict on a checked claim.

    ``frame`` has one row per planned run and metric: ``FRAME_COLUMNS`` and the axes, NaN where a value is missing;
    ``metric`` is the grid's; ``paper`` has the paper's cells: axes, metric, value. One seed, or a missing run, leaves
    the claim undecided.
    """
    head = {"id": claim["id"], "says": claim["says"], "locus": claim["locus"]}
    metric = claim.get("metric", "z_std_ratio" if claim["kind"] == "collapse" else metric)
    if reason := claim.get("not_testable", {}).get(scale):
        nothing = dict.fromkeys(("estimate", "low", "high"), math.nan)
        margin = float(claim.get("margin", 0.0))
        return Verdict(
            **head, **nothing, verdict=VERDICTS[3], metric=metric, comparison="", n=0, margin=margin, detail=reason
        )
    used = [metric, "final_loss"] if claim["kind"] == "collapse" else [metric]
    evidence, missing = _evidence(claim, frame, list(axes), used, paper)
    judgement = _KINDS[claim["kind"]](claim, evidence, metric)
    row = judgement.comparisons.iloc[judgement.binding]
    notes = [judgement.text]
    if missing:
        notes.append(missing)
    elif row["n"] < 2:
        notes.append("one seed shows no uncertainty")
    elif row["low"] == row["high"]:
        notes.append(f"all {row['n']} seeds gave the same value, so the interval has no width")
    decided = judgement.decision
    verdict = VERDICTS[0] if decided.supported else VERDICTS[1] if decided.contradicted else VERDICTS[2]
    return Verdict(
        **head,
        verdict=VERDICTS[2] if missing else verdict,
        metric=judgement.metric,
        comparison=str(row["comparison"]),
        estimate=float(row["estimate"]),
        low=float(row["low"]),
        high=float(row["high"]),
        n=int(row["n"]),
        margin=float(row["margin"]),
        detail="; ".join(notes),
        paper_estimate=judgement.paper_estimate,
        wants_below=judgement.wants_below,
        comparisons=judgement.comparisons,
    )


def _evidence(
    claim: Mapping[str, Any], frame: pd.DataFrame, axes: list[str], used: list[str], paper: pd.DataFrame | None
) -> tuple[_Evidence, str]:
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
    return _Evidence(group, than, names, values, printed), _missing_text(rows)


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


def _table(rows: Sequence[tuple[str, Effect, float]]) -> pd.DataFrame:
    table = []
    for name, effect, margin in rows:
        low, high = effect.interval()
        found = {"estimate": float(effect.estimate), "low": float(low), "high": float(high)}
        table.append({"comparison": name, **found, "margin": margin, "n": effect.num_seeds})
    return pd.DataFrame(table)


def _better(claim: Mapping[str, Any], evidence: _Evidence, metric: str) -> _Judgement:
    group, than, margin = evidence.group, evidence.than, float(claim.get("margin", 0.0))
    effect = evidence.difference(metric, group, than, paired=claim.get("paired", False))
    name = f"{_side(group, evidence)} vs {_side(than, evidence)}"
    text = (
        "difference of the two means, each over its cells seed by seed"
        if len(group) + len(than) > 2
        else "difference of two cells"
    )
    return _Judgement(
        conjunction([effect], [margin]),
        metric,
        _table([(name, effect, margin)]),
        0,
        text,
        evidence.paper_difference(metric, group, than),
    )


def _side(cells: Sequence[str], evidence: _Evidence) -> str:
    return evidence.names[cells[0]] if len(cells) == 1 else f"mean of {len(cells)} cells"


def _each(
    claim: Mapping[str, Any], evidence: _Evidence, metric: str, candidate: str
) -> list[tuple[str, Effect, float, float]]:
    """(name, effect, margin, the paper's difference) of a candidate against every cell of ``than``."""
    paired, margin = claim.get("paired", False), float(claim.get("margin", 0.0))
    return [
        (
            f"{evidence.names[candidate]} vs {evidence.names[other]}",
            evidence.difference(metric, [candidate], [other], paired=paired),
            margin,
            evidence.paper_difference(metric, [candidate], [other]),
        )
        for other in evidence.than
    ]


def _weakest(table: pd.DataFrame) -> int:
    return int(table["estimate"].fillna(math.inf).to_numpy().argmin())


def _top(claim: Mapping[str, Any], evidence: _Evidence, metric: str) -> _Judgement:
    rows = [row for candidate in evidence.group for row in _each(claim, evidence, metric, candidate)]
    effects, margin = [row[1] for row in rows], rows[0][2]
    table = _table([row[:3] for row in rows])
    hold = sum(bool(effect.exceeds(margin, ALPHA)) for effect in effects)
    text = f"{hold} of {len(rows)} comparisons hold; shown is the one with the smallest difference"
    decision = conjunction(effects, [margin] * len(effects))
    return _Judgement(decision, metric, table, _weakest(table), text, min(row[3] for row in rows))


def _some_better(claim: Mapping[str, Any], evidence: _Evidence, metric: str) -> _Judgement:
    per_candidate = [_each(claim, evidence, metric, candidate) for candidate in evidence.group]
    rows = [row for candidate in per_candidate for row in candidate]
    table, size = _table([row[:3] for row in rows]), len(evidence.than)
    weakest = [start + _weakest(table.iloc[start : start + size]) for start in range(0, len(rows), size)]
    best = weakest[int(table["estimate"].iloc[weakest].fillna(-math.inf).to_numpy().argmax())]
    decision = some_conjunction([[row[1] for row in candidate] for candidate in per_candidate], rows[0][2])
    text = f"best of {len(per_candidate)} candidates against the best of {size}, corrected for the choice among {len(per_candidate)}"
    paper_estimate = max(min(row[3] for row in candidate) for candidate in per_candidate)
    return _Judgement(decision, metric, table, best, text, paper_estimate)


def _collapse(claim: Mapping[str, Any], evidence: _Evidence, metric: str) -> _Judgement:
    threshold, loss_below = float(claim["threshold"]), float(claim["loss_below"])
    # (name, values, bound, whether the values must stay below it)
    bounds = [
        (f"{name} of {evidence.names[cell]}", evidence.sample(kind, [cell]), bound, True)
        for cell in evidence.group
        for name, kind, bound in (("spread of z", metric, threshold), ("loss", "final_loss", loss_below))
    ]
    bounds += [
        (f"spread of z of {evidence.names[cell]}", evidence.sample(metric, [cell]), threshold, False)
        for cell in evidence.than
    ]
    table = _table([(name, one_sample(values), bound) for name, values, bound, _ in bounds])
    # "Below a bound" is "its negative above the negative bound", so that one rule serves both.
    effects = [one_sample(-values if below else values) for _, values, _, below in bounds]
    decision = conjunction(effects, [-bound if below else bound for _, _, bound, below in bounds])
    parts = [
        f"{name} {number(row['estimate'], 3)} [{number(row['low'], 3)}, {number(row['high'], 3)}], "
        f"has to be {'below' if below else 'above'} {bound:g}"
        for (name, _, bound, below), row in zip(bounds, table.to_dict("records"), strict=True)
    ]
    spreads = [index for index in range(0, 2 * len(evidence.group), 2)]
    shown = max(
        spreads, key=lambda index: -math.inf if math.isnan(table["estimate"][index]) else table["estimate"][index]
    )
    printed = [evidence.paper.get(metric, {}).get(cell, math.nan) for cell in evidence.group]
    return _Judgement(decision, metric, table, shown, "; ".join(parts), max(printed), wants_below=True)


_KINDS: dict[str, Callable[[Mapping[str, Any], _Evidence, str], _Judgement]] = {
    "better": _better,
    "top": _top,
    "some_better": _some_better,
    "collapse": _collapse,
}
