"""The kinds of claims beyond comparing groups, the family of a grid, looks, and the papers on trial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablations.study.expand import load_grid
from reports.claims.comparisons import Comparison
from reports.claims.more_seeds import further_seeds
from reports.claims.on_paper import NOT_PRINTED, Trial, noise_sd, put_on_trial
from reports.claims.rule import LOOKS, alpha_at_look, holm, settle
from reports.claims.stats import Effect, Proportion, contrast, one_sample
from reports.claims.verdicts import Verdict, as_printed, decide, judge
from reports.read.papers import load_paper

HEAD = {"id": "C", "says": "it holds", "locus": "Sec. 1"}
NOISE = np.array([0.0, 0.3, -0.3])
AXES = ["method", "batch"]


def _frame(means: dict[tuple[str, str], float], metric: str = "linear_top1", noise=NOISE, outcome="trained") -> Any:
    """Cells of two axes; every cell has the same noise in another order."""
    rows = []
    for shift, ((method, batch), mean) in enumerate(means.items()):
        for seed, value in enumerate(mean + np.roll(noise, shift)):
            row = {"method": method, "batch": batch, "cell_id": f"{method}-{batch}", "seed": seed, "value": value}
            row |= {"run_id": f"{method}-{batch}-{seed}", "role": "cell", "label": "", "metric": metric}
            rows.append(row | {"state": "done", "outcome": outcome})
    return pd.DataFrame(rows)


GRID = {
    ("a", "64"): 60.0, ("a", "128"): 62.0, ("a", "256"): 64.0,
    ("b", "64"): 66.0, ("b", "128"): 66.5, ("b", "256"): 67.0,
}  # fmt: skip


def _decide(claim, frame=None, *, looks=False, paper=None) -> Verdict:
    frame = _frame(GRID) if frame is None else frame
    return decide(HEAD | claim, frame, axes=AXES, metric="linear_top1", scale="mini", looks=looks, paper=paper)


def test_a_trend_is_the_change_from_end_to_end() -> None:
    claim = {"kind": "trend", "along": "batch", "direction": "rises", "within": {"method": "a"}, "margin": 1.0}

    rising = _decide(claim)

    assert rising.verdict == "supported"
    assert rising.estimate == pytest.approx(4.0)
    assert _decide(claim | {"direction": "falls"}).verdict == "contradicted"
    assert _decide(claim | {"margin": 6.0}).verdict == "contradicted"


def test_a_trend_of_three_levels_has_the_regressions_slope() -> None:
    values = dict(zip(GRID, [60.0, 65.0, 63.0], strict=False))
    verdict = _decide({"kind": "trend", "along": "batch", "direction": "rises"}, _frame(values))

    assert verdict.estimate == pytest.approx(2 * stats.linregress([0, 1, 2], [60.0, 65.0, 63.0]).slope)


def test_an_interaction_is_the_difference_of_the_differences() -> None:
    claim = {
        "kind": "interaction", "group": {"batch": "highest"}, "than": {"batch": "lowest"},
        "from": {"method": "a"}, "to": {"method": "b"}, "direction": "shrinks",
    }  # fmt: skip

    verdict = _decide(claim)

    assert verdict.estimate == pytest.approx((64 - 60) - (67 - 66))
    assert verdict.verdict == "supported"
    assert "from +4.00 to +1.00" in verdict.detail
    assert _decide(claim | {"direction": "grows"}).verdict == "contradicted"


def test_an_optimum_inside() -> None:
    hill = _frame({("a", "64"): 60.0, ("a", "128"): 65.0, ("a", "256"): 62.0})
    claim = {"kind": "interior_optimum", "along": "batch"}

    assert _decide(claim, hill).verdict == "supported"
    assert _decide(claim, hill).estimate == pytest.approx(3.0)
    assert _decide(claim | {"best": 128}, hill).verdict == "supported"
    assert _decide(claim | {"within": {"method": "a"}}).verdict == "contradicted"


def test_equivalence_is_two_one_sided_tests() -> None:
    claim = {"kind": "equivalent", "group": {"method": "b", "batch": "128"}, "than": {"method": "b", "batch": "256"}}

    assert _decide(claim | {"margin": 2.0}).verdict == "supported"
    assert _decide(claim | {"margin": 0.6}).verdict == "undecided"
    assert _decide(claim | {"than": {"method": "a", "batch": "64"}, "margin": 2.0}).verdict == "contradicted"
    assert (
        _decide({"kind": "equivalent", "group": {"method": "a"}, "than_value": 62.0, "margin": 2.0}).verdict
        == "supported"
    )


def test_a_range_below_a_number_and_below_an_effect() -> None:
    flat = {"kind": "range_below", "along": "batch", "within": {"method": "b"}}

    assert _decide(flat | {"margin": 3.0}).verdict == "supported"
    assert _decide({**flat, "within": {"method": "a"}, "margin": 2.0}).verdict == "contradicted"
    effect = _decide(flat | {"group": {"method": "b"}, "than": {"method": "a"}, "paired": True})
    assert effect.estimate == pytest.approx(66.5 - 62 - 1)


def test_the_same_run_in_two_terms_is_compared_seed_by_seed() -> None:
    shared = np.array([0.0, 8.0, -8.0])
    one = {("a", "64"): 50.0}
    frame = pd.concat([_frame(one, noise=shared), _frame({("a", "64"): 38.0}, "linear_z_top1", shared + NOISE)])
    claim = {"kind": "better", "group": {"method": "a"}, "than_metric": "linear_z_top1", "margin": 10.0}

    assert _decide(claim, frame).verdict == "supported"


def test_each_has_its_own_partner() -> None:
    verdict = _decide({"kind": "each_better", "group": {"method": "b"}, "than": {"method": "a"}, "match": ["batch"]})

    assert (verdict.verdict, len(verdict.comparisons)) == ("supported", 3)
    assert verdict.detail.startswith("3 of 3 cells lie above all their partners")


@pytest.mark.parametrize(("ours", "words"), [([1, 2, 3, 4, 5, 6], "supported"), ([6, 5, 4, 3, 2, 1], "contradicted")])
def test_ranks_agree_with_the_paper(ours, words) -> None:
    paper = pd.DataFrame(
        [{"method": method, "batch": batch, "metric": "linear_top1", "value": float(rank)}
         for rank, (method, batch) in enumerate(GRID)]
    )  # fmt: skip
    frame = _frame({cell: 10.0 * value for cell, value in zip(GRID, ours, strict=True)})

    verdict = _decide({"kind": "rank_agreement", "rho": 0.5}, frame, paper=paper)

    assert verdict.verdict == words
    assert verdict.unit == ""


def test_failing_to_learn_is_not_a_collapse() -> None:
    def frame(spread: float) -> pd.DataFrame:
        small = NOISE / 100
        losses = _frame({("a", "64"): -0.1, ("b", "64"): -0.9}, "final_loss", small)
        return pd.concat([losses, _frame({("a", "64"): spread, ("b", "64"): 0.8}, "z_std_ratio", small)])

    sides = {"group": {"method": "a"}, "than": {"method": "b"}, "threshold": 0.1}
    stuck = sides | {"kind": "no_convergence", "loss_above": -0.5}

    assert _decide(stuck, frame(0.6)).verdict == "supported"
    assert _decide(stuck, frame(0.03)).verdict == "contradicted"
    assert _decide(sides | {"kind": "collapse", "loss_below": -0.98}, frame(0.6)).verdict == "contradicted"


@pytest.mark.parametrize(("num_seeds", "words"), [(3, "undecided"), (5, "supported")])
def test_divergence_is_counted(num_seeds, words) -> None:
    frame = _frame({("a", "64"): math.nan}, noise=np.zeros(num_seeds), outcome="diverged")

    verdict = _decide({"kind": "diverges", "group": {"method": "a"}}, frame)

    assert (verdict.verdict, verdict.estimate) == (words, 1.0)  # 1/2 to the 5th is below 5 %


@pytest.mark.parametrize("state", ["planned", "running", "failed"])
def test_divergence_is_undecided_until_every_run_has_ended(state) -> None:
    """Diverged runs end first: five of five here, of which the sixth would make five of six."""
    frame = _frame({("a", "64"): math.nan}, noise=np.zeros(6), outcome="diverged")
    last = frame["seed"] == 5
    claim = {"kind": "diverges", "group": {"method": "a"}}

    def found(outcome: str | None) -> Verdict:
        return _decide(claim, frame.assign(outcome=frame["outcome"].mask(last, outcome), state=state))

    open_ = found(None)
    assert (open_.verdict, open_.missing, open_.p_supported) == ("undecided", True, 1.0)
    assert (open_.comparison, open_.estimate) == ("a, batch=64: 5 of 5 diverged", 1.0)
    assert f"1 of 6 runs have no outcome (1 {state}), so the claim is left undecided" in open_.detail
    assert found("diverged").verdict == "supported"
    assert (found("trained").verdict, found("trained").missing) == ("undecided", False)


def test_a_contrast_of_two_is_welchs_as_scipy_has_it() -> None:
    a, b = [36.1, 37.4, 36.6], [33.0, 35.9, 34.1]
    found, expected = contrast([a, b], [1.0, -1.0]), stats.ttest_ind(a, b, equal_var=False, alternative="greater")

    assert found.p_above(0.0) == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert one_sample(a).p_above(36.0) == pytest.approx(stats.ttest_1samp(a, 36.0, alternative="greater").pvalue)


def test_holm_adjusts_a_family_and_leaves_out_what_cannot_be_tested() -> None:
    sides = {"group": {"method": "b", "batch": "64"}, "than": {"method": "a", "batch": "256"}}
    close = HEAD | {"kind": "better", "margin": 1.5} | sides
    claims = [close | {"id": name} for name in "ABC"]
    away = HEAD | {"id": "D", "kind": "better", "not_testable": {"mini": "too small"}} | sides

    alone = decide(close, _frame(GRID), axes=AXES, metric="linear_top1", scale="mini")
    (single,) = judge([close], _frame(GRID), axes=AXES, metric="linear_top1", scale="mini")
    family = judge([*claims, away], _frame(GRID), axes=AXES, metric="linear_top1", scale="mini")

    assert single.adjusted == pytest.approx(alone.p_supported)
    assert family[0].adjusted == pytest.approx(min(1.0, 3 * alone.p_supported))
    assert [verdict.verdict for verdict in family] == ["undecided"] * 3 + ["not testable here"]
    assert family[0].further_seeds is not None
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_looks_pay_for_themselves_and_what_is_decided_stays_so() -> None:
    noise = np.array([0.0, 0.1, -0.1, 9.0, -9.0])
    means = {("a", "64"): 50.0, ("b", "64"): 53.0}
    claim = {"kind": "better", "group": {"method": "b"}, "than": {"method": "a"}}

    def with_looks(num_seeds: int) -> Verdict:
        frame = _frame(means, noise=noise)
        frame["value"] = frame["value"].where(frame["seed"] < num_seeds)
        return _decide(claim, frame, looks=True)

    # The shift between the cells puts an outlier among the first three seeds of the second; give both the same order.
    frame = _frame(means, noise=noise)
    frame["value"] = frame["value"] - np.roll(noise, 1)[frame["seed"]] * (frame["method"] == "b")
    frame["value"] += noise[frame["seed"]] * (frame["method"] == "b")
    first = _decide(claim, frame[frame["seed"] < LOOKS[0]], looks=True)
    both = _decide(claim, frame, looks=True)

    assert (first.verdict, both.verdict) == ("supported", "supported")
    assert both.p_supported == pytest.approx(first.p_supported)
    assert _decide(claim, frame).verdict == "undecided"  # one look at all five
    assert "the first look is after 3 seeds" in _decide(claim, frame[frame["seed"] < 2], looks=True).detail
    assert "runs have no value" in with_looks(2).detail


def test_what_is_decided_stays_decided_and_stays_in_the_family() -> None:
    clear, against, late = [(0.001, 1.0), (0.001, 1e-9)], [(0.3, 1.0)] * 4, [(0.2, 1.0), (0.02, 1.0)]

    first, second, third = settle([clear, against, late])

    assert (first.place, first.p_supported, first.p_contradicted) == (0, pytest.approx(0.003), 1.0)
    assert (second.place, second.decided) == (3, False)
    assert (third.place, third.p_supported) == (1, pytest.approx(0.04))  # 0.02 times the two that are left
    assert settle([late])[0].p_supported == pytest.approx(0.02)
    assert settle([]) == []


def test_looks_divide_alpha() -> None:
    assert [alpha_at_look(look) for look in (2, *LOOKS)] == [0.0, *[0.0125] * 4]


def test_a_look_sees_no_seed_beyond_it() -> None:
    """Cells with more seeds than the claim's look change nothing, whatever those seeds say."""
    claim = {"kind": "better", "group": {"method": "b"}, "than": {"method": "a"}}
    calm = _frame({("a", "64"): 50.0, ("b", "64"): 50.4}, noise=np.array([0.0, 0.1, -0.1]))
    wild = _frame({("b", "64"): 99.0}, noise=np.linspace(0.0, 9.0, 12))

    before = _decide(claim, calm, looks=True)
    after = _decide(claim, pd.concat([calm, wild[wild["seed"] > 2]]), looks=True)

    assert (after.n, after.look) == (before.n, before.look) == (3, 3)
    assert (after.p_supported, after.estimate, after.verdict) == (before.p_supported, before.estimate, before.verdict)


