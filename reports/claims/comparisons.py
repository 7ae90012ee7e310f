"""What a claim comes down to: comparisons that have to exceed their margins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reports.claims.rule import Decision, Evidenced, some_conjunction


@dataclass(frozen=True)
class Comparison:
    """An effect that has to exceed its margin. With ``sign`` -1 both are shown negated: as a bound to stay below."""

    name: str
    effect: Evidenced
    margin: float
    sign: float = 1.0
    metric: str = ""

    @property
    def slack(self) -> float:
        """How far the estimate lies beyond the margin; infinite where it is missing."""
        found = float(self.effect.estimate) - self.margin
        return math.inf if math.isnan(found) else found


@dataclass(frozen=True)
class Question:
    """The comparisons of a claim: some candidate has to pass all of its own. Mostly there is one candidate.

    ``shown`` limits the choice of the comparison that is shown, where not all are of one unit; ``pure`` marks effects
    without a unit.
    """

    candidates: Sequence[Sequence[Comparison]]
    text: str
    cells: Sequence[str]
    shown: Callable[[Comparison], bool] = field(default=lambda _: True)
    pure: bool = False

    def decision(self) -> Decision:
        """What the comparisons say."""
        effects = [[one.effect for one in candidate] for candidate in self.candidates]
        return some_conjunction(effects, [[one.margin for one in candidate] for candidate in self.candidates])

    def binding(self) -> Comparison:
        """The comparison on which the claim stands or falls: the tightest one of the best candidate."""
        tightest = [min(filter(self.shown, candidate), key=lambda one: one.slack) for candidate in self.candidates]
        return max(tightest, key=lambda one: -math.inf if math.isinf(one.slack) else one.slack)
