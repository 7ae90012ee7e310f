"""Verdicts of the four kinds, what leaves a claim undecided, and what a wrong claim is told."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_results import FIG2_CLAIMS, FIG5_CLAIMS, fake_grids, write_results

from formats.levels import level_text
from formats.selectors import select
from reports.claims.evidence import cell_name
from reports.claims.verdicts import Verdict, decide
from reports.errors import InputError
from reports.inputs import check_grid, load_results

PAIRS, SINGLES = {"different": ["first", "second"]}, {"same": ["first", "second"]}


def _frame(values: dict[tuple[str, str], list[float]], metric: str = "linear_top1") -> pd.DataFrame:
    """Cells of two axes, one value a seed; NaN is a run that has none."""
    rows = []
    for (first, second), seeds in values.items():
        for seed, value in enumerate(seeds):
            missing = np.isnan(value)
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "role": "cell",
                    "cell_id": f"{first}-{second}",
                    "label": f"{first}, {second}",
                    "run_id": f"{first}-{second}-{seed}",
                    "seed": seed,
                    "state": "failed" if missing else "done",
                    "outcome": None if missing else "trained",
                    "metric": metric,
                    "value": value,
                }
            )
    return pd.DataFrame(rows)


CLEAR = {
    ("crop", "crop"): [33.0, 33.2, 33.1],
    ("color", "color"): [20.0, 20.3, 20.1],
    ("crop", "color"): [40.0, 40.2, 40.1],
    ("color", "crop"): [39.0, 39.3, 39.1],
}


def _decide(claim, frame, paper=None, scale="mini") -> Verdict:
    return decide(
        {"id": "C", "says": "it holds", "locus": "Sec. 1", **claim},
        frame,
        axes=["first", "second"],
        metric="linear_top1",
        scale=scale,
        paper=paper,
    )


def test_better_is_the_difference_of_per_seed_means() -> None:
    verdict = _decide({"kind": "better", "group": PAIRS, "than": SINGLES, "margin": 1.0}, _frame(CLEAR))

    per_seed = _frame(CLEAR).assign(pair=lambda f: f["first"] != f["second"]).groupby(["pair", "seed"])["value"].mean()
    assert verdict.verdict == "supported"
    assert verdict.estimate == pytest.approx(per_seed[True].mean() - per_seed[False].mean())
    assert verdict.n == 3
    assert verdict.margin == 1.0
    assert verdict.low < verdict.estimate < verdict.high


def test_the_same_with_sides_exchanged_is_contradicted() -> None:
    assert _decide({"kind": "better", "group": SINGLES, "than": PAIRS}, _frame(CLEAR)).verdict == "contradicted"


def test_top_shows_its_smallest_difference() -> None:
    verdict = _decide({"kind": "top", "group": PAIRS, "than": {}}, _frame(CLEAR))

    assert verdict.verdict == "supported"
    assert verdict.comparison == "color → crop vs crop"
    assert verdict.estimate == pytest.approx(39.1333 - 33.1, abs=1e-3)
    assert len(verdict.comparisons) == 4  # two pairs against the two singles, not against each other
    assert verdict.detail.startswith("4 of 4 comparisons lie on the claimed side, 4 beyond their noise")


def test_top_falls_by_one_comparison() -> None:
    worse = CLEAR | {("crop", "color"): [30.0, 30.1, 30.2]}

    assert _decide({"kind": "top", "group": PAIRS, "than": {}}, _frame(worse)).verdict == "contradicted"


def test_some_better_is_carried_by_its_best_candidate() -> None:
    values = CLEAR | {("color", "crop"): [10.0, 10.2, 10.1]}

    verdict = _decide({"kind": "some_better", "group": PAIRS, "than": SINGLES}, _frame(values))

    assert verdict.verdict == "supported"
    assert verdict.comparison == "crop → color vs crop"


def test_some_better_is_contradicted_if_every_candidate_loses_somewhere() -> None:
    values = CLEAR | {("color", "crop"): [22.0, 22.2, 22.1], ("crop", "color"): [23.0, 23.2, 23.1]}

    verdict = _decide({"kind": "some_better", "group": PAIRS, "than": SINGLES}, _frame(values))

    assert verdict.verdict == "contradicted"


def test_noise_leaves_a_claim_undecided() -> None:
    noisy = {cell: [20.0, 30.0 + index, 40.0] for index, cell in enumerate(CLEAR)}

    assert _decide({"kind": "better", "group": PAIRS, "than": SINGLES}, _frame(noisy)).verdict == "undecided"


def test_one_seed_is_undecided_however_large_the_effect() -> None:
    one = {cell: seeds[:1] for cell, seeds in CLEAR.items()}

    for kind in ("better", "top", "some_better"):
        verdict = _decide({"kind": kind, "group": PAIRS, "than": SINGLES}, _frame(one))
        assert verdict.verdict == "undecided"
        assert verdict.n == 1
        assert "one seed" in verdict.detail


def test_a_missing_run_leaves_the_claim_undecided_and_is_counted() -> None:
    values = CLEAR | {("crop", "color"): [40.0, np.nan, 40.1]}

    verdict = _decide({"kind": "better", "group": PAIRS, "than": SINGLES}, _frame(values))

    assert verdict.verdict == "undecided"
    assert "1 of 12 runs have no value (1 failed)" in verdict.detail
    assert verdict.n == 2
    assert verdict.estimate == pytest.approx((40 + 40.1 + 39 + 39.1) / 4 - (33.0 + 33.1 + 20.0 + 20.1) / 4, abs=0.2)


def test_no_finished_run_at_all_is_undecided() -> None:
    nothing = {cell: [np.nan] * 3 for cell in CLEAR}

    for kind in ("better", "top", "some_better"):
        verdict = _decide({"kind": kind, "group": PAIRS, "than": SINGLES}, _frame(nothing))
        assert verdict.verdict == "undecided"
        assert np.isnan(verdict.estimate)


def test_paired_takes_out_what_seeds_share() -> None:
    shared = np.array([0.0, 6.0, -5.0])
    noise = np.array([0.0, 0.1, -0.1])
    values = {("crop", "crop"): list(30 + shared), ("crop", "color"): list(31 + shared + noise)}
    claim = {"kind": "better", "group": PAIRS, "than": SINGLES}

    assert _decide(claim, _frame(values)).verdict == "undecided"
    assert _decide(claim | {"paired": True}, _frame(values)).verdict == "supported"


def test_not_testable_gives_the_reason() -> None:
    claim = {"kind": "top", "group": PAIRS, "than": {}, "not_testable": {"demo": "too few transformations"}}

    verdict = _decide(claim, _frame(CLEAR), scale="demo")

    assert (verdict.verdict, verdict.detail) == ("not testable here", "too few transformations")
    assert _decide(claim, _frame(CLEAR), scale="mini").verdict == "supported"


def test_the_papers_numbers_get_the_same_contrast(tmp_path) -> None:
    """C1 to C3 on the printed Fig. 5, as computed by hand from it."""
    (result,) = load_results(write_results(tmp_path, scales=["mini"]), ["simclr_fig5_augmentation_pairs"])

    found = {
        claim["id"]: decide(
            claim, result.frame, axes=list(result.axes), metric="linear_top1", scale="mini", paper=result.paper_cells
        ).trial.estimate
        for claim in FIG5_CLAIMS
    }

    assert found == {
        "C1": pytest.approx(56.3 - 33.1),
        "C1b": pytest.approx(55.8 - 33.1),
        "C2": pytest.approx(55.8 - 46.2),
        "C3": pytest.approx(23.85 - 13.79, abs=0.06),
    }


def _collapse(spread, loss, control, claim=FIG2_CLAIMS[0]) -> Verdict:
    rows = []
    for metric, stop, values in [
        ("z_std_ratio", "false", spread),
        ("final_loss", "false", loss),
        ("z_std_ratio", "true", control),
    ]:
        for seed, value in enumerate(values):
            row = {"stop_gradient": stop, "cell_id": stop, "run_id": f"{stop}-{seed}", "seed": seed, "value": value}
            rows.append({**row, "metric": metric, "role": "cell", "label": stop, "state": "done", "outcome": "trained"})
    rows += [{**row, "metric": "final_loss", "value": -0.9} for row in rows if row["stop_gradient"] == "true"]
    return decide(claim, pd.DataFrame(rows), axes=["stop_gradient"], metric="linear_top1", scale="mini")


def test_collapse_needs_spread_and_loss_and_a_control_that_does_not_collapse() -> None:
    low, loss, high = [0.04, 0.05, 0.06], [-0.988, -0.989, -0.987], [0.7, 0.8, 0.75]

    supported = _collapse(low, loss, high)

    assert supported.verdict == "supported"
    assert supported.wants_below
    assert supported.estimate == pytest.approx(0.05)
    assert supported.margin == 0.1
    assert _collapse([0.5, 0.6, 0.55], loss, high).verdict == "contradicted"
    assert _collapse(low, [-0.95, -0.951, -0.949], high).verdict == "contradicted"
    assert _collapse(low, loss, [0.04, 0.05, 0.06]).verdict == "contradicted"
    assert _collapse([0.04, 0.05, 0.15], loss, high).verdict == "undecided"


def test_selectors() -> None:
    cells = {
        "a": {"first": "crop", "second": "crop"},
        "b": {"first": "crop", "second": "color"},
        "c": {"first": "blur", "second": "crop"},
    }

    assert select({}, cells) == ["a", "b", "c"]
    assert select(SINGLES, cells) == ["a"]
    assert select(PAIRS, cells) == ["b", "c"]
    assert select({"first": ["crop", "blur"], "second": "crop"}, cells) == ["a", "c"]
    assert select([{"first": "blur"}, SINGLES], cells) == ["a", "c"]


def test_levels_have_one_text() -> None:
    assert [level_text(level) for level in (True, "False", 256, 256.0, "256.0", 0.5, "crop")] == [
        "true", "False", "256", "256", "256.0", "0.5", "crop",
    ]  # fmt: skip


def test_cell_names() -> None:
    assert cell_name({"first": "crop", "second": "color"}) == "crop → color"
    assert cell_name({"first": "crop", "second": "crop"}) == "crop"
    assert cell_name({"stop_gradient": "false"}) == "stop_gradient=false"
    assert cell_name({"loss": "nt_xent", "temperature": "0.1"}) == "nt_xent, temperature=0.1"


CURVES = {"kind": "curves", "color": "first", "panels": ["los"]}


def _grid() -> dict[str, Any]:
    return copy.deepcopy(next(grid for grid, _ in fake_grids() if grid["scale"] == "mini"))


def test_the_grids_of_the_generator_are_right() -> None:
    assert [check_grid(grid) for grid, _ in fake_grids()] == [[], [], [], []]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda g: g["claims"][0].update(kind="some_beter"),
            "claim C1.kind: 'some_beter': expected one of better, top, some_better, each_better",
        ),
        (
            lambda g: g["claims"][0].update(group={"frist": "crop"}),
            "claim C1.group: no axis 'frist': expected one of first",
        ),
        (
            lambda g: g["claims"][0].update(group={"first": "colour"}),
            "claim C1.group.first: no level 'colour': exp",
        ),
        (lambda g: g["claims"][0].update(than={"same": ["first", "third"]}), "claim C1.than.same: no axis 'third'"),
        (
            lambda g: g["claims"][0].update(than={"same": "first"}),
            "than.same = 'first': expected a list of at least two axes",
        ),
        (lambda g: g["claims"][0].update(margin="big"), "claim C1.margin = 'big': expected a number"),
        (lambda g: g["claims"][0].update(metric="linear_top5"), "claim C1.metric: no metric 'linear_top5'"),
        (lambda g: g["claims"][0].update(merits=1), "claim C1: unknown key 'merits'"),
        (lambda g: g["claims"][0].pop("locus"), "claim C1: no 'locus', which kind some_better needs"),
        (lambda g: g["claims"][0].update(than={}), "7 cells are in group and in than") ,
        (lambda g: g["claims"][1].update(id="C1"), "claim C1: the id stands twice"),
        (lambda g: g["claims"].append("C9"), "claims[4]: expected a mapping"),
        (lambda g: g["claims"][3].update(kind="collapse"), "claim C3: no 'threshold', which kind collapse needs"),
        (lambda g: g["figure"].update(kind="heat"), "figure.kind: 'heat': expected one of heatmap, curves, bars"),
        (lambda g: g["figure"].update(row="frist"), "figure.row: no axis 'frist'"),
        (lambda g: g["figure"].update(colour="first"), "figure: unknown key 'colour'"),
        (lambda g: g["figure"].pop("column"), "figure: no 'column', which kind heatmap needs"),
        (lambda g: g["figure"].update(metric="loss"), "figure.metric: no metric 'loss'"),
        (lambda g: g["figure"].update(kind=["heatmap"]), "figure.kind: ['heatmap']: expected one of heatmap"),
        (lambda g: g["figure"].update(row=["first"]), "figure.row: no axis ['first']: expected one of first, second"),
        (lambda g: g["figure"].update(column="first"), "figure.column: 'first' is the row too"),
        (lambda g: g["figure"].update(title=["Pairs"]), "figure.title = ['Pairs']: expected a text"),
        (lambda g: g.update(figure=CURVES | {"panels": "loss"}), "figure.panels = 'loss': expected a list of loss"),
        (lambda g: g.update(figure=CURVES | {"panels": [["lr"]]}), "figure.panels: no curve ['lr']: expected one of"),
        (lambda g: g.update(figure=CURVES | {"panels": ["lr"]}), "differ in 'second', which is not shown as color"),
        (lambda g: g.update(figure={"kind": "bars", "x": "first"}), "shown as x or color or facet; fix it in within"),
        (lambda g: g.update(figure={"kind": "bars", "x": "first", "within": {"same": [["first"], "second"]}}),
         "figure.within.same: no axis ['first']"),
        (lambda g: g.update(figure={"kind": "scatter", "x": "first"}), "figure.x: 'first': expected one of linear"),
        (lambda g: g.update(metric=["linear_top1"]), "metric: no metric ['linear_top1']: expected one of linear_top1"),
        (lambda g: g.update(figure=CURVES), "no curve 'los': expected one of loss, lr, z_std, knn_top1"),
        (lambda g: g["paper"].update(csv="simclr_fig5.csv"), "paper CSV simclr_fig5.csv: no such file"),
        (lambda g: g["paper"].pop("locus"), "paper: no 'locus'"),
        (lambda g: g["paper"].update(csv="simsiam_fig2_stop_gradient.csv"), "no column 'first'"),
        (lambda g: g.update(metric="top1"), "metric: no metric 'top1'"),
    ],
)  # fmt: skip
def test_a_wrong_grid_is_told_what_and_where(change, told) -> None:
    grid = _grid()
    change(grid)

    problems = check_grid(grid)

    if "cells are in group and in than" in told:
        grid["claims"][0]["group"] = SINGLES
        problems = check_grid(grid)
    assert any(told in problem for problem in problems), problems
    assert all(problem.startswith("simclr_fig5_augmentation_pairs at scale mini: ") for problem in problems)


def test_all_problems_come_at_once() -> None:
    grid = _grid()
    grid["figure"]["row"] = "frist"
    grid["claims"][0]["kind"] = "bettter"
    grid["metric"] = "top"

    assert len(check_grid(grid)) == 3


def test_levels_missing_at_a_scale_are_allowed_where_the_claim_is_not_testable() -> None:
    grid = next(copy.deepcopy(grid) for grid, _ in fake_grids() if grid["scale"] == "demo")
    grid["claims"][2]["than"] = {"first": "sobel"}

    assert check_grid(grid) == []
    del grid["claims"][2]["not_testable"]
    assert any("no level 'sobel'" in problem for problem in check_grid(grid))


def _loading(folder) -> str:
    with pytest.raises(InputError) as raised:
        load_results(folder)
    return "\n".join(raised.value.problems)


def test_bad_tables_are_told_all_at_once(tmp_path) -> None:
    folder = write_results(tmp_path, scales=["demo"])
    runs = folder / "runs.csv"
    runs.write_text(runs.read_text().replace("num_labels", "num_label", 1))
    curves = folder / "curves.csv"
    lines = curves.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",wide"
    curves.write_text("\n".join(lines))
    path = folder / "simsiam_fig2_stop_gradient.demo.json"
    grid = json.loads(path.read_text())
    grid["claim"] = grid.pop("claims")
    path.write_text(json.dumps(grid))

    problems = _loading(folder)

    assert "runs.csv: no column 'num_labels': expected one of" in problems
    assert "did you mean 'num_label'" in problems
    assert "curves.csv, row 4, column 'knn_top1': 'wide' is not a number" in problems
    assert "simsiam_fig2_stop_gradient.demo.json: no 'claims'" in problems


def test_broken_json_another_schema_and_an_empty_folder(tmp_path) -> None:
    assert "no result tables" in _loading(tmp_path / "nothing")
    folder = write_results(tmp_path / "r", scales=["demo"])
    (folder / "simsiam_fig2_stop_gradient.demo.json").write_text("{")
    path = folder / "simclr_fig5_augmentation_pairs.demo.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))

    problems = _loading(folder)

    assert "simsiam_fig2_stop_gradient.demo.json: not JSON" in problems
    assert "simclr_fig5_augmentation_pairs.demo.json: schema_version 2, this report reads 1" in problems


def test_names_choose_grids_and_an_unknown_one_is_told(tmp_path) -> None:
    folder = write_results(tmp_path)

    assert [r.scale for r in load_results(folder, ["simsiam_fig2_stop_gradient"])] == ["demo", "mini"]
    assert [r.scale for r in load_results(folder, ["simsiam_fig2_stop_gradient.mini"])] == ["mini"]
    with pytest.raises(InputError, match=r"no results of 'simsiam_fig2'.*did you mean"):
        load_results(folder, ["simsiam_fig2"])


def test_a_run_shared_at_another_number_of_labels_counts_once(tmp_path) -> None:
    folder = write_results(tmp_path, scales=["demo"])
    runs = folder / "runs.csv"
    lines = runs.read_text().splitlines()
    more = [",".join([*line.split(",")[:7], "99.0", "100", "10000"]) for line in lines[1:] if "linear_top1" in line]
    runs.write_text("\n".join([*lines, *more]))

    for result in load_results(folder):
        assert not result.frame.duplicated(["run_id", "metric"]).any()
        assert result.frame[result.frame["metric"] == "linear_top1"]["value"].max() < 99


def test_a_diverged_run_has_no_value_and_is_named(tmp_path) -> None:
    folder = write_results(tmp_path, scales=["demo"])
    path = folder / "simsiam_fig2_stop_gradient.demo.json"
    grid = json.loads(path.read_text())
    run = grid["cells"][0]["runs"][1]
    run["outcome"] = "diverged"
    path.write_text(json.dumps(grid))
    runs = folder / "runs.csv"
    kept = [
        line if run["run_id"] not in line else ",".join([*line.split(",")[:7], "nan", *line.split(",")[8:]])
        for line in runs.read_text().splitlines()
    ]
    runs.write_text("\n".join(kept))

    (result,) = load_results(folder, ["simsiam_fig2_stop_gradient"])
    verdict = decide(FIG2_CLAIMS[1], result.frame, axes=list(result.axes), metric="linear_top1", scale="demo")

    assert verdict.verdict == "undecided"
    assert "1 of 6 runs have no value (1 diverged)" in verdict.detail
