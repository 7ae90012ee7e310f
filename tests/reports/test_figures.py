"""Figures: the numbers in them, what unfinished work looks like, and files that do not change without reason."""

from __future__ import annotations

import itertools
import json
import re

import matplotlib as mpl
import numpy as np
import pytest
from fake_results import write_results
from made_up_grids import write_grids
from matplotlib.colors import to_rgba

from reports.claims.checks import figure_problems
from reports.figures.agreement import rank_agreement
from reports.figures.drawing import describe, draw, plot
from reports.figures.style import COLORS, REFERENCE, SEQUENTIAL, save, style, text_color
from reports.inputs import GridResult, load_results

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, GridResult]:
    folder = write_results(tmp_path_factory.mktemp("results"))
    return {f"{result.name}.{result.scale}": result for result in load_results(folder)}


@pytest.fixture(scope="module")
def svgs(results) -> dict[str, str]:
    return {name: save(draw(result), "svg").decode() for name, result in results.items() if name.endswith("demo")}


def _texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_heatmap_shows_every_mean_and_half_width(results, svgs) -> None:
    rows = results[f"{FIG5}.demo"].frame.query("role == 'cell' and metric == 'linear_top1'")
    table = rows.groupby(["first", "second"])["value"].agg(["mean", "sem"])
    texts = _texts(svgs[f"{FIG5}.demo"])

    for _, cell in table.iterrows():
        assert f"{cell['mean']:.1f}" in texts
        assert f"±{cell['sem'] * 4.302652729911275:.1f}" in texts  # t quantile of two degrees of freedom


def test_the_heatmap_shows_the_paper_beside_it_and_the_untrained_mean(results, svgs) -> None:
    frame = results[f"{FIG5}.demo"].frame.query("role == 'reference' and metric == 'linear_top1'")
    texts = _texts(svgs[f"{FIG5}.demo"])

    assert {"33.1", "56.3", "30.2", "55.8", "18.8", "20.8", "30.0", "20.7", "2.6"} <= set(texts)
    assert f"{(33.1 + 56.3 + 30.2) / 3:.1f}" in texts  # the row average over the cells shown, not the printed 39.2
    assert "39.2" not in texts
    assert any(text.startswith(f"untrained {frame['value'].mean():.1f} ±") for text in texts)


def test_ours_and_the_paper_share_one_colour_scale_in_the_papers_order(results) -> None:
    result = results[f"{FIG5}.mini"]
    ours, paper, bar, _ = draw(result).axes
    low, high = bar.get_xlim()

    for axes, values in ((ours, result.frame), (paper, result.paper_cells)):
        mine = values[(values["metric"] == "linear_top1") & (values["first"] == "sobel") & (values["second"] == "crop")]
        expected = mpl.colormaps[SEQUENTIAL]((mine["value"].mean() - low) / (high - low))
        patch = axes.patches[3 * 8]  # row by row, seven cells and the average
        assert patch.get_facecolor() == pytest.approx(expected, abs=1e-6)
        order = [label.get_text() for label in axes.get_xticklabels()]
        assert order == ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate", "row avg."]


def test_printed_row_averages_stand_beside_the_whole_figure(results) -> None:
    texts = [text.get_text() for text in draw(results[f"{FIG5}.mini"]).axes[1].texts]

    assert {"39.2", "29.4", "25.7", "18.8", "15.5", "14.5", "13.8"} <= set(texts)


def test_every_figure_says_scale_data_and_seeds(svgs) -> None:
    for svg in svgs.values():
        assert "scale demo · photos · 3 seeds" in svg


def test_the_curves_show_final_values_and_the_papers(results, svgs) -> None:
    frame = results[f"{FIG2}.demo"].frame.query("role == 'cell' and metric == 'linear_top1'")
    texts = _texts(svgs[f"{FIG2}.demo"])

    for mean in frame.groupby("stop_gradient")["value"].mean():
        assert any(text.startswith(f"{mean:.1f} ±") for text in texts)
    assert "67.7 ±0.1" in texts
    assert "0.1" in texts
    assert texts.count("with stop-gradient") == 3  # in the legend, and in the rows of ours and of the paper's


def test_the_even_spread_is_one_over_root_d(results) -> None:
    (line,) = [line for line in draw(results[f"{FIG2}.demo"]).axes[1].lines if line.get_color() == REFERENCE]

    assert line.get_ydata()[0] == pytest.approx(128**-0.5, rel=1e-4)


def _cut(folder, name, change) -> None:
    path = folder / f"{name}.json"
    grid = json.loads(path.read_text())
    gone = change(grid)
    path.write_text(json.dumps(grid))
    for table in ("runs.csv", "curves.csv"):
        lines = (folder / table).read_text().splitlines()
        (folder / table).write_text("\n".join(line for line in lines if not any(run in line for run in gone)))


def test_unfinished_cells_are_hatched_and_say_how_many_seeds_they_have(tmp_path) -> None:
    def lose_runs(grid) -> list[str]:
        runs = [*grid["cells"][0]["runs"][:1], *grid["cells"][4]["runs"]]
        for run in runs:
            run.update(state="failed", outcome=None)
        return [run["run_id"] for run in runs]

    folder = write_results(tmp_path, scales=["demo"])
    _cut(folder, f"{FIG5}.demo", lose_runs)
    (result,) = load_results(folder, [FIG5])

    figure = draw(result)

    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "2 of 3" in texts
    assert "0 of 3" in texts
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 4  # two cells, two row averages
    assert "Hatched: unfinished" in save(figure, "svg").decode()


