"""What is wrong with a grid's figure, claims and paper, asked before its runs and again when they are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.errors import InputError, nearest
from reports.metrics import CURVES, RUN_METRICS, evaluation_metric
from reports.papers import load_paper
from reports.selectors import level_text, select, selector_problems

FRAME_COLUMNS = (
    "cell_id", "role", "label", "run_id", "seed", "state", "outcome", "dataset", "metric", "value", "num_labels",
    "num_test",
)  # fmt: skip
"""Columns of a grid's tidy frame beside its axes; no axis may have such a name."""

_COMMON = {"id": str, "says": str, "locus": str, "kind": str, "group": object, "than": object}
_OPTIONAL = {"metric": str, "margin": float, "paired": bool, "not_testable": dict}
_COLLAPSE = {"threshold": float, "loss_below": float}
CLAIM_KINDS = ("better", "top", "some_better", "collapse")
FIGURE_KINDS = ("heatmap", "curves")
_FIGURE_KEYS = {
    "heatmap": ({"kind", "row", "column"}, {"metric", "title"}),
    "curves": ({"kind", "color", "panels"}, {"metric", "title"}),
}  # per kind: required keys, optional keys

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
    problems += _figure_problems(grid["figure"], axes, metrics)
    cells = {
        cell["cell_id"]: {name: level_text(level) for name, level in cell["levels"].items()}
        for cell in grid["cells"]
        if cell["role"] == "cell"
    }
    seen: set[str] = set()
    for index, claim in enumerate(grid["claims"]):
        name = f"claims[{index}]" if not isinstance(claim, Mapping) or "id" not in claim else f"claim {claim['id']}"
        problems += _claim_problems(claim, name, axes, metrics, cells, str(grid["scale"]))
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
        frame = load_paper(str(paper["csv"]), list(axes))
    except InputError as error:
        return [f"paper: {problem}" for problem in error.problems]
    return [
        f"paper: {paper['csv']}, column {name!r}: no row has a level of the grid ({', '.join(levels)}); it has "
        + ", ".join(sorted({text for text in frame[name] if text}))
        for name, levels in axes.items()
        if not set(frame[name]) & set(levels)
    ]


def _figure_problems(figure: object, axes: Levels, metrics: Sequence[str]) -> list[str]:
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
    for encoding in ("row", "column", "color"):
        if encoding in figure and encoding in required and figure[encoding] not in axes:
            problems.append(f"figure.{encoding}: no axis {figure[encoding]!r}{nearest(figure[encoding], axes)}")
    if figure.get("metric", metrics[0]) not in metrics:
        problems.append(f"figure.metric: no metric {figure['metric']!r}{nearest(figure['metric'], metrics)}")
    if kind == "curves" and "panels" in figure:
        panels = figure["panels"] if isinstance(figure["panels"], list) else [figure["panels"]]
        problems += [f"figure.panels: no curve {p!r}{nearest(p, CURVES)}" for p in panels if p not in CURVES]
    return problems


def _claim_problems(
    claim: object, place: str, axes: Levels, metrics: Sequence[str], cells: Mapping[str, Mapping[str, str]], scale: str
) -> list[str]:
    if not isinstance(claim, Mapping):
        return [f"{place}: expected a mapping with {', '.join(_COMMON)}"]
    kind = claim.get("kind")
    if kind not in CLAIM_KINDS:
        return [f"{place}.kind: {kind!r}{nearest(kind, CLAIM_KINDS)}"]
    required = {**_COMMON, **_COLLAPSE} if kind == "collapse" else _COMMON
    types: dict[str, Any] = {**required, **({"not_testable": dict} if kind == "collapse" else _OPTIONAL)}
    problems = [f"{place}: no {key!r}, which kind {kind} needs" for key in required if key not in claim]
    for key, value in claim.items():
        if key not in types:
            problems.append(f"{place}: unknown key {key!r}{nearest(key, types)}")
        elif not _is_a(value, types[key]):
            problems.append(f"{place}.{key} = {value!r}: expected {_WORDS[types[key]]}")
    if "metric" in claim and claim["metric"] not in metrics:
        problems.append(f"{place}.metric: no metric {claim['metric']!r}{nearest(claim['metric'], metrics)}")
    # A scale that cannot test the claim may well lack the levels that it speaks of.
    reasons = claim.get("not_testable")
    if not problems and not (isinstance(reasons, Mapping) and scale in reasons):
        problems += _group_problems(claim, place, axes, cells)
    return problems


def _group_problems(
    claim: Mapping[str, Any], place: str, axes: Levels, cells: Mapping[str, Mapping[str, str]]
) -> list[str]:
    problems = [
        problem for side in ("group", "than") for problem in selector_problems(claim[side], axes, f"{place}.{side}")
    ]
    if problems:
        return problems
    group, than = select(claim["group"], cells), select(claim["than"], cells)
    problems = [f"{place}.{side}: selects no cell" for side, found in (("group", group), ("than", than)) if not found]
    both = [cell for cell in group if cell in than]
    if claim["kind"] == "top" and group and not set(than) - set(group):
        problems.append(f"{place}.than: selects no cell beside those of group")
    elif claim["kind"] != "top" and both:
        problems.append(f"{place}: {len(both)} cells are in group and in than; a cell cannot be compared with itself")
    return problems


_WORDS: dict[Any, str] = {
    str: "a text",
    float: "a number",
    bool: "true or false",
    dict: "a mapping from scale to reason",
}


def _is_a(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, Mapping) if kind is dict else isinstance(value, kind)
