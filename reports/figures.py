"""The figures: tidy frames in, a matplotlib Figure out. Numbers come finished from reports/stats.py."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from reports.charts import chart
from reports.curves import curves, describe_curves
from reports.heatmap import describe_heatmap, heatmap
from reports.inputs import GridResult
from reports.metrics import paper_name, quantity
from reports.points import Encoding, describe_chart

__all__ = ["curves", "describe", "draw", "heatmap"]


def subtitle(result: GridResult) -> str:
    """The line that every figure carries: scale, data set, seeds, and the scale's note."""
    counts = sorted({len(cell["runs"]) for cell in result.spec["cells"] if cell["role"] == "cell"})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))  # looks add seeds to some cells only
    return f"scale {result.scale} · {result.datasets} · {seeds} seeds · {result.spec['note']}"


def draw(result: GridResult) -> Figure:
    """The figure that the grid asks for."""
    return _DRAW[result.spec["figure"]["kind"]](result)


def describe(result: GridResult) -> str:
    """What the figure shows, in words and numbers, for those who do not see it."""
    return _DESCRIBE[result.spec["figure"]["kind"]](result)


def _title(result: GridResult) -> str:
    paper = result.spec["paper"]
    default = f"{result.spec['title']}: ours beside {paper_name(paper['key'])}, {paper['locus']}"
    return str(result.spec["figure"].get("title", default))


def _heatmap(result: GridResult) -> Figure:
    figure = result.spec["figure"]
    return heatmap(
        result.frame,
        result.paper,
        row=figure["row"],
        column=figure["column"],
        rows=result.axes[figure["row"]],
        columns=result.axes[figure["column"]],
        metric=figure.get("metric", result.metric),
        title=_title(result),
        subtitle=subtitle(result),
    )


def _curves(result: GridResult) -> Figure:
    figure = result.spec["figure"]
    return curves(
        result.frame,
        result.curves,
        result.paper_cells,
        color=figure["color"],
        levels=result.axes[figure["color"]],
        panels=figure["panels"],
        metric=figure.get("metric", result.metric),
        title=_title(result),
        subtitle=subtitle(result),
    )


def _describe_heatmap(result: GridResult) -> str:
    figure = result.spec["figure"]
    metric = figure.get("metric", result.metric)
    what = describe_heatmap(result.frame, result.paper_cells, row=figure["row"], column=figure["column"], metric=metric)
    return f"Two heatmaps of {quantity(metric).label}, ours and the paper's. {what}"


def _describe_curves(result: GridResult) -> str:
    figure = result.spec["figure"]
    metric = figure.get("metric", result.metric)
    what = describe_curves(result.frame, result.paper_cells, color=figure["color"], metric=metric)
    return f"Training curves and final {quantity(metric).label}. {what}"


def _encoding(result: GridResult) -> Encoding:
    figure = result.spec["figure"]
    return Encoding(
        kind=figure["kind"],
        x=figure["x"],
        metric=figure.get("metric", result.metric),
        color=figure.get("color"),
        facet=figure.get("facet"),
        within=figure.get("within"),
    )


def _chart(result: GridResult) -> Figure:
    return chart(result.frame, result.printed, result.axes, _encoding(result), _title(result), subtitle(result))


def _describe_chart(result: GridResult) -> str:
    return describe_chart(result.frame, result.printed, result.axes, _encoding(result))


_DRAW: dict[str, Callable[[GridResult], Figure]] = {
    "heatmap": _heatmap,
    "curves": _curves,
    "bars": _chart,
    "lines": _chart,
    "scatter": _chart,
}
_DESCRIBE: dict[str, Callable[[GridResult], str]] = {
    "heatmap": _describe_heatmap,
    "curves": _describe_curves,
    "bars": _describe_chart,
    "lines": _describe_chart,
    "scatter": _describe_chart,
}
