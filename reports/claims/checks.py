"""What is wrong with a grid's figure, claims and paper, asked before its runs and again when they are reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from formats.levels import is_number, level_text
from formats.metrics import NUM_PARAMETERS, RUN_METRICS, evaluation_metric
from formats.names import expected, name_problems
from formats.selectors import select, selector_problems
from formats.tables import CURVES
from reports.claims.claim_checks import claim_problems
from reports.errors import InputError
from reports.read.papers import read_paper

FRAME_COLUMNS = (
    "cell_id", "role", "label", "run_id", "seed", "state", "outcome", "dataset", "metric", "value", "num_labels",
    "num_test", NUM_PARAMETERS,
)  # fmt: skip
"""Columns of a grid's tidy frame beside its axes; no axis may have such a name."""

_FIGURE_KEYS = {
    "heatmap": ({"kind", "row", "column"}, {"within", "metric", "title"}),
    "curves": ({"kind", "color", "panels"}, {"within", "metric", "title"}),
    "bars": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
    "lines": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
    "scatter": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
}  # per kind: required keys, optional keys
_SHOWS = {"heatmap": ("row", "column"), "curves": ("color",)} | dict.fromkeys(
    ("bars", "lines"), ("x", "color", "facet")
)
_RECORDED = ("step", "epoch", *CURVES)
FIGURE_KINDS = tuple(_FIGURE_KEYS)

MOST_MARKS = 35
"""Levels that differ in colour and marker (reports/figures/style.py)."""

Levels = dict[str, list[str]]


def check_grid(grid: Mapping[str, Any], scales: Collection[str] | None = None) -> list[str]:
    """All that is wrong with the figure, the claims and the paper of a grid at one scale, one line each.

    ``grid`` is the content of ``results/<grid>.<scale>.json``; the states of its runs are not needed. ``scales`` are
    all those of the grid, which that file does not tell: without them the scales that a claim names are not checked.
    """
    axes: Levels = {name: [level_text(level) for level in levels] for name, levels in grid["axes"].items()}
    place = f"{grid['name']} at scale {grid['scale']}"
    metrics = [*dict.fromkeys(evaluation_metric(evaluation) for evaluation in grid["evaluations"]), *RUN_METRICS]
    problems = [
        f"axes: {name!r} is a name of the result tables; rename the axis" for name in axes if name in FRAME_COLUMNS
    ]
    problems += name_problems(grid["metric"], metrics, "metric", "metric")
    problems += _paper_problems(grid["paper"], grid["axes"])
    cells = {
        cell["cell_id"]: {name: level_text(level) for name, level in cell["levels"].items()}
        for cell in grid["cells"]
        if cell["role"] == "cell"
    }
    problems += figure_problems(grid["figure"], axes, metrics, cells)
    seen: set[str] = set()
    for index, claim in enumerate(grid["claims"]):
        name = f"claims[{index}]" if not isinstance(claim, Mapping) or "id" not in claim else f"claim {claim['id']}"
        problems += claim_problems(
            claim, name, axes=axes, metrics=metrics, cells=cells, scale=str(grid["scale"]), metric=grid["metric"],
            scales=scales,
        )  # fmt: skip
        if isinstance(claim, Mapping) and str(claim.get("id")) in seen:
            problems.append(f"{name}: the id stands twice")
        seen.add(str(claim.get("id")) if isinstance(claim, Mapping) else name)
    return [f"{place}: {problem}" for problem in problems]


def _paper_problems(paper: object, axes: Mapping[str, Sequence[object]]) -> list[str]:
    if not isinstance(paper, Mapping):
        return [f"paper = {paper!r}: expected key, locus and csv"]
    missing = [key for key in ("key", "locus", "csv") if not paper.get(key)]
    if missing:
        return [f"paper: no {key!r}: {expected(key, paper)}" for key in missing]
    try:
        columns = read_paper(str(paper["csv"]), axes)
    except InputError as error:
        return [f"paper: {problem}" for problem in error.problems]
    return [
        f"paper: {paper['csv']}, column {name!r}: no row has a level of the grid ({', '.join(texts)}); it has "
        + ", ".join(sorted({str(text) for text in columns[name] if text}))
        for name, levels in axes.items()
        for texts in [list(map(level_text, levels))]
        # A small scale has its own batch sizes and epochs; a misspelt word is an error.
        if not set(columns[name]) & set(texts) and not all(isinstance(level, int | float) for level in levels)
    ]


