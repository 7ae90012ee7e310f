"""The interval of a claim as a small drawing: where the template puts its lines, in the units of its viewBox."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.claims import Verdict

WIDTH, HEIGHT, _INSET = 200.0, 30.0, 8.0


@dataclass(frozen=True)
class Forest:
    """Horizontal positions in [0, ``WIDTH``]; ``low`` and ``high`` are None where there is no interval."""

    point: float
    margin: float
    low: float | None
    high: float | None


def forests(verdicts: Sequence[Verdict]) -> list[Forest | None]:
    """One drawing a verdict, None where there is no estimate; verdicts of one metric share their scale."""
    return [_forest(verdict, [v for v in verdicts if v.metric == verdict.metric]) for verdict in verdicts]


def _forest(verdict: Verdict, family: Sequence[Verdict]) -> Forest | None:
    if math.isnan(verdict.estimate):
        return None
    values = [x for v in family for x in (v.estimate, v.low, v.high, v.margin) if math.isfinite(x)]
    low, high = min(values), max(values)
    scale = (WIDTH - 2 * _INSET) / (high - low or 1.0)

    def place(value: float) -> float:
        return round(_INSET + (value - low) * scale, 1)

    bounded = math.isfinite(verdict.low) and math.isfinite(verdict.high)
    return Forest(
        place(verdict.estimate),
        place(verdict.margin),
        place(verdict.low) if bounded else None,
        place(verdict.high) if bounded else None,
    )