def test_divergence_is_counted_at_looks_too() -> None:
    claim = {"kind": "diverges", "group": {"method": "a"}}

    def found(num_seeds: int) -> Verdict:
        return _decide(
            claim, _frame({("a", "64"): math.nan}, noise=np.zeros(num_seeds), outcome="diverged"), looks=True
        )

    assert [found(num).verdict for num in (2, 5, 7, 8)] == ["undecided", "undecided", "undecided", "supported"]
    assert found(8).p_supported == pytest.approx(4 / 2**8)


def _further(*rows: tuple[Effect | Proportion, float], family=(1, 1), look=None) -> tuple[int | None, str]:
    return further_seeds([[Comparison("", effect, margin) for effect, margin in rows]], family, look=look)


def test_further_seeds_have_the_power_of_students_test() -> None:
    more, words = _further((one_sample([0.7, 1.9, 0.4]), 0.0))

    def power(num: int) -> float:
        size = 1.0 / np.std([0.7, 1.9, 0.4], ddof=1) * math.sqrt(num)
        return float(stats.nct.sf(stats.t.ppf(0.95, num - 1), num - 1, size))

    assert more is not None
    assert words == f"about {more} more would decide"
    assert power(3 + more) > 0.76
    assert power(2 + more) < 0.84
    assert _further((one_sample([1.0]), 0.0)) == (None, "")
    assert _further((one_sample([1.0, 2.0, 3.0]), 2.0)) == (None, "more than 1,000 more needed")
    assert _further((one_sample([2.0, 2.0, 2.0]), 2.0)) == (None, "more than 1,000 more needed")