def figure_problems(
    figure: object, axes: Levels, metrics: Sequence[str], cells: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """All that is wrong with a grid's ``figure``; ``cells``: cell id -> axis -> level text."""
    kind = figure.get("kind") if isinstance(figure, Mapping) else None
    if not isinstance(figure, Mapping) or not isinstance(kind, str) or kind not in _FIGURE_KEYS:
        return name_problems(kind, FIGURE_KINDS, "figure.kind")
    required, optional = _FIGURE_KEYS[kind]
    problems = [f"figure: no {key!r}, which kind {kind} needs" for key in sorted(required - set(figure))]
    problems += [
        f"figure: unknown key {key!r}: {expected(key, sorted(required | optional))}"
        for key in figure
        if key not in required | optional
    ]
    problems += _encoding_problems(figure, axes, metrics)
    if "metric" in figure:
        problems += name_problems(figure["metric"], metrics, "figure.metric", "metric")
    if "title" in figure and not isinstance(figure["title"], str):
        problems.append(f"figure.title = {figure['title']!r}: expected a text")
    if "within" in figure:
        problems += selector_problems(figure["within"], axes, "figure.within")
    return problems or [*_undrawn_axes(figure, axes, cells), *_too_many_lines(figure, cells)]


def _encoding_problems(figure: Mapping[str, Any], axes: Levels, metrics: Sequence[str]) -> list[str]:
    """What is wrong with what is drawn where."""
    kind, problems = figure["kind"], []
    known = set().union(*_FIGURE_KEYS[kind])
    for encoding in ("row", "column", "color", "facet", *(("x",) if kind != "scatter" else ())):
        if encoding in figure and encoding in known:
            problems += name_problems(figure[encoding], axes, f"figure.{encoding}", "axis")
    if kind == "curves" and "panels" in figure:
        if isinstance(panels := figure["panels"], list) and panels:
            problems += [p for panel in panels for p in name_problems(panel, CURVES, "figure.panels", "curve")]
        else:
            problems.append(f"figure.panels = {panels!r}: expected a list of {', '.join(CURVES)}")
    if kind == "curves" and figure.get("color") in _RECORDED:
        problems.append(f"figure.color: the axis {figure['color']!r} has the name of a recorded curve; rename it")
    if kind == "scatter" and "x" in figure:
        numeric = [axis for axis, levels in axes.items() if all(map(is_number, levels))]
        problems += name_problems(figure["x"], (*numeric, *metrics, NUM_PARAMETERS), "figure.x")
    if kind == "heatmap" and "row" in figure and figure["row"] == figure.get("column"):
        problems.append(f"figure.column: {figure['column']!r} is the row too; expected another axis")
    return problems


def _undrawn_axes(figure: Mapping[str, Any], axes: Levels, cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Axes along which the drawn cells differ without the figure showing it."""
    if figure["kind"] not in _SHOWS:
        return []
    drawn, keys = select(figure.get("within", {}), cells), _SHOWS[figure["kind"]]
    shown = {figure[key] for key in keys if key in figure}
    return [
        f"figure: the cells drawn differ in {axis!r}, which is not shown as {' or '.join(keys)}; fix it in within"
        for axis in axes
        if axis not in shown and len({cells[cell][axis] for cell in drawn}) > 1
    ] + ([] if drawn else ["figure.within: selects no cell"])


def _too_many_lines(figure: Mapping[str, Any], cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """More levels of ``color`` than marks that differ; bars with many of them stand named on the axis instead."""
    color = figure.get("color")
    if color is None or figure["kind"] == "bars":
        return []
    drawn = {cells[cell][color] for cell in select(figure.get("within", {}), cells)}
    if len(drawn) <= MOST_MARKS:
        return []
    return [f"figure.color: {color!r} has {len(drawn)} levels; expected at most {MOST_MARKS}; leave some out by within"]
