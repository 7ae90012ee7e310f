"""The rule keeps its promises in simulation: the short form of ``nox -s simulation``."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from simulation import (
    PROMISES,
    after_looks,
    coverage,
    family_errors,
    moved,
    peeking,
    power,
    promised,
    promised_looks,
    tuned,
    until_decided,
)

DRAWS = 20_000


@pytest.mark.parametrize(("num", "num_than"), list(itertools.product((3, 5, 10), repeat=2)))
def test_intervals_hold_the_truth_as_often_as_they_say(num, num_than) -> None:
    rng = np.random.default_rng(num * 100 + num_than)

    for sd_ratio in (0.5, 1.0, 2.0):
        found = coverage(num, num_than, sd_ratio, DRAWS, rng)
        assert 0.93 <= found <= 0.97, (sd_ratio, found)
        if num == num_than >= 5:
            assert 0.94 <= found <= 0.96, (sd_ratio, found)


def test_an_effect_at_the_margin_is_supported_at_most_one_time_in_twenty_over_all_looks() -> None:
    decision = after_looks(2.0, 2.0, DRAWS, np.random.default_rng(1))

    assert 0.01 < np.mean(decision.supported) <= 0.05
    assert 0.01 < np.mean(decision.contradicted) <= 0.05
    assert peeking(DRAWS, np.random.default_rng(2)) > 0.1  # what the looks are for


def test_the_claims_of_a_grid_together_err_at_most_one_time_in_twenty() -> None:
    assert family_errors(4, 4000, np.random.default_rng(3)) <= 0.05


@pytest.mark.parametrize("effects", [(0.0, 0.0, 0.0), (3.0, 0.0, 0.0)])
def test_adding_seeds_where_claims_are_undecided_errs_at_most_one_time_in_twenty(effects) -> None:
    """Margins are 0: an effect of 0 stands exactly at it, so either verdict on it is false."""
    verdicts, seeds = until_decided(effects, 1500, np.random.default_rng(5))

    for wrong in ("supported", "contradicted"):
        errors = [any(words[i] == wrong for i, effect in enumerate(effects) if not effect) for words in verdicts]
        assert np.mean(errors) <= 0.05, wrong
    spent = np.mean(seeds, axis=0)
    assert spent[-1] > 11  # next to nothing is decided where nothing is there
    if effects[0]:
        assert spent[0] < 5
        assert np.mean([words[0] == "supported" for words in verdicts]) > 0.99


def test_choosing_a_level_on_other_seeds_does_not_bias_the_comparison() -> None:
    assert tuned(5, DRAWS, np.random.default_rng(6), own_seed=True) <= 0.05
    assert tuned(5, DRAWS, np.random.default_rng(6), own_seed=False) > 0.1  # what the tuning seeds are for


def test_seeds_resolve_what_the_documentation_says() -> None:
    rng = np.random.default_rng(4)

    assert power(1.5, 3, DRAWS, rng) > 0.6
    assert power(1.0, 5, DRAWS, rng) > 0.6
    assert power(0.5, 3, DRAWS, rng) < 0.3
    assert np.mean(after_looks(2.0, 0.0, DRAWS, rng).supported) > 0.99


@pytest.mark.parametrize("name", PROMISES)
def test_the_further_seeds_decide_as_often_as_they_say(name) -> None:
    more, share = promised(name, 3, 1000, np.random.default_rng(8))

    assert more is not None
    assert 0.75 <= share <= 0.87, (more, share)


@pytest.mark.parametrize(("effect", "more"), [(0.75, None), (1.0, 9), (1.25, 5)])
def test_further_seeds_end_at_the_first_look_that_decides_as_often(effect, more) -> None:
    told, shares = promised_looks(effect, 4000, np.random.default_rng(9))

    assert told == more
    by_look = dict(zip((2, 5, 9), shares, strict=True))
    assert all(share < 0.8 for seeds, share in by_look.items() if more is None or seeds < more)
    assert more is None or by_look[more] > 0.8


@pytest.mark.parametrize(("num_was", "num_now"), [(3, 3), (5, 5), (3, 5), (3, 10), (8, 8), (8, 12)])
def test_a_cell_that_did_not_move_is_seldom_found_to_have_moved(num_was, num_now) -> None:
    rng = np.random.default_rng(num_was * 100 + num_now)

    assert 0.02 < moved(num_was, num_now, 1.0, DRAWS, rng) <= 0.055  # ranks of 8 and 8 err 4.99 % of the time, exactly
    assert moved(num_was, num_now, 1.0, 2000, rng, num_cells=49) <= 0.05


def test_a_few_noisy_seeds_against_many_move_no_cell_of_a_grid() -> None:
    """With all ten, Welch's test finds some cell of 49 moved in two grids of five."""
    assert moved(3, 10, 2.0, 2000, np.random.default_rng(7), num_cells=49) <= 0.05