def test_further_seeds_of_divergence_are_those_of_the_binomial_test() -> None:
    both = [(Proportion(3, 3), 0.5), (Proportion(3, 3), 0.5)]

    assert _further(*both) == (2, "about 2 more would decide")  # 1/2 to the 5th
    assert _further(*both, family=(2, 1))[0] == 3
    assert _further(*both, look=3) == (5, "5 more would decide, at the look after 8")


def test_further_seeds_end_at_the_looks() -> None:
    effect = one_sample([0.7, 1.9, 0.4])

    assert _further((effect, -0.3), look=3) == (5, "5 more would decide, at the look after 8")
    assert _further((effect, 0.0), look=3) == (9, "9 more would decide, at the look after 12")
    assert _further((effect, 0.0), look=8) == (4, "4 more would decide, at the look after 12")
    assert _further((effect, 0.7), look=3) == (None, "no decision expected by the last look, after 12")
    assert _further((effect, 0.0), look=12) == (None, "no look is left")


@pytest.mark.parametrize(("others", "family"), [("b", (4, 1)), ("a", (1, 4)), ("", (1, 1))])
def test_further_seeds_pay_for_the_claims_that_stay_in_the_family(others, family) -> None:
    """Contradicted claims stay in the family of "supported", with a p-value of 1, and the other way round."""
    better = HEAD | {"kind": "better", "than": {"method": "a", "batch": "64"}}
    close = better | {"group": {"method": "a", "batch": "128"}, "margin": 1.9}
    clear = better | {"group": {"method": "b", "batch": "256"}} | {"margin": 99.0 if others == "b" else -99.0}
    claims = [close, *(clear | {"id": f"O{number}"} for number in range(3 if others else 0))]

    shown, *rest = judge(claims, _frame(GRID), axes=AXES, metric="linear_top1", scale="mini")

    assert shown.question is not None
    assert {each.verdict for each in rest} <= {"contradicted" if others == "b" else "supported"}
    assert {(each.further_seeds, each.outlook) for each in rest} <= {(None, "")}
    assert (shown.further_seeds, shown.outlook) == further_seeds(shown.question.candidates, family)
    assert shown.further_seeds is not None


