"""Intervals and the verdict rule: against SciPy and closed forms, and in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.claims.rule import conjunction, some_conjunction
from reports.claims.stats import Effect, difference, one_sample, summarise

SIMULATIONS = 8000


def test_a_mean_has_the_textbook_interval() -> None:
    effect = one_sample([1.0, 2.0, 3.0])

    low, high = effect.interval()

    half = 4.302652729911275 / np.sqrt(3)  # t quantile 0.975 with 2 degrees of freedom; standard deviation 1
    assert effect.estimate == 2.0
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_a_difference_has_welchs_interval() -> None:
    a, b = np.array([36.1, 37.4, 36.6]), np.array([33.0, 35.9, 34.1])
    var_a, var_b = a.var(ddof=1) / 3, b.var(ddof=1) / 3
    df = (var_a + var_b) ** 2 / (var_a**2 / 2 + var_b**2 / 2)  # Welch 1947
    half = stats.t.ppf(0.975, df) * np.sqrt(var_a + var_b)

    low, high = difference(a, b).interval()

    assert low == pytest.approx(a.mean() - b.mean() - half)
    assert high == pytest.approx(a.mean() - b.mean() + half)


def test_seeds_that_only_one_side_has_do_not_count() -> None:
    a, b = [36.1, 37.4, 36.6], [33.0, 35.9, 34.1, 34.4, 33.8]

    assert difference(a, b) == difference(a, b[:3])
    assert difference(b, a) == difference(b[:3], a)
    assert difference(a, b).num_seeds == 3


def test_a_paired_difference_ignores_what_the_seeds_share() -> None:
    seed_effect = np.array([0.0, 5.0, -4.0])
    a, b = 31.0 + seed_effect + [0.1, -0.1, 0.0], 30.0 + seed_effect

    low, high = difference(a, b, paired=True).interval()

    assert 0.5 < low < 1.0 < high < 1.5
    assert difference(a, b).interval()[0] < -5


def test_one_seed_has_no_bounds_and_decides_nothing() -> None:
    effect = difference([50.0], [10.0])

    decision = conjunction([effect], [0.0])

    assert effect.estimate == 40.0
    assert effect.interval() == (-np.inf, np.inf)
    assert not decision.supported
    assert not decision.contradicted


def test_equal_values_are_an_interval_of_no_width_without_a_warning() -> None:
    effect = difference([10.1, 10.1, 10.1], [10.0, 10.0, 10.0])

    assert effect.interval() == (pytest.approx(0.1), pytest.approx(0.1))
    assert conjunction([effect], [0.0]).supported
    assert not conjunction([difference([10.0, 10.0], [10.0, 10.0])], [0.0]).supported


@pytest.mark.parametrize("n", range(3, 13))
def test_rounding_is_no_spread_and_no_difference(n) -> None:
    """A sum of n times 0.1 is not n tenths; the difference of 0.3 and 0.1 is below 0.2."""
    values = np.arange(1001) / 10  # 0.0, 0.1, ..., 100.0
    constant = np.repeat(values[:, None], n, axis=1)
    means = one_sample(constant)
    low, high = means.interval()

    assert np.all(means.standard_error == 0)
    assert np.array_equal(low, high)
    assert low == pytest.approx(values)
    for gap in (1, 2, 20):
        effect = difference(constant[gap:], constant[:-gap])
        at, below = conjunction([effect], [gap / 10]), conjunction([effect], [gap / 10 - 1e-6])
        assert np.all(effect.standard_error == 0)
        assert not np.any(at.supported | at.contradicted | at.as_estimated)
        assert np.all(below.supported & below.as_estimated & ~below.contradicted)
        assert np.all(conjunction([effect], [gap / 10 + 1e-6]).contradicted)


def test_equal_differences_of_unequal_seeds_have_no_spread() -> None:
    effect = difference([30.1, 31.1, 33.3], [30.0, 31.0, 33.2], paired=True)

    assert effect.interval() == (pytest.approx(0.1), effect.interval()[0])
    assert not conjunction([effect], [0.1]).supported


def test_one_constant_side_leaves_the_interval_to_the_other() -> None:
    varied = [30.0, 31.0, 32.5]

    low, high = difference(varied, [10.0, 10.0, 10.0]).interval()

    expected_low, expected_high = one_sample(varied).interval()
    assert (low + 10, high + 10) == (pytest.approx(expected_low), pytest.approx(expected_high))


def test_below_the_margin_is_contradicted_although_above_zero() -> None:
    effect = difference([31.0, 31.1, 30.9], [30.5, 30.4, 30.6])

    assert conjunction([effect], [0.0]).supported
    assert conjunction([effect], [2.0]).contradicted


def test_summaries_equal_scipys_intervals() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"cell": np.repeat(list("bac"), 4), "value": rng.normal(size=12)})
    frame.loc[0, "value"] = np.nan

    table = summarise(frame, ["cell"]).set_index("cell")

    assert list(table.index) == list("bac")
    assert list(table["n"]) == [3, 4, 4]
    for cell, group in frame.dropna().groupby("cell")["value"]:
        expected = stats.ttest_1samp(group, 0).confidence_interval(0.95)
        assert table.loc[cell, "low"] == pytest.approx(expected.low)
        assert table.loc[cell, "high"] == pytest.approx(expected.high)


def test_a_summary_of_one_seed_has_no_interval() -> None:
    table = summarise(pd.DataFrame({"cell": ["a"], "value": [3.0]}), ["cell"])

    assert table["mean"].tolist() == [3.0]
    assert table["half_width"].isna().all()


def _cells(means: list[float], rng: np.random.Generator, n: int = 3) -> list[np.ndarray]:
    return [rng.normal(mean, 0.65, (SIMULATIONS, n)) for mean in means]


def test_top_errs_at_most_as_often_as_it_says() -> None:
    """One rival as good as the group, the others far behind: the hardest case for the intersection-union test."""
    rng = np.random.default_rng(5)
    best, rival, *others = _cells([30.0, 30.0, 20.0, 20.0, 20.0], rng)

    decision = conjunction([difference(best, other) for other in (rival, *others)], [0.0] * 4)

    assert 0.02 < np.mean(decision.supported) <= 0.055
    assert np.mean(decision.contradicted) <= 0.05


def test_top_is_seldom_contradicted_where_it_is_barely_true() -> None:
    """All rivals at the margin: the worst case for the union of contradictions."""
    best, *others = _cells([30.0] * 7, np.random.default_rng(6), n=5)

    decision = conjunction([difference(best, other) for other in others], [0.0] * 6)

    assert np.mean(decision.contradicted) <= 0.05


@pytest.mark.parametrize("num_candidates", [3, 9])
def test_choosing_among_candidates_does_not_raise_the_error_rate(num_candidates) -> None:
    rng = np.random.default_rng(8)
    candidates, singles = _cells([30.0] * num_candidates, rng), _cells([30.0, 10.0], rng)
    effects = [[difference(candidate, single) for single in singles] for candidate in candidates]

    decision = some_conjunction(effects, [[0.0] * 2] * num_candidates)

    assert np.mean(decision.supported) <= 0.05
    assert np.mean(decision.contradicted) <= 0.05


def test_a_clear_winner_is_found_and_a_clear_loser_is_told() -> None:
    rng = np.random.default_rng(9)
    winner, middle, loser = _cells([36.0, 31.0, 20.0], rng, n=5)

    found = some_conjunction([[difference(winner, middle)], [difference(loser, middle)]], [[0.0]] * 2)
    assert np.mean(found.supported) > 0.95
    found = some_conjunction([[difference(loser, middle)], [difference(loser, winner)]], [[0.0]] * 2)
    assert np.mean(found.contradicted) > 0.95


def test_no_claim_is_both_supported_and_contradicted() -> None:
    rng = np.random.default_rng(10)
    effects: list[Effect] = [difference(*_cells([mean, 0.0], rng)) for mean in (-1.0, 0.0, 1.0)]

    for decision in (conjunction(effects, [0.0] * 3), some_conjunction([[effect] for effect in effects], [[0.0]] * 3)):
        assert not np.any(decision.supported & decision.contradicted)
