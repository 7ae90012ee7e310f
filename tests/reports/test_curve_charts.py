"""Curves of runs and of cells: as pandas groups them, one line where all agree, a mean that hides no divergence."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from fake_results import write_results

from reports.inputs import GridResult, load_results
from reports.page.curve_charts import cell_charts, recorded, run_charts

FIG2 = "simsiam_fig2_stop_gradient"


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> GridResult:
    (result,) = load_results(write_results(tmp_path_factory.mktemp("results"), scales=["demo"]), [FIG2])
    return result


def first_cell(result: GridResult) -> tuple[str, list[str]]:
    cell = result.spec["cells"][0]
    return cell["cell_id"], [run["run_id"] for run in cell["runs"]]


def with_curves(result: GridResult, curves: pd.DataFrame) -> GridResult:
    return dataclasses.replace(result, curves=curves)


def test_what_was_recorded_is_a_pandas_one_liner_in_whatever_order_the_rows_are(result) -> None:
    shuffled = with_curves(result, result.curves.sample(frac=1, random_state=0).reset_index(drop=True))

    found = recorded(shuffled)

    assert set(found) == set(result.curves["run_id"])
    for run_id, columns in found.items():
        rows = result.curves[result.curves["run_id"] == run_id].sort_values("step")
        for name, column in columns.items():
            np.testing.assert_array_equal(column, rows[name])


def test_the_rate_that_all_runs_share_is_one_line_and_the_losses_are_three(result) -> None:
    found = recorded(result)
    charts = run_charts([(run_id, found[run_id]) for run_id in first_cell(result)[1]])

    assert [len(chart.lines) for chart in charts] == [3, 3, 3, 1]
    assert "All 3 runs alike" in charts[3].alt


def test_knn_is_a_line_through_the_steps_where_it_was_measured(result) -> None:
    cell_id, runs = first_cell(result)
    of_first = result.curves[result.curves["run_id"] == runs[0]].dropna(subset="knn_top1")
    *_, single, _ = run_charts([("Seed 0", recorded(result)[runs[0]])])
    *_, of_cell = cell_charts(result)[cell_id]

    assert (single.title, len(of_first)) == ("kNN top-1 (%)", 3)
    assert [len(line.polylines) for line in (*single.lines, *of_cell.lines)] == [1] * 5
    assert [len(line.polylines[0].split(" ")) for line in of_cell.lines] == [3] * 4
    assert "missing" not in single.alt


def test_runs_without_knn_have_no_chart_of_it(result) -> None:
    cell_id, runs = first_cell(result)
    curves = result.curves.copy()
    curves.loc[curves["run_id"] == runs[0], "knn_top1"] = np.nan
    some, none = with_curves(result, curves), with_curves(result, curves.assign(knn_top1=np.nan))

    assert [len(chart.lines) for chart in cell_charts(some)[cell_id]] == [4, 4, 3]
    assert [chart.title for chart in cell_charts(none)[cell_id]] == ["Training loss", "Spread of z in training (z_std)"]
    assert len(run_charts([("Seed 0", recorded(none)[runs[0]])])) == 3


def test_a_run_keeps_its_style_where_others_have_no_curve(result) -> None:
    run_id = first_cell(result)[1][0]
    charts = run_charts([("Seed 0", {}), ("Seed 1", {}), ("Seed 2", recorded(result)[run_id])])

    assert [line.look for line in charts[0].lines] == ["run-2"]
    assert run_charts([("Seed 0", {})]) == []


def test_the_even_spread_is_told_with_the_spread_alone(result) -> None:
    run_id = first_cell(result)[1][0]
    loss, spread, *_ = run_charts([("Seed 0", recorded(result)[run_id])], 1 / math.sqrt(128))

    assert loss.reference is None
    assert "0.0884" in spread.reference[1]


def test_the_mean_is_over_the_seeds_of_a_step(result) -> None:
    cell_id, runs = first_cell(result)
    mean = result.curves[result.curves["run_id"].isin(runs)].groupby("step")["loss"].mean()

    (chart,) = cell_charts(result, ["loss"])[cell_id]

    assert [line.look for line in chart.lines] == ["seed", "seed", "seed", "mean"]
    first, last = (f"{mean.iloc[end]:#.3g}".replace("-", "\N{MINUS SIGN}") for end in (0, -1))
    assert chart.finding == f"From {first} to {last}."


def test_the_mean_ends_where_a_seed_diverges(result) -> None:
    cell_id, runs = first_cell(result)
    curves = result.curves.copy()
    curves.loc[(curves["run_id"] == runs[1]) & (curves["step"] >= 200), "loss"] = np.nan

    (chart,) = cell_charts(with_curves(result, curves), ["loss"])[cell_id]

    *seeds, mean = chart.lines
    ends = [int(line.polylines[-1].split(" ")[-1].split(",")[0]) for line in (*seeds, mean)]
    assert ends[3] == ends[1] < ends[0] == ends[2]
    assert "not finite from there on" in chart.alt


def test_the_mean_is_over_the_steps_that_all_seeds_have(result) -> None:
    cell_id, runs = first_cell(result)
    curves = result.curves[(result.curves["run_id"] != runs[0]) | (result.curves["step"] % 20 == 0)]

    (chart,) = cell_charts(with_curves(result, curves), ["loss"])[cell_id]

    assert len(chart.lines[-1].polylines[0].split(" ")) == 20


def test_a_single_seed_is_no_mean(result) -> None:
    cell_id, runs = first_cell(result)
    one = with_curves(result, result.curves[result.curves["run_id"] == runs[0]])

    charts = cell_charts(one, ["loss"])

    assert list(charts) == [cell_id]
    assert "Seed 0: from" in charts[cell_id][0].alt


def test_cells_share_their_axes(result) -> None:
    charts = list(cell_charts(result).values())

    assert len(charts) == 2
    assert charts[0][0].y_ticks == charts[1][0].y_ticks
    assert charts[0][0].x_ticks == charts[1][0].x_ticks
    assert charts[0][0].y_ticks != charts[0][1].y_ticks