def _trial(claim, csv, axes, key="simclr") -> Trial:
    paper = load_paper(csv, axes)
    return put_on_trial(
        HEAD | claim, paper[paper["role"] == "cell"], axes=axes, metric="linear_top1", noise=noise_sd(key)
    )


@pytest.mark.parametrize(("scaling", "words", "change"), [("linear", "holds", 4.9), ("sqrt", "fails", -0.6)])
def test_gaps_shrink_with_training_for_linear_scaling_only(scaling, words, change) -> None:
    claim = {
        "kind": "interaction", "direction": "shrinks",
        "group": {"lr_scaling": scaling, "global_batch_size": "highest"},
        "than": {"lr_scaling": scaling, "global_batch_size": "lowest"},
        "from": {"epochs": "lowest"}, "to": {"epochs": "highest"},
    }  # fmt: skip

    trial = _trial(claim, "simclr_tableB1_batch_epochs_lr_scaling.csv", ["lr_scaling", "epochs", "global_batch_size"])

    assert trial.words == f"{words} as printed"
    assert trial.estimate == pytest.approx(change)
    assert trial.high - trial.low == pytest.approx(2 * 1.96 * 2 * 0.79, rel=1e-3)  # four single runs


def _declared(grid_name: str, claim_id: str) -> Trial:
    """A shipped claim on the paper's numbers."""
    grid = load_grid(grid_name)
    (claim,) = [claim for claim in grid.claims if claim["id"] == claim_id]
    axes = [
        axis.name for axis in next(iter(grid.scales.values())).axes if not (grid.tune and axis.key in grid.tune.axes)
    ]
    paper = load_paper(grid.paper["csv"], axes)
    cells = paper[paper["role"] == "cell"]
    return put_on_trial(as_printed(claim), cells, axes=axes, metric=grid.metric, noise=noise_sd(grid.paper["key"]))


