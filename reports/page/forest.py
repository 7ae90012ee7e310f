"""The interval of a claim as a small drawing: where the template puts its lines, in the units of its viewBox.

Ours stands above the paper's number, which has a band where its seed noise is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.claims.verdicts import Verdict

WIDTH, HEIGHT, _INSET = 200.0, 40.0, 8.0


@dataclass(frozen=True)
class Forest:
    """Horizontal positions in [0, ``WIDTH``]; None where there is nothing to draw.

    ``low`` and ``high`` are our interval's ends, ``printed`` the paper's number, ``band_low`` and ``band_width`` the
    95 % band of its known seed noise and its reading error.
    """

    point: float
    margin: float
    low: float | None
    high: float | None
    printed: float | None
    band_low: float | None
    band_width: float | None


def forests(verdicts: Sequence[Verdict]) -> list[Forest | None]:
    """One drawing a verdict, None where there is no estimate; verdicts of one metric share their scale."""
    return [_forest(verdict, [v for v in verdicts if v.metric == verdict.metric]) for verdict in verdicts]


def _values(verdict: Verdict) -> list[float]:
    trial = verdict.trial
    found = (verdict.estimate, verdict.low, verdict.high, verdict.margin, trial.estimate, trial.low, trial.high)
    return [value for value in found if math.isfinite(value)]


def _forest(verdict: Verdict, family: Sequence[Verdict]) -> Forest | None:
    if math.isnan(verdict.estimate):
        return None
    values = [value for one in family for value in _values(one)]
    low, high = min(values), max(values)
    scale = (WIDTH - 2 * _INSET) / (high - low or 1.0)

    def place(value: float) -> float:
        return round(_INSET + (value - low) * scale, 1)

    trial = verdict.trial
    bounded = math.isfinite(verdict.low) and math.isfinite(verdict.high)
    banded = math.isfinite(trial.low) and math.isfinite(trial.high)
    return Forest(
        point=place(verdict.estimate),
        margin=place(verdict.margin),
        low=place(verdict.low) if bounded else None,
        high=place(verdict.high) if bounded else None,
        printed=place(trial.estimate) if math.isfinite(trial.estimate) else None,
        band_low=place(trial.low) if banded else None,
        band_width=round((trial.high - trial.low) * scale, 1) if banded else None,
    )
