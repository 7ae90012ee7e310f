"""The rule of the verdicts: from effects to p-values of a claim, over the looks, over the claims of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.multitest import multipletests

from reports.claims.stats import ALPHA, ROUNDING, Booleans, Effect, Floats, Proportion

LOOKS = (3, 5, 8, 12)
"""Numbers of seeds after which a grid with looks is judged."""

Evidenced = Effect | Proportion


@dataclass(frozen=True)
class Decision:
    """What the effects say of one claim, or of many simulated ones, (...) each.

    ``p_supported`` and ``p_contradicted`` are p-values of "it does not hold" and "it does", corrected for the
    comparisons within the claim; ``as_estimated`` says whether the estimates alone, without their noise, meet the
    claim.
    """

    p_supported: Floats
    p_contradicted: Floats
    as_estimated: Booleans

    @property
    def supported(self) -> Booleans:
        """The verdict of this claim alone, at ``ALPHA``."""
        return np.asarray(self.p_supported < ALPHA)

    @property
    def contradicted(self) -> Booleans:
        """The verdict of this claim alone, at ``ALPHA``; never together with ``supported``."""
        return np.asarray(self.p_contradicted < ALPHA)


def every(above: Floats, below: Floats, as_estimated: Booleans) -> Decision:
    """Every effect exceeds its margin; of p-values and estimates (effects, ...), as ``Effect`` has them.

    Supported if each does: an intersection-union test, which needs no correction (Berger 1982). Contradicted if some
    effect falls short, corrected for their number (Bonferroni).
    """
    p_contradicted = np.minimum(1.0, np.min(below, axis=0) * len(below))
    return Decision(np.max(above, axis=0), p_contradicted, np.all(as_estimated, axis=0))


def some(candidates: Sequence[Decision]) -> Decision:
    """Some candidate holds.

    Supported if a candidate is, corrected for their number (Bonferroni). Contradicted if every one is: an
    intersection-union test over the candidates.
    """
    best = np.min([decision.p_supported for decision in candidates], axis=0)
    return Decision(
        p_supported=np.minimum(1.0, best * len(candidates)),
        p_contradicted=np.max([decision.p_contradicted for decision in candidates], axis=0),
        as_estimated=np.any([decision.as_estimated for decision in candidates], axis=0),
    )


def conjunction(effects: Sequence[Evidenced], margins: Sequence[float]) -> Decision:
    """Every effect exceeds its margin; see ``every``."""
    pairs = list(zip(effects, margins, strict=True))
    return every(
        np.array([effect.p_above(margin) for effect, margin in pairs]),
        np.array([effect.p_below(margin) for effect, margin in pairs]),
        np.array([effect.estimate - margin > ROUNDING for effect, margin in pairs]),
    )


def some_conjunction(candidates: Sequence[Sequence[Evidenced]], margins: Sequence[Sequence[float]]) -> Decision:
    """Some candidate exceeds the margin in all its effects; see ``every`` and ``some``."""
    return some([conjunction(effects, bounds) for effects, bounds in zip(candidates, margins, strict=True)])


def alpha_at_look(num_seeds: int) -> float:
    """What one look may spend of ``ALPHA``; 0 between the looks, where no verdict is given."""
    return ALPHA / len(LOOKS) if num_seeds in LOOKS else 0.0


def over_looks(decisions: Sequence[Decision]) -> Decision:
    """The decision over the looks so far, each p-value paid for by the number of planned looks (Bonferroni).

    A p-value below ``alpha_at_look`` at any look is one below ``ALPHA`` here, at that look and at every later one: what
    was decided stays decided.
    """
    planned = len(LOOKS)
    return Decision(
        p_supported=np.minimum(1.0, planned * np.min([decision.p_supported for decision in decisions], axis=0)),
        p_contradicted=np.minimum(1.0, planned * np.min([decision.p_contradicted for decision in decisions], axis=0)),
        as_estimated=decisions[-1].as_estimated,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for a family of claims (Holm 1979), in their order."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []


@dataclass(frozen=True)
class Settled:
    """Where a claim of a family stands: decided at the look ``place`` of its own, or not yet after its last one.

    The p-values are those of the claim, looks included, after Holm's correction at that moment.
    """

    place: int
    p_supported: float
    p_contradicted: float

    @property
    def decided(self) -> bool:
        """Whether either verdict has been reached."""
        return min(self.p_supported, self.p_contradicted) < ALPHA


def settle(paths: Sequence[Sequence[tuple[float, float]]]) -> list[Settled]:
    """The claims of a family, look after look: what is decided once keeps its verdict and its place in the family.

    ``paths``: for each claim (p_supported, p_contradicted) after each of its looks, as ``over_looks`` has them; claims
    that got no further seeds have fewer. "Supported" and "contradicted" are two families (Holm 1979). Each p-value is
    at least the one that the claim would have with all its looks taken, so which claims get seeds, and when, cannot
    raise the error rate.
    """
    settled: dict[int, Settled] = {}
    for look in range(max(map(len, paths), default=0)):
        places = [
            settled[i].place if i in settled and settled[i].decided else min(look, len(path) - 1)
            for i, path in enumerate(paths)
        ]
        shown = [path[place] for path, place in zip(paths, places, strict=True)]
        adjusted = zip(holm([one for one, _ in shown]), holm([other for _, other in shown]), strict=True)
        for i, (place, p_values) in enumerate(zip(places, adjusted, strict=True)):
            if not (i in settled and settled[i].decided):
                settled[i] = Settled(place, *p_values)
    return [settled[i] for i in range(len(paths))]
