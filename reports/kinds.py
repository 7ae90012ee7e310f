"""The kinds of claims: how each turns the evidence into comparisons, and these into a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.evidence import Evidence
from reports.metrics import number
from reports.stats import ALPHA, Decision, Effect, conjunction, one_sample, some_conjunction


@dataclass(frozen=True)
class Judgement:
    """A decision with what led to it; ``binding`` is the row of ``comparisons`` that is shown."""

    decision: Decision
    comparisons: pd.DataFrame
    binding: int
    text: str
    paper_estimate: float
    wants_below: bool = False


def _table(rows: Sequence[tuple[str, Effect, float]]) -> pd.DataFrame:
    table = []
    for name, effect, margin in rows:
        low, high = effect.interval()
        found = {"estimate": float(effect.estimate), "low": float(low), "high": float(high)}
        table.append({"comparison": name, **found, "margin": margin, "n": effect.num_seeds})
    return pd.DataFrame(table)


def _better(claim: Mapping[str, Any], evidence: Evidence, metric: str) -> Judgement:
    group, than, margin = evidence.group, evidence.than, float(claim.get("margin", 0.0))
    effect = evidence.difference(metric, group, than, paired=claim.get("paired", False))
    name = f"{_side(group, evidence)} vs {_side(than, evidence)}"
    text = (
        "difference of the two means, each over its cells seed by seed"
        if len(group) + len(than) > 2
        else "difference of two cells"
    )
    return Judgement(
        conjunction([effect], [margin]),
        _table([(name, effect, margin)]),
        0,
        text,
        evidence.paper_difference(metric, group, than),
    )


def _side(cells: Sequence[str], evidence: Evidence) -> str:
    return evidence.names[cells[0]] if len(cells) == 1 else f"mean of {len(cells)} cells"


def _each(
    claim: Mapping[str, Any], evidence: Evidence, metric: str, candidate: str
) -> list[tuple[str, Effect, float, float]]:
    """(name, effect, margin, the paper's difference) of a candidate against every cell of ``than``."""
    effects = evidence.differences(metric, candidate, evidence.than, paired=claim.get("paired", False))
    return [
        (
            f"{evidence.names[candidate]} vs {evidence.names[other]}",
            effect,
            float(claim.get("margin", 0.0)),
            evidence.paper_difference(metric, [candidate], [other]),
        )
        for other, effect in zip(evidence.than, effects, strict=True)
    ]


def _weakest(table: pd.DataFrame) -> int:
    return int(table["estimate"].fillna(math.inf).to_numpy().argmin())


def _top(claim: Mapping[str, Any], evidence: Evidence, metric: str) -> Judgement:
    rows = [row for candidate in evidence.group for row in _each(claim, evidence, metric, candidate)]
    effects, margin = [row[1] for row in rows], rows[0][2]
    table = _table([row[:3] for row in rows])
    hold = sum(bool(effect.exceeds(margin, ALPHA)) for effect in effects)
    text = f"{hold} of {len(rows)} comparisons hold; shown is the one with the smallest difference"
    decision = conjunction(effects, [margin] * len(effects))
    return Judgement(decision, table, _weakest(table), text, min(row[3] for row in rows))


def _some_better(claim: Mapping[str, Any], evidence: Evidence, metric: str) -> Judgement:
    per_candidate = [_each(claim, evidence, metric, candidate) for candidate in evidence.group]
    rows = [row for candidate in per_candidate for row in candidate]
    table, size = _table([row[:3] for row in rows]), len(evidence.than)
    weakest = [start + _weakest(table.iloc[start : start + size]) for start in range(0, len(rows), size)]
    best = weakest[int(table["estimate"].iloc[weakest].fillna(-math.inf).to_numpy().argmax())]
    decision = some_conjunction([[row[1] for row in candidate] for candidate in per_candidate], rows[0][2])
    text = (
        f"the best of {len(per_candidate)} candidates, each judged at 5 % / {len(per_candidate)} against all {size} "
        "others; the interval shown is not corrected for that choice"
    )
    paper_estimate = max(min(row[3] for row in candidate) for candidate in per_candidate)
    return Judgement(decision, table, best, text, paper_estimate)


def _collapse(claim: Mapping[str, Any], evidence: Evidence, metric: str) -> Judgement:
    threshold, loss_below = float(claim["threshold"]), float(claim["loss_below"])
    # (what, metric, cell, bound, whether the values have to stay below it)
    wanted = [
        (what, measured, cell, bound, True)
        for cell in evidence.group
        for what, measured, bound in (("spread of z", metric, threshold), ("loss", "final_loss", loss_below))
    ]
    wanted += [("spread of z", metric, cell, threshold, False) for cell in evidence.than]
    samples = [evidence.sample(measured, [cell]) for _, measured, cell, _, _ in wanted]
    names = [f"{what}, {evidence.names[cell]}" for what, _, cell, _, _ in wanted]
    bounds = [bound for *_, bound, _ in wanted]
    table = _table(list(zip(names, map(one_sample, samples), bounds, strict=True)))
    table["metric"] = [measured for _, measured, *_ in wanted]
    # "Below a bound" is "its negative above the negative bound", so that one rule serves both.
    signs = [-1.0 if below else 1.0 for *_, below in wanted]
    effects = [one_sample(sign * sample) for sign, sample in zip(signs, samples, strict=True)]
    decision = conjunction(effects, [sign * bound for sign, bound in zip(signs, bounds, strict=True)])
    sides = ["below" if sign < 0 else "above" for sign in signs]
    parts = [
        f"{row['comparison']}: {number(row['estimate'], 3)}, has to be {side} {number(row['margin'], 2)}"
        for row, side in zip(table.to_dict("records"), sides, strict=True)
    ]
    spreads = table["estimate"].iloc[: 2 * len(evidence.group) : 2].fillna(-math.inf)
    printed = [evidence.paper.get(metric, {}).get(cell, math.nan) for cell in evidence.group]
    shown = 2 * int(spreads.to_numpy().argmax())
    return Judgement(decision, table, shown, "; ".join(parts), max(printed), wants_below=True)


KINDS: dict[str, Callable[[Mapping[str, Any], Evidence, str], Judgement]] = {
    "better": _better,
    "top": _top,
    "some_better": _some_better,
    "collapse": _collapse,
}
