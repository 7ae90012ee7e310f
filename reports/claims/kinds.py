"""The kinds of claims: the comparisons that each makes of the evidence. What decides is the rule, in rule.py."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from formats.levels import level_text, ordered
from formats.selectors import is_partner
from reports.claims.comparisons import Comparison, Question
from reports.claims.evidence import Evidence, Term
from reports.claims.stats import ALPHA, Effect, Proportion, one_sample
from reports.metrics import number

Claim = Mapping[str, Any]


def _margin(claim: Claim) -> float:
    return float(claim.get("margin", 0.0))


def _against(claim: Claim, evidence: Evidence, metric: str, sides: tuple[Sequence[str], Sequence[str]]) -> Comparison:
    """The mean of one group of cells over that of another."""
    terms = [Term(1.0, metric, sides[0]), Term(-1.0, metric, sides[1])]
    name = f"{evidence.name(sides[0])} vs {evidence.name(sides[1])}"
    return Comparison(name, evidence.contrast(terms, paired=claim.get("paired", False)), _margin(claim))


def _all_hold(comparisons: Sequence[Comparison], cells: Iterable[str], *, pure: bool = False) -> Question:
    hold = sum(bool(one.effect.p_above(one.margin) < ALPHA) for one in comparisons)
    exceed = sum(float(one.effect.estimate) > one.margin for one in comparisons)
    text = (
        f"{exceed} of {len(comparisons)} comparisons lie on the claimed side, {hold} beyond their noise; "
        "shown is the tightest one"
    )
    return Question([comparisons], text, list(dict.fromkeys(cells)), pure=pure)


def _difference(claim: Claim, evidence: Evidence, metric: str) -> tuple[list[Term], str, list[str]]:
    """Terms, name and cells of ``group`` against ``than``, ``than_metric`` or nothing at all (``than_value``)."""
    group = evidence.select(claim["group"])
    terms = [Term(1.0, metric, group)]
    if "than_value" in claim:
        return terms, f"{evidence.name(group)} vs {claim['than_value']:g}", group
    than = evidence.select(claim["than"]) if "than" in claim else group
    other = claim.get("than_metric", metric)
    name = f"{evidence.name(group)} vs {evidence.name(than)}" if than != group else evidence.name(group)
    if other != metric:
        name += f", {metric} vs {other}"
    return [*terms, Term(-1.0, other, than)], name, [*group, *than]


def _better(claim: Claim, evidence: Evidence, metric: str) -> Question:
    terms, name, cells = _difference(claim, evidence, metric)
    base = float(claim.get("than_value", 0.0))
    effect = _shifted(evidence.contrast(terms, paired=claim.get("paired", False)), -base)
    many = sum(len(term.cells) for term in terms) > len(terms)
    text = "difference of the means, each over its cells seed by seed" if many else "difference of two means"
    return Question([[Comparison(name, effect, _margin(claim))]], text, cells)


def _shifted(effect: Effect, by: float) -> Effect:
    return dataclasses.replace(effect, estimate=np.asarray(effect.estimate + by))


def _negated(effect: Effect) -> Effect:
    samples = tuple((-weight, values) for weight, values in effect.samples)
    return dataclasses.replace(effect, estimate=np.asarray(-effect.estimate), samples=samples)


def _equivalent(claim: Claim, evidence: Evidence, metric: str) -> Question:
    terms, name, cells = _difference(claim, evidence, metric)
    effect = _shifted(evidence.contrast(terms, paired=claim.get("paired", False)), -float(claim.get("than_value", 0.0)))
    margin = _margin(claim)
    both = [Comparison(name, effect, -margin), Comparison(name, _negated(effect), -margin, sign=-1.0)]
    return Question([both], f"two one-sided tests: within ±{margin:g}; shown is the nearer bound", cells)


def _top(claim: Claim, evidence: Evidence, metric: str) -> Question:
    group = evidence.select(claim["group"])
    than = [cell for cell in evidence.select(claim["than"]) if cell not in group]
    rows = [_against(claim, evidence, metric, ([one], [other])) for one in group for other in than]
    return _all_hold(rows, [*group, *than])


def _some_better(claim: Claim, evidence: Evidence, metric: str) -> Question:
    group, than = evidence.select(claim["group"]), evidence.select(claim["than"])
    candidates = [[_against(claim, evidence, metric, ([one], [other])) for other in than] for one in group]
    return Question(candidates, _chosen(len(group), len(than)), [*group, *than])


def _chosen(num_candidates: int, num_others: int) -> str:
    return (
        f"the best of {num_candidates} candidates, each judged at 5 % / {num_candidates} against all {num_others} "
        "others; the interval shown is not corrected for that choice"
    )


def _each_better(claim: Claim, evidence: Evidence, metric: str) -> Question:
    group, than = evidence.select(claim["group"]), evidence.select(claim["than"])
    rows = [
        (one, _against(claim, evidence, metric, ([one], [other])))
        for one in group
        for other in than
        if is_partner(claim, evidence.levels[one], evidence.levels[other])
    ]
    whole = {one for one, _ in rows} - {one for one, row in rows if not float(row.effect.estimate) > row.margin}
    question = _all_hold([row for _, row in rows], [*group, *than])
    text = f"{len(whole)} of {len({one for one, _ in rows})} cells lie above all their partners; {question.text}"
    return Question(question.candidates, text, question.cells)


def _levels(claim: Claim, evidence: Evidence) -> tuple[list[str], dict[str, list[str]]]:
    """The cells of ``within``, and their division by the level of the axis ``along``, in its order."""
    cells = [cell for cell in evidence.select(claim.get("within", {})) if evidence.levels[cell][claim["along"]]]
    of = {cell: evidence.levels[cell][claim["along"]] for cell in cells}
    return cells, {level: [cell for cell in cells if of[cell] == level] for level in ordered(of.values())}


def _trend(claim: Claim, evidence: Evidence, metric: str) -> Question:
    cells, levels = _levels(claim, evidence)
    # Least squares over equally spaced levels, scaled to the change from the first level to the last.
    places = np.arange(len(levels)) - (len(levels) - 1) / 2
    weights = places / np.sum(places**2) * (len(levels) - 1)
    sign = 1.0 if claim["direction"] == "rises" else -1.0
    terms = [
        Term(sign * weight, metric, found) for weight, found in zip(weights, levels.values(), strict=True) if weight
    ]
    name = f"{claim['along']} from {next(iter(levels))} to {list(levels)[-1]}, {claim['direction']}"
    effect = evidence.contrast(terms, paired=claim.get("paired", False))
    text = f"change from end to end of a straight line over {len(levels)} equally spaced levels"
    return Question([[Comparison(name, effect, _margin(claim))]], text, cells)


def _interior_optimum(claim: Claim, evidence: Evidence, metric: str) -> Question:
    cells, levels = _levels(claim, evidence)
    first, *inner, last = levels
    best = claim.get("best")
    named = [level_text(level) for level in (best if isinstance(best, list) else [] if best is None else [best])]
    rows = {
        level: [
            Comparison(f"{claim['along']} {level} vs {end}", found.effect, found.margin)
            for end in (first, last)
            for found in [_against(claim, evidence, metric, (levels[level], levels[end]))]
        ]
        for level in named or inner
        if level in levels
    }
    if named:
        return _all_hold([row for found in rows.values() for row in found], cells)
    return Question(list(rows.values()), _chosen(len(rows), 2), cells)


def _interaction(claim: Claim, evidence: Evidence, metric: str) -> Question:
    sides = {
        (where, side): [cell for cell in evidence.select(claim[side]) if cell in set(evidence.select(claim[where]))]
        for where in ("from", "to")
        for side in ("group", "than")
    }
    shrinks = 1.0 if claim["direction"] == "shrinks" else -1.0
    terms = [
        Term(shrinks * (1.0 if (where == "from") == (side == "group") else -1.0), metric, cells)
        for (where, side), cells in sides.items()
    ]
    effect = evidence.contrast(terms, paired=claim.get("paired", False))
    benefits = [
        evidence.contrast([Term(1.0, metric, sides[where, "group"]), Term(-1.0, metric, sides[where, "than"])]).estimate
        for where in ("from", "to")
    ]
    names = (evidence.name(sides["from", side]) for side in ("group", "than"))
    name = f"benefit of {' vs '.join(names)}, {claim['direction']}"
    ends = " to ".join(number(float(benefit), 2, sign=True) for benefit in benefits)
    text = f"the benefit goes from {ends}"
    return Question(
        [[Comparison(name, effect, _margin(claim))]], text, [cell for cells in sides.values() for cell in cells]
    )


def _range_below(claim: Claim, evidence: Evidence, metric: str) -> Question:
    cells, levels = _levels(claim, evidence)
    margin, paired = _margin(claim), claim.get("paired", False)
    bound: list[Term] = []
    if "group" in claim:
        bound, _, used = _difference(claim, evidence, metric)
        cells = [*cells, *used]
    rows = []
    for high, low in itertools.permutations(levels, 2):
        spread = [Term(-1.0, metric, levels[high]), Term(1.0, metric, levels[low])]
        effect = evidence.contrast([*bound, *spread], paired=paired)
        rows.append(
            Comparison(f"the effect against {high} vs {low}", effect, margin)
            if bound
            else Comparison(f"{claim['along']} {high} vs {low}", effect, -margin, sign=-1.0)
        )
    return _all_hold(rows, cells)


def _rank_agreement(claim: Claim, evidence: Evidence, metric: str) -> Question:
    printed = {cell: value for cell, value in evidence.printed.get(metric, {}).items() if not math.isnan(value)}
    cells = [cell for cell in evidence.select(claim.get("within", {})) if cell in printed]
    theirs = np.array([printed[cell] for cell in cells])
    ours = evidence.values[metric][cells].dropna().to_numpy(dtype=float)
    # One correlation a seed, so that the seed stays the unit; noise within a seed can only lower it.
    varied = len(cells) > 2 and np.ptp(theirs) > 0
    found = [float(stats.spearmanr(theirs, row).statistic) for row in ours if varied and np.ptp(row) > 0]
    name = f"Spearman's ρ with the paper over {len(cells)} cells"
    text = "mean over seeds of each seed's rank correlation with the paper's numbers"
    return Question([[Comparison(name, one_sample(found), float(claim["rho"]))]], text, cells, pure=True)


def _bounds(claim: Claim, evidence: Evidence, wanted: Sequence[tuple[str, str, str, float, float]]) -> Question:
    """Bounds on single cells: (what, metric, cell, bound, sign); sign -1: to stay below it."""
    rows = [
        Comparison(
            f"{what}, {evidence.name([cell])}",
            evidence.contrast([Term(sign, measured, [cell])]),
            sign * bound,
            sign,
            measured,
        )
        for what, measured, cell, bound, sign in wanted
    ]
    parts = [
        f"{row.name}: {number(row.sign * float(row.effect.estimate), 3)}, has to be "
        f"{'below' if row.sign < 0 else 'above'} {number(row.sign * row.margin, 2)}"
        for row in rows
    ]
    group = set(evidence.select(claim["group"]))
    leading = {row.name for row, (_, _, cell, _, _) in zip(rows, wanted, strict=True) if cell in group}
    leading &= {row.name for row in rows if row.metric == wanted[0][1]}
    cells = list(dict.fromkeys(cell for _, _, cell, _, _ in wanted))
    return Question([rows], "; ".join(parts), cells, shown=lambda one: one.name in leading)


def _collapse(claim: Claim, evidence: Evidence, metric: str) -> Question:
    spread, loss = float(claim["threshold"]), float(claim["loss_below"])
    wanted = [
        row
        for cell in evidence.select(claim["group"])
        for row in (("spread of z", metric, cell, spread, -1.0), ("loss", "final_loss", cell, loss, -1.0))
    ]
    wanted += [("spread of z", metric, cell, spread, 1.0) for cell in evidence.select(claim["than"])]
    return _bounds(claim, evidence, wanted)


def _no_convergence(claim: Claim, evidence: Evidence, metric: str) -> Question:
    spread, loss = float(claim["threshold"]), float(claim["loss_above"])
    wanted = [
        row
        for cell in evidence.select(claim["group"])
        for row in (("loss", metric, cell, loss, 1.0), ("spread of z", "z_std_ratio", cell, spread, 1.0))
    ]
    wanted += [("loss", metric, cell, loss, -1.0) for cell in evidence.select(claim["than"])]
    return _bounds(claim, evidence, wanted)


def _diverges(claim: Claim, evidence: Evidence, _: str) -> Question:
    rows, cells = [], []
    for side, sign in (("group", 1.0), ("than", -1.0)):
        for cell in evidence.select(claim[side]) if side in claim else []:
            ended = evidence.outcomes[cell].dropna()
            count = int((ended == "diverged").sum())
            met = count if sign > 0 else len(ended) - count
            name = f"{evidence.name([cell])}: {count} of {len(ended)} diverged"
            rows.append(Comparison(name, Proportion(met, len(ended)), 0.5))
            cells.append(cell)
    return _all_hold(rows, cells, pure=True)


KINDS: dict[str, Callable[[Claim, Evidence, str], Question]] = {
    "better": _better,
    "top": _top,
    "some_better": _some_better,
    "each_better": _each_better,
    "trend": _trend,
    "interior_optimum": _interior_optimum,
    "equivalent": _equivalent,
    "interaction": _interaction,
    "range_below": _range_below,
    "rank_agreement": _rank_agreement,
    "collapse": _collapse,
    "no_convergence": _no_convergence,
    "diverges": _diverges,
}
"""The comparisons of a claim, by its kind: (claim at its scale, evidence, metric)."""

_OWN_METRIC = {"collapse": "z_std_ratio", "no_convergence": "final_loss"}


def metrics_of(claim: Claim, metric: str) -> list[str]:
    """The metrics that a claim rests on, the leading one first; ``metric`` is the grid's."""
    leading = _OWN_METRIC.get(claim["kind"], claim.get("metric", metric))
    others = {"collapse": ["final_loss"], "no_convergence": ["z_std_ratio"]}.get(claim["kind"], [])
    return [leading, *others, *([claim["than_metric"]] if "than_metric" in claim else [])]
