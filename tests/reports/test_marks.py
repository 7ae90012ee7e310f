"""No two levels look alike in one panel, however many there are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from reports.claims.checks import MOST_MARKS
from reports.errors import InputError
from reports.figures.drawing import plot
from reports.figures.points import MOST_HUES, MOST_STEPS
from reports.figures.style import COLORS, MARKERS, look_at
from reports.page.sparkline import look, mark

COUNTS = (5, 6, 7, 8, 12, 30)


def _levels(count: int, of: str) -> list[object]:
    """Words, long ones, or numbers."""
    if of == "numbers":
        return [0.25 * (number + 1) for number in range(count)]
    return [f"recipe_{number}" + ", with a name of many words" * (of == "long words") for number in range(count)]


def _draw(kind: str, levels: Sequence[object], facets: Sequence[str] = ("",)) -> Figure:
    temperatures = ["low", "high"]
    cells = [(level, t, facet) for facet in facets for t in temperatures for level in levels]
    rows = [(*cell, seed, 30.0 + place + seed) for place, cell in enumerate(cells) for seed in (0, 1)]
    frame = pd.DataFrame(rows, columns=["recipe", "temperature", "set", "seed", "value"])
    frame = frame.assign(metric="linear_top1", num_parameters=1e6)
    paper = pd.DataFrame([(*cell, 60.0) for cell in cells[:2]], columns=["recipe", "temperature", "set", "value"])
    axes = {"recipe": list(levels), "temperature": temperatures, "set": list(facets)}
    asked = {"kind": kind, "color": "recipe", "metric": "linear_top1"}
    series = None
    if kind == "curves":
        asked |= {"panels": ["loss"], "within": {"temperature": "low"}}
        steps = [(level, f"{level} 0", step, step / 10, 1.0 - step) for level in levels for step in range(9)]
        series = pd.DataFrame(steps, columns=["recipe", "run_id", "step", "epoch", "loss"])
        frame["run_id"] = [f"{level} 0" for level in frame["recipe"]]
    elif kind == "scatter":
        asked |= {"x": "num_parameters", "within": {"temperature": "low"}}
    else:
        asked |= {"x": "temperature"}
    if len(facets) > 1:
        asked |= {"facet": "set"}
    return plot(frame, paper.assign(metric="linear_top1"), asked, axes, series=series, title=kind)


@pytest.mark.parametrize("of", ["words", "long words", "numbers"])
@pytest.mark.parametrize("count", COUNTS)
def test_each_bar_has_a_look_of_its_own_or_its_name_on_the_axis(count: int, of: str) -> None:
    figure = _draw("bars", _levels(count, of))

    most = MOST_STEPS if of == "numbers" else MOST_HUES
    assert len(figure.axes) == (2 if count <= most else 4)  # beyond that, rows of panels
    for panel in figure.axes[::2]:
        names = [label.get_text() for label in panel.get_xticklabels()]
        looks = {(to_hex(bar.get_facecolor()), bar.get_hatch()) for bar in panel.patches if bar.get_height() > 1}
        if count <= most:
            assert (len(names), len(looks)) == (2, count)
        else:
            assert len(set(names)) == len(names) == count == len(panel.patches)
            assert len(looks) == 1
            figure.canvas.draw()
            boxes = [label.get_window_extent() for label in panel.get_xticklabels()]
            if panel.get_xticklabels()[0].get_rotation() in (0, 90):
                assert all(left.x1 <= right.x0 + 1 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("of", ["words", "long words"])
def test_rows_of_panels_do_not_cover_each_other(of: str) -> None:
    figure = _draw("bars", _levels(12, of), ["one", "two"])
    figure.canvas.draw()

    rows = [panel.get_tightbbox() for panel in figure.axes[::2]]
    titles = [panel.get_title(loc="left") for panel in figure.axes[::2]]
    assert titles[:3] == [
        f"Ours, set {words}" for words in ("one, temperature low", "one, temperature high", "two, temperature low")
    ]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(rows))


@pytest.mark.parametrize("of", ["words", "numbers"])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["lines", "scatter", "curves"])
def test_each_line_and_point_has_a_look_of_its_own(kind: str, count: int, of: str) -> None:
    panel = _draw(kind, _levels(count, of)).axes[0]
    handles, names = panel.get_legend_handles_labels()

    if kind == "scatter":
        looks = {(to_hex(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes()) for dots in handles}
    elif kind == "curves" and count <= len(COLORS):
        looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in handles}
    else:
        looks = {(line.get_color(), line.get_marker()) for line in handles}
    assert len(looks) == len(set(names)) == count


def test_more_levels_than_marks_are_refused() -> None:
    assert len({(look_at(place).ink, look_at(place).marker) for place in range(MOST_MARKS)}) == MOST_MARKS
    assert len(COLORS) * len(MARKERS) == MOST_MARKS

    with pytest.raises(InputError, match=r"figure\.color: 'recipe' has 36 levels; expected at most 35"):
        _draw("lines", _levels(MOST_MARKS + 1, "words"))


def test_lines_over_the_epochs_differ_for_thirty_runs() -> None:
    styles = [(look(style), mark(style)) for style in range(30)]

    assert len(set(styles)) == 30
    assert np.array_equal([mark(style) for style in range(12)], [mark(style % 6) for style in range(12)])
