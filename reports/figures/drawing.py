"""The figures: a tidy DataFrame and the paper's numbers in, a matplotlib Figure out.

``plot`` draws every one of them: for the page, for ``ablate figure`` and in a notebook, which docs/figures.md shows.
Numbers come finished from reports/claims/stats.py; matplotlib's global state is neither used nor changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from formats.levels import level_in, level_text
from formats.metrics import NUM_PARAMETERS
from formats.names import expected
from formats.selectors import select
from reports.claims.checks import figure_problems
from reports.errors import InputError
from reports.figures.charts import chart
from reports.figures.curves import curves, describe_curves
from reports.figures.heatmap import describe_heatmap, heatmap
from reports.figures.points import Encoding, describe_chart
from reports.inputs import GridResult
from reports.metrics import paper_name, quantity

__all__ = ["describe", "draw", "plot"]

_NEEDED = ("seed", "metric", "value")
_SERIES = ("run_id", "step", "epoch")

Levels = Mapping[str, Sequence[str]]


def plot(
    frame: pd.DataFrame,
    paper: pd.DataFrame,
    figure: Mapping[str, Any],
    axes: Mapping[str, Sequence[object]],
    *,
    series: pd.DataFrame | None = None,
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Ours beside the paper's, as a grid file's entry ``figure`` says, with its ``metric``: docs/design.md, section 4.

    ``frame``: one row per planned run and metric, with a column per axis, ``seed``, ``metric`` and ``value`` (NaN where
    there is none yet); ``role`` (``cell``, or ``reference`` for a line behind the cells), ``label``, ``cell_id``,
    ``run_id`` and ``num_parameters`` where it has them. ``paper``: as ``load_paper`` reads it. ``axes``: name ->
    levels, in the order in which they are drawn. ``series``, for the kind ``curves`` alone: one row per run and step,
    with the axis ``color``, ``run_id``, ``step``, ``epoch`` and the columns that are its ``panels``.

    The figure is 7 inches wide. Raises InputError with everything that is wrong.
    """
    levels = {name: [level_text(level) for level in known] for name, known in axes.items()}
    problems = _missing("frame", frame, [*levels, *_NEEDED]) + _missing("paper", paper, [*levels, "metric", "value"])
    if figure.get("kind") == "curves":
        panels = figure.get("panels")
        wanted = [figure.get("color", "color"), *_SERIES, *(panels if isinstance(panels, list) else [])]
        texts = [name for name in wanted if isinstance(name, str)]
        problems += _missing("series", pd.DataFrame() if series is None else series, texts)
    if problems:
        raise InputError(problems)
    ours = _tidy(frame, levels)
    cells = ours[ours["role"] == "cell"].drop_duplicates("cell_id").to_dict("records")
    known_cells = {str(cell["cell_id"]): {axis: str(cell[axis]) for axis in levels} for cell in cells}
    metrics = list(dict.fromkeys(ours["metric"]))
    problems = [] if "metric" in figure else [f"figure: no 'metric': {expected('metric', metrics)}"]
    problems += figure_problems(figure, levels, metrics, known_cells)
    if problems:
        raise InputError(problems)
    theirs = paper if "role" in paper else paper.assign(role="cell")
    theirs = theirs.assign(**{axis: _matched(theirs[axis], known) for axis, known in axes.items()})
    theirs = theirs.assign(**{name: math.nan for name in ("std", "reading_error") if name not in theirs})
    if series is not None and figure["kind"] == "curves":
        series = _tidy(series, [figure["color"]])
    return _PLOT[figure["kind"]](ours, theirs, figure, levels, series, title, subtitle)


def draw(result: GridResult) -> Figure:
    """The figure that a grid asks for: ``plot`` with what its file says."""
    return plot(
        result.frame, result.paper, _asked(result), result.axes, series=result.curves, title=_title(result),
        subtitle=_subtitle(result),
    )  # fmt: skip


def describe(result: GridResult) -> str:
    """What the figure shows, in words and numbers, for those who do not see it."""
    return _DESCRIBE[result.spec["figure"]["kind"]](result, _asked(result))


def _asked(result: GridResult) -> dict[str, Any]:
    return {"metric": result.metric, **result.spec["figure"]}


def _title(result: GridResult) -> str:
    paper = result.spec["paper"]
    default = f"{result.spec['title']}: ours beside {paper_name(paper['key'])}, {paper['locus']}"
    return str(result.spec["figure"].get("title", default))


def _subtitle(result: GridResult) -> str:
    """The line that every figure carries: scale, data set, seeds, and the scale's note."""
    counts = sorted({len(cell["runs"]) for cell in result.spec["cells"] if cell["role"] == "cell"})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))  # looks add seeds to some cells only
    return f"scale {result.scale} · {result.datasets} · {seeds} seeds · {result.spec['note']}"


