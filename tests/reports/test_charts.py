"""Bars, lines and scatters: what is drawn, beside what, and how unfinished cells show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from reports.figures.charts import chart
from reports.figures.marks import looks
from reports.figures.points import Encoding, describe_chart, in_order, our_points, paper_points
from reports.figures.style import legend, save
from reports.read.papers import load_paper

AXES = {"method": ["simclr", "supervised"], "color_strength": ["0.125", "1", "1_with_blur", "autoaugment"]}


def _frame(*, lost: bool = False) -> pd.DataFrame:
    rows = []
    for place, method in enumerate(AXES["method"]):
        for number, strength in enumerate(AXES["color_strength"]):
            for seed in range(3):
                cell = f"{method}-{strength}"
                value = 30.0 + 5 * place + number + 0.5 * seed
                gone = lost and cell == "simclr-1" and (seed > 0)
                row = {"method": method, "color_strength": strength, "cell_id": cell, "run_id": f"{cell}-{seed}"}
                row |= {"role": "cell", "label": cell, "seed": seed, "metric": "linear_top1", "num_parameters": 1e6}
                rows.append(row | {"value": np.nan if gone else value})
    return pd.DataFrame(rows)


PAPER = load_paper("simclr_table1_color_strength.csv", list(AXES))


def _chart(kind: str, x: str, *, lost: bool = False) -> Figure:
    return chart(_frame(lost=lost), PAPER, AXES, Encoding(kind, x, "linear_top1", "method"), "Title", "scale mini")


def test_points_are_means_over_seeds_and_the_papers_numbers() -> None:
    encoding = Encoding("bars", "color_strength", "linear_top1", "method")
    ours = our_points(_frame(), AXES, encoding).set_index(["color", "x"])
    theirs = paper_points(PAPER, AXES, encoding).set_index(["color", "x"])

    assert ours.loc[("supervised", "1"), "mean"] == 36.5
    assert theirs.loc[("simclr", "1_with_blur"), "mean"] == 64.5
    assert len(theirs) == 12  # the strengths that this scale leaves out, too


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_both_sides_are_drawn_over_the_grids_order(kind) -> None:
    ours, theirs = _chart(kind, "color_strength").axes[:2]

    assert [label.get_text() for label in ours.get_xticklabels()] == ["0.125", "1", "1 with blur", "autoaugment"]
    assert (ours.get_title(loc="left"), theirs.get_title(loc="left")) == ("Ours", "The paper")
    assert np.ptp(ours.get_ylim()) == pytest.approx(np.ptp(theirs.get_ylim()))


def test_an_unfinished_bar_is_hatched_and_says_its_seeds() -> None:
    panel = _chart("bars", "color_strength", lost=True).axes[0]

    assert sum(patch.get_hatch() == "////" for patch in panel.patches) == 1
    assert any("1 of 3" in text.get_text() for text in panel.texts)


@pytest.mark.parametrize("kind", ["bars", "lines", "scatter"])
def test_nothing_finished_can_be_drawn_and_described(kind) -> None:
    empty, encoding = _frame().assign(value=np.nan), Encoding(kind, "color_strength", "linear_top1", "method")
    if kind == "scatter":
        encoding = Encoding(kind, "num_parameters", "linear_top1", "method")

    figure = chart(empty, PAPER, AXES, encoding, "Title", "scale mini")
    words = " ".join(" ".join(text.get_text() for text in figure.texts).split())

    assert "unfinished" in save(figure, "svg").decode()
    assert ("Names: color strength." in words) == (kind == "scatter")
    assert describe_chart(empty, PAPER, AXES, encoding).startswith("Ours: no number yet.")


@pytest.mark.parametrize(
    ("kind", "note"), [("bars", "≈: read off the plot (±0.3)."), ("lines", "15 of 15 are read off")]
)
def test_numbers_read_off_a_plot_are_marked_and_fit_under_the_legend(kind, note) -> None:
    axes = {"head": ["nonlinear", "linear", "none"], "dim": ["32", "2048"]}
    rows = [{"head": "linear", "dim": "32", "value": 40.0, "seed": seed, "cell_id": "a"} for seed in range(2)]
    frame = pd.DataFrame(rows).assign(run_id=["0", "1"], role="cell", metric="linear_top1", num_parameters=1e6)
    paper = load_paper("simclr_fig8_projection_head.csv", list(axes))

    figure = chart(frame, paper, axes, Encoding(kind, "dim", "linear_top1", "head"), "Title", "scale mini")
    figure.canvas.draw()
    ours, theirs = figure.axes[:2]
    marked = [text for text in theirs.texts if text.get_text().startswith("≈")]

    assert len(marked) == (15 if kind == "bars" else 0)
    assert all(text.get_window_extent().y1 <= theirs.bbox.y1 for text in marked)
    assert not any("≈" in text.get_text() for text in ours.texts)
    assert any(note in " ".join(text.get_text().split()) for text in figure.texts)
    assert "The paper: from ≈50.0 % at head none, dim 2048 to ≈64.8 %" in describe_chart(
        frame, paper, axes, Encoding(kind, "dim", "linear_top1", "head")
    )


def test_numbers_are_ordered_by_value_and_words_as_the_grid_has_them() -> None:
    assert in_order(["1024", "64", "256"], []) == ["64", "256", "1024"]
    assert in_order(["b", "c", "a"], ["a", "b"]) == ["a", "b", "c"]


def test_a_number_that_both_sides_have_looks_alike_on_both() -> None:
    encoding, axes = Encoding("bars", "epochs", "linear_top1", "batch"), {"batch": ["64", "256"]}
    ours, theirs, alien = (pd.DataFrame({"color": levels}) for levels in (["64", "256"], ["256", "1024"], ["8192"]))

    mine, printed = (looks(side, [ours, theirs], encoding, axes) for side in (ours, theirs))
    apart = [looks(side, [ours, alien], encoding, axes) for side in (ours, alien)]

    assert mine["256"] == printed["256"]
    inks = [printed[level].ink for level in ("64", "256", "1024")]
    light = [sum(to_rgb(ink)) for ink in inks]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == 3
    assert (apart[0]["64"].ink, apart[0]["256"].ink) == (inks[0], inks[2])  # the whole scale


@pytest.mark.parametrize("count", [2, 6, 7, 11])
def test_a_legend_is_read_row_by_row(count) -> None:
    figure = Figure(figsize=(4, 3))
    panel = figure.add_subplot()
    names = [f"{2**number:04}" for number in range(count)]
    for name in names:
        panel.plot([0], [0], label=name)
    rows = legend(panel, 2.7)
    figure.draw_without_rendering()
    drawn = panel.get_legend()
    assert drawn is not None
    places = {text.get_text(): text.get_window_extent() for text in drawn.get_texts()}

    assert len({round(place.y0) for place in places.values()}) == rows
    assert sorted(places, key=lambda name: (-round(places[name].y0), places[name].x0)) == names