@pytest.mark.parametrize(
    ("grid", "claim", "estimate"),
    [
        ("simclr_table4_loss_functions", "C13", 63.9 - 57.9),
        ("simclr_table4_loss_functions", "C14", 57.5 - 50.9),
        ("simclr_table4_loss_functions", "C14b", 57.9 - 51.6),
        ("simclr_cifar10", "C26", 95.1 - 94.0),
        ("simclr_table7_semi_supervised", "C22", 48.3 - 25.4),
        ("simclr_table7_semi_supervised", "C22b", 65.6 - 56.4),
        ("simclr_table7_semi_supervised", "C22c", 63.0 - 48.3),
    ],
)
def test_tuned_and_fine_tuned_claims_hold_as_printed(grid, claim, estimate) -> None:
    trial = _declared(grid, claim)

    assert (trial.words, trial.estimate) == ("holds as printed", pytest.approx(estimate))


@pytest.mark.parametrize(
    ("last_of_the_low", "verdict"),
    [(91.0, "supported"), (94.0, "contradicted")],  # 94.0 leaves .5 the best on average over the batches
)
def test_app_b9_is_asked_within_a_temperature_and_at_every_batch_size(last_of_the_low, verdict) -> None:
    batches = ("256", "512", "1024", "2048", "4096")
    at = {"0.1": (88.0, 88.5, 89.0, 89.5, last_of_the_low), "0.5": (93.0, 93.0, 93.0, 93.0, 92.0), "1.0": (87.0,) * 5}
    by_temperature = _frame({(t, b): mean for t, means in at.items() for b, mean in zip(batches, means, strict=True)})
    frame = by_temperature.rename(columns={"method": "temperature", "batch": "global_batch_size"}).assign(
        method="simclr"
    )
    axes = ["method", "temperature", "global_batch_size"]
    claims = {claim["id"]: claim for claim in load_grid("simclr_cifar10").claims}

    def decided(name: str) -> Verdict:
        return decide(claims[name], frame, axes=axes, metric="linear_top1", scale="cifar10", looks=False)

    assert decided("C28").verdict == verdict
    assert decided("C28b").verdict == "supported"
    assert decided("C28b").estimate == pytest.approx(np.polyfit(range(5), at["0.1"], 1)[0] * 4)
    assert decided("C27").estimate == pytest.approx(1.0)  # at .5 alone; over all temperatures it would be below 0


def test_composing_does_not_help_every_pair() -> None:
    trial = _declared("simclr_fig5_augmentation_pairs", "C3b")

    assert trial.words == "fails as printed"
    assert trial.detail.startswith("25 of 42 cells lie above all their partners")
    assert trial.estimate == pytest.approx(7.5 - 18.8)


def test_what_was_never_printed_is_not_tried() -> None:
    claim = {"kind": "better", "group": {"batch_norm": "default"}, "than": {"batch_norm": "all"}}

    assert _trial(claim, "simsiam_table3_batchnorm.csv", ["batch_norm"], "simsiam").words == NOT_PRINTED
    assert (
        _trial(
            claim | {"not_printed": True, "than": {"batch_norm": "none"}},
            "simsiam_table3_batchnorm.csv",
            ["batch_norm"],
        ).words
        == NOT_PRINTED
    )