@pytest.mark.parametrize("name", [FIG5, FIG2])
def test_a_grid_without_any_result_can_be_drawn(tmp_path, name) -> None:
    def lose_all(grid) -> list[str]:
        for cell in grid["cells"]:
            for run in cell["runs"]:
                run.update(state="planned", outcome=None)
        return [run["run_id"] for cell in grid["cells"] for run in cell["runs"]]

    folder = write_results(tmp_path, scales=["demo"])
    _cut(folder, f"{name}.demo", lose_all)
    (result,) = load_results(folder, [name])

    assert save(draw(result), "svg").startswith(b"<?xml")
    assert describe(result)


def test_one_seed_has_no_interval_but_a_figure(tmp_path) -> None:
    folder = write_results(tmp_path, scales=["demo"])
    for name in (FIG5, FIG2):
        path = folder / f"{name}.demo.json"
        grid = json.loads(path.read_text())
        for cell in grid["cells"]:
            cell["runs"] = cell["runs"][:1]
        path.write_text(json.dumps(grid))

    for result in load_results(folder):
        assert "nan" not in " ".join(_texts(save(draw(result), "svg").decode()))


@pytest.mark.parametrize("file_format", ["svg", "pdf"])
def test_the_same_tables_give_the_same_bytes(results, file_format) -> None:
    result = results[f"{FIG2}.demo"]

    first, second = (save(draw(result), file_format) for _ in range(2))

    assert first == second
    assert b"Date" not in first


def test_text_stays_text_and_dollars_are_no_formula(tmp_path) -> None:
    folder = write_results(tmp_path, scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    grid["title"] = "costs $5 and $6 <b>"
    path.write_text(json.dumps(grid))
    (result,) = load_results(folder, [FIG2])

    svg = save(draw(result), "svg").decode()

    assert "costs $5 and $6 &lt;b&gt;: ours beside SimSiam, Fig. 2" in svg


def test_drawing_leaves_matplotlibs_settings_alone(results) -> None:
    before = dict(mpl.rcParams)

    save(draw(results[f"{FIG2}.demo"]), "svg")

    assert dict(mpl.rcParams) == before


def test_colours_survive_grey_and_text_on_them_is_read() -> None:
    def luminance(color) -> float:
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(color)[:3]]
        return float(np.dot(channels, (0.2126, 0.7152, 0.0722)))

    ramp = [luminance(mpl.colormaps[SEQUENTIAL](x)) for x in np.linspace(0, 1, 50)]
    assert all(later < earlier for earlier, later in itertools.pairwise(ramp))
    assert abs(luminance(COLORS[0]) - luminance(COLORS[1])) > 0.15
    for x in np.linspace(0, 1, 50):
        color = mpl.colormaps[SEQUENTIAL](x)
        high, low = sorted([luminance(color), luminance(text_color(color))], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_rank_agreement_is_spearmans() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])

    assert rank_agreement(x, y) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert np.isnan(rank_agreement(x[:2], y[:2]))
    assert np.isnan(rank_agreement(x, np.ones(4)))


def test_descriptions_say_the_finding(results) -> None:
    text = describe(results[f"{FIG5}.mini"])
    frame = results[f"{FIG5}.mini"].frame.query("role == 'cell' and metric == 'linear_top1'")
    best = frame.groupby(["first", "second"])["value"].mean()

    assert f"Best of ours: {best.idxmax()[0]} then {best.idxmax()[1]}, {best.max():.1f} %." in text
    assert "Best of the paper among them: crop then color, 56.3 %." in text
    assert "With stop-gradient: " in describe(results[f"{FIG2}.mini"])


def test_the_style_is_used_inside_its_block_only() -> None:
    with style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert mpl.rcParams["svg.fonttype"] == "path"


def test_an_axis_named_like_a_curve_leaves_the_curves_as_they_were_recorded(tmp_path) -> None:
    (result,) = load_results(write_grids(tmp_path, ["simclr_table4_loss_functions"]))

    assert "loss" in result.axes
    assert result.curves["loss"].dtype == float
    assert not result.curves.columns.duplicated().any()
    assert describe(result)
    problems = figure_problems({"kind": "curves", "color": "loss", "panels": ["z_std"]}, result.axes, ["m"], {})
    assert problems == ["figure.color: the axis 'loss' has the name of a recorded curve; rename it"]


@pytest.mark.parametrize(
    ("figure", "names"),
    [
        ({"kind": "curves", "color": "second", "panels": ["loss"]}, ["crop", "color", "rotate"]),
        ({"kind": "heatmap", "row": "first", "column": "second"}, ["crop"]),
    ],
)
def test_within_leaves_cells_out_of_every_kind(results, figure, names) -> None:
    result = next(each for name, each in results.items() if "fig5" in name)
    chosen = (result.frame["first"] == "crop") | (result.frame["role"] != "cell")
    kept = result.frame[chosen]
    asked = figure | {"metric": "linear_top1"}
    runs = set(kept["run_id"])

    drawn = plot(result.frame, result.paper, asked | {"within": {"first": "crop"}}, result.axes, series=result.curves)
    alone = plot(
        kept,
        result.paper[result.paper["first"] == "crop"],
        asked,
        {"first": ["crop"], "second": result.axes["second"]},
        series=result.curves[result.curves["run_id"].isin(runs)],
    )

    assert save(drawn, "svg") == save(alone, "svg")
    labels = [label.get_text() for axes in drawn.axes for label in axes.get_yticklabels()]
    assert set(names) <= set(labels)