def _missing(what: str, table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    return [f"{what}: no column {name!r}: {expected(name, map(str, table))}" for name in columns if name not in table]


def _tidy(table: pd.DataFrame, axes: Iterable[str]) -> pd.DataFrame:
    """The table with levels as texts, and with the columns that a table made by hand may lack."""
    made = table.assign(**{axis: table[axis].map(level_text) for axis in axes})
    if "role" not in made:
        made["role"] = "cell"
    if nameless := [name for name in ("cell_id", "label") if name not in made]:
        cell = made[list(axes)].agg(", ".join, axis=1) if len(made) else ""
        made = made.assign(**dict.fromkeys(nameless, cell))
    if NUM_PARAMETERS not in made:
        made[NUM_PARAMETERS] = math.nan
    if "run_id" not in made:
        made["run_id"] = made["cell_id"].astype(str) + " " + made["seed"].astype(str)
    return made


def _matched(column: pd.Series[Any], levels: Sequence[object]) -> pd.Series[Any]:
    """The paper's levels of an axis as texts, which a table read without the axis's levels may spell otherwise."""
    return column.map(lambda level: level_in(level_text(level), levels))


def _within(table: pd.DataFrame, figure: Mapping[str, Any], axes: Iterable[str]) -> pd.DataFrame:
    """The table without the cells that ``within`` leaves out; references stay."""
    if "within" not in figure:
        return table
    cells = table[table["role"] == "cell"] if "role" in table else table
    levels = {str(at): {axis: str(row[axis]) for axis in axes} for at, row in enumerate(cells.to_dict("records"))}
    chosen = cells.index[[int(at) for at in select(figure["within"], levels)]]
    return table.drop(index=cells.index.difference(chosen))


def _left(cells: pd.DataFrame, figure: Mapping[str, Any], axes: Levels, axis: str) -> Sequence[str]:
    """The levels of an axis that ``within`` leaves, in the axis's order: those of these cells."""
    if "within" not in figure:
        return axes[axis]
    there = set(cells.loc[cells["role"] == "cell", axis])
    return [level for level in axes[axis] if level in there]


def _plot_heatmap(
    frame: pd.DataFrame, paper: pd.DataFrame, figure: Mapping[str, Any], axes: Levels, _: object, *texts: str
) -> Figure:
    row, column = figure["row"], figure["column"]
    ours, theirs = (_within(table, figure, axes) for table in (frame, paper))
    rows, columns = (_left(ours, figure, axes, axis) for axis in (row, column))
    return heatmap(
        ours, theirs, row=row, column=column, rows=rows, columns=columns,
        metric=figure["metric"], title=texts[0], subtitle=texts[1],
    )  # fmt: skip


def _plot_curves(
    frame: pd.DataFrame, paper: pd.DataFrame, figure: Mapping[str, Any], axes: Levels, series: pd.DataFrame, *texts: str
) -> Figure:
    color = figure["color"]
    ours, theirs = (_within(table, figure, axes) for table in (frame, paper[paper["role"] == "cell"]))
    recorded = series[series["run_id"].isin(ours["run_id"])] if "within" in figure else series
    return curves(
        ours, recorded, theirs, color=color, levels=_left(ours, figure, axes, color), panels=figure["panels"],
        metric=figure["metric"], title=texts[0], subtitle=texts[1],
    )  # fmt: skip


def _plot_chart(
    frame: pd.DataFrame, paper: pd.DataFrame, figure: Mapping[str, Any], axes: Levels, _: object, *texts: str
) -> Figure:
    return chart(frame, paper[paper["role"] == "cell"], axes, _encoding(figure), *texts)


def _encoding(figure: Mapping[str, Any]) -> Encoding:
    return Encoding(**{key: value for key, value in figure.items() if key != "title"})


def _describe_heatmap(result: GridResult, figure: Mapping[str, Any]) -> str:
    metric = figure["metric"]
    frame, paper = (_within(table, figure, result.axes) for table in (result.frame, result.paper_cells))
    what = describe_heatmap(frame, paper, row=figure["row"], column=figure["column"], metric=metric)
    return f"Two heatmaps of {quantity(metric).label}, ours and the paper's. {what}"


def _describe_curves(result: GridResult, figure: Mapping[str, Any]) -> str:
    metric = figure["metric"]
    frame, paper = (_within(table, figure, result.axes) for table in (result.frame, result.paper_cells))
    what = describe_curves(frame, paper, color=figure["color"], metric=metric)
    return f"Training curves and final {quantity(metric).label}. {what}"


def _describe_chart(result: GridResult, figure: Mapping[str, Any]) -> str:
    return describe_chart(result.frame, result.printed, result.axes, _encoding(figure))


_CHARTS = ("bars", "lines", "scatter")
_PLOT: dict[str, Callable[..., Figure]] = {
    "heatmap": _plot_heatmap,
    "curves": _plot_curves,
    **dict.fromkeys(_CHARTS, _plot_chart),
}
_DESCRIBE: dict[str, Callable[[GridResult, Mapping[str, Any]], str]] = {
    "heatmap": _describe_heatmap,
    "curves": _describe_curves,
    **dict.fromkeys(_CHARTS, _describe_chart),
}
