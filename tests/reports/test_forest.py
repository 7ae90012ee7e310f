"""The small drawing beside a claim: ours and the paper's number on one scale, with the band of its seed noise."""

from __future__ import annotations

import math

import pytest

from reports.claims.on_paper import HOLDS, NOT_PRINTED, Trial
from reports.claims.verdicts import Verdict
from reports.page.forest import WIDTH, forests


def _verdict(estimate: float, low: float, high: float, trial: Trial, metric: str = "linear_top1") -> Verdict:
    return Verdict(
        id="A", says="", locus="", verdict="supported", metric=metric, trial=trial,
        comparison="a vs b", estimate=estimate, low=low, high=high, n=3, margin=0.0,
    )  # fmt: skip


def test_the_known_seed_noise_is_a_band_around_the_papers_number() -> None:
    printed = _verdict(2.0, 1.0, 3.0, Trial(HOLDS, 8.0, 6.0, 10.0))
    (drawn,) = forests([printed])

    assert drawn is not None
    per_point = (WIDTH - 16) / 10  # from the margin, 0, to the band's end, 10
    assert (drawn.margin, drawn.point) == (8.0, pytest.approx(8 + 2 * per_point, abs=0.1))
    assert drawn.printed == pytest.approx(8 + 8 * per_point, abs=0.1)
    assert drawn.band_low == pytest.approx(8 + 6 * per_point, abs=0.1)
    assert drawn.band_width == pytest.approx(4 * per_point, abs=0.1)


def test_without_known_noise_there_is_the_number_and_without_a_number_nothing() -> None:
    bare = _verdict(2.0, 1.0, 3.0, Trial(HOLDS, 8.0, -math.inf, math.inf))
    none = _verdict(2.0, -math.inf, math.inf, Trial(NOT_PRINTED))
    first, second = forests([bare, none])

    assert first is not None
    assert second is not None
    assert (first.printed is None, first.band_low, first.band_width) == (False, None, None)
    assert (second.printed, second.low, second.high) == (None, None, None)
    assert second.point == first.point  # one metric, one scale
    assert forests([_verdict(math.nan, math.nan, math.nan, Trial(NOT_PRINTED))]) == [None]
