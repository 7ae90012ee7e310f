"""What is wrong with a grid's figure, claims and paper, asked before its runs and again when they are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.claim_checks import claim_problems
from reports.errors import InputError, nearest
from reports.metrics import CURVES, NUM_PARAMETERS, RUN_METRICS, evaluation_metric
from reports.papers import read_paper
from reports.selectors import is_value, level_text, select, selector_problems

FRAME_COLUMNS = (
    "cell_id", "role", "label", "run_id", "seed", "state", "outcome", "dataset", "metric", "value", "num_labels",
    "num_test", NUM_PARAMETERS,
)  # fmt: skip
"""Columns of a grid's tidy frame beside its axes; no axis may have such a name."""

_FIGURE_KEYS = {
    "heatmap": ({"kind", "row", "column"}, {"metric", "title"}),
    "curves": ({"kind", "color", "panels"}, {"metric", "title"}),
    "bars": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
    "lines": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
    "scatter": ({"kind", "x"}, {"color", "facet", "within", "metric", "title"}),
}  # per kind: required keys, optional keys
_RECORDED = ("step", "epoch", *CURVES)
FIGURE_KINDS = tuple(_FIGURE_KEYS)

Levels = dict[str, list[str]]


def check_grid(grid: Mapping[str, Any]) -> list[str]:
    """All that is wrong with the figure, the claims and the paper of a grid at one scale, one line each.

    ``grid`` is the content of ``results/<grid>.<scale>.json``; the states of its runs are not needed.
    """
    axes: Levels = {name: [level_text(level) for level in levels] for name, levels in grid["axes"].items()}
    place = f"{grid['name']} at scale {grid['scale']}"
    metrics = [*dict.fromkeys(evaluation_metric(evaluation) for evaluation in grid["evaluations"]), *RUN_METRICS]
    problems = [
        f"axes: {name!r} is a name of the result tables; rename the axis" for name in axes if name in FRAME_COLUMNS
    ]
    if grid["metric"] not in metrics:
        problems.append(f"metric: no metric {grid['metric']!r}{nearest(grid['metric'], metrics)}")
    problems += _paper_problems(grid["paper"], axes)
    cells = {
        cell["cell_id"]: {name: level_text(level) for name, level in cell["levels"].items()}
        for cell in grid["cells"]
        if cell["role"] == "cell"
    }
    problems += figure_problems(grid["figure"], axes, metrics, cells)
    seen: set[str] = set()
    for index, claim in enumerate(grid["claims"]):
        name = f"claims[{index}]" if not isinstance(claim, Mapping) or "id" not in claim else f"claim {claim['id']}"
        problems += claim_problems(claim, name, axes=axes, metrics=metrics, cells=cells, scale=str(grid["scale"]))
        if isinstance(claim, Mapping) and str(claim.get("id")) in seen:
            problems.append(f"{name}: the id stands twice")
        seen.add(str(claim.get("id")) if isinstance(claim, Mapping) else name)
    return [f"{place}: {problem}" for problem in problems]


def _paper_problems(paper: object, axes: Levels) -> list[str]:
    if not isinstance(paper, Mapping):
        return [f"paper = {paper!r}: expected key, locus and csv"]
    missing = [key for key in ("key", "locus", "csv") if not paper.get(key)]
    if missing:
        return [f"paper: no {key!r}{nearest(key, paper)}" for key in missing]
    try:
        columns = read_paper(str(paper["csv"]), list(axes))
    except InputError as error:
        return [f"paper: {problem}" for problem in error.problems]
    return [
        f"paper: {paper['csv']}, column {name!r}: no row has a level of the grid ({', '.join(levels)}); it has "
        + ", ".join(sorted({str(text) for text in columns[name] if text}))
        for name, levels in axes.items()
        # A small scale has its own batch sizes and epochs; a misspelt word is an error.
        if not set(columns[name]) & set(levels) and not all(map(is_value, levels))
    ]


def figure_problems(
    figure: object, axes: Levels, metrics: Sequence[str], cells: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """All that is wrong with a grid's ``figure``; ``cells``: cell id -> axis -> level text."""
    kind = figure.get("kind") if isinstance(figure, Mapping) else None
    if not isinstance(figure, Mapping) or kind not in _FIGURE_KEYS:
        return [f"figure.kind: {kind!r}{nearest(kind, FIGURE_KINDS)}"]
    required, optional = _FIGURE_KEYS[kind]
    problems = [f"figure: no {key!r}, which kind {kind} needs" for key in sorted(required - set(figure))]
    problems += [
        f"figure: unknown key {key!r}{nearest(key, sorted(required | optional))}"
        for key in figure
        if key not in required | optional
    ]
    for encoding in ("row", "column", "color", "facet", *(("x",) if kind != "scatter" else ())):
        if encoding in figure and encoding in required | optional and figure[encoding] not in axes:
            problems.append(f"figure.{encoding}: no axis {figure[encoding]!r}{nearest(figure[encoding], axes)}")
    if figure.get("metric", metrics[0]) not in metrics:
        problems.append(f"figure.metric: no metric {figure['metric']!r}{nearest(figure['metric'], metrics)}")
    if kind == "curves" and "panels" in figure:
        panels = figure["panels"] if isinstance(figure["panels"], list) else [figure["panels"]]
        problems += [f"figure.panels: no curve {p!r}{nearest(p, CURVES)}" for p in panels if p not in CURVES]
    if kind == "curves" and figure.get("color") in _RECORDED:
        problems.append(f"figure.color: the axis {figure['color']!r} has the name of a recorded curve; rename it")
    if kind == "scatter" and "x" in figure and figure["x"] not in (*axes, *metrics, NUM_PARAMETERS):
        problems.append(f"figure.x: {figure['x']!r}{nearest(figure['x'], (*axes, *metrics, NUM_PARAMETERS))}")
    if "within" in figure and "within" in optional:
        problems += selector_problems(figure["within"], axes, "figure.within")
    return problems or _undrawn_axes(figure, axes, cells)


def _undrawn_axes(figure: Mapping[str, Any], axes: Levels, cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Axes along which the drawn cells differ without the figure showing it."""
    if figure["kind"] not in ("bars", "lines"):
        return []
    drawn = select(figure.get("within", {}), cells)
    shown = {figure[key] for key in ("x", "color", "facet") if key in figure}
    return [
        f"figure: the cells drawn differ in {axis!r}, which is neither x, color nor facet; fix it in within"
        for axis in axes
        if axis not in shown and len({cells[cell][axis] for cell in drawn}) > 1
    ] + ([] if drawn else ["figure.within: selects no cell"])
