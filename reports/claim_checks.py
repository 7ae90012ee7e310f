"""What a claim of each kind may say, and what is wrong with one that says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.errors import nearest
from reports.selectors import level_text, select, selector_problems

Levels = Mapping[str, Sequence[str]]
Cells = Mapping[str, Mapping[str, str]]

_HEAD = ("id", "says", "locus", "kind")
_FREE = ("not_testable", "not_printed")
_MEANS = ("metric", "paired")

# Per kind: the keys that it needs and those that it may have, beside the common ones.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "better": (("group",), ("than", "than_metric", "than_value", "margin", *_MEANS)),
    "top": (("group", "than"), ("margin", *_MEANS)),
    "some_better": (("group", "than"), ("margin", *_MEANS)),
    "each_better": (("group", "than"), ("match", "parts", "margin", *_MEANS)),
    "trend": (("along", "direction"), ("within", "margin", *_MEANS)),
    "interior_optimum": (("along",), ("best", "within", "margin", *_MEANS)),
    "equivalent": (("group", "margin"), ("than", "than_metric", "than_value", *_MEANS)),
    "interaction": (("group", "than", "from", "to", "direction"), ("margin", *_MEANS)),
    "range_below": (("along",), ("within", "group", "than", "margin", *_MEANS)),
    "rank_agreement": (("rho",), ("within", "metric")),
    "collapse": (("group", "than", "threshold", "loss_below"), ()),
    "no_convergence": (("group", "than", "threshold", "loss_above"), ()),
    "diverges": (("group",), ("than",)),
}
CLAIM_KINDS = tuple(_KEYS)
DIRECTIONS = {"trend": ("rises", "falls"), "interaction": ("shrinks", "grows")}

_NUMBERS = ("margin", "rho", "threshold", "loss_below", "loss_above")  # each one number, or one a scale
_TEXTS = ("id", "says", "locus", "kind", "metric", "than_metric", "along", "direction")
_SELECTORS = ("group", "than", "within", "from", "to")


def claim_problems(
    claim: object, place: str, *, axes: Levels, metrics: Sequence[str], cells: Cells, scale: str
) -> list[str]:
    """All that is wrong with one claim at one scale; ``cells``: cell id -> axis -> level text."""
    if not isinstance(claim, Mapping):
        return [f"{place}: expected a mapping with {', '.join(_HEAD)}, and what its kind needs"]
    kind = claim.get("kind")
    if kind not in _KEYS:
        return [f"{place}.kind: {kind!r}{nearest(kind, CLAIM_KINDS)}"]
    required, optional = (*_HEAD, *_KEYS[kind][0]), (*_FREE, *_KEYS[kind][1])
    problems = [f"{place}: no {key!r}, which kind {kind} needs" for key in required if key not in claim]
    for key, value in claim.items():
        if key not in (*required, *optional):
            problems.append(f"{place}: unknown key {key!r}{nearest(key, (*required, *optional))}")
        else:
            problems += _value_problems(key, value, f"{place}.{key}", scale)
    for key in ("metric", "than_metric"):
        if key in claim and claim[key] not in metrics:
            problems.append(f"{place}.{key}: no metric {claim[key]!r}{nearest(claim[key], metrics)}")
    # A scale that cannot test the claim may well lack the levels that it speaks of.
    reasons = claim.get("not_testable")
    if not problems and not (isinstance(reasons, Mapping) and scale in reasons):
        problems += _reference_problems(claim, place, axes) or _cell_problems(claim, place, cells)
    return problems


def _value_problems(key: str, value: object, place: str, scale: str) -> list[str]:
    if key in _NUMBERS and isinstance(value, Mapping):
        if scale not in value:
            return [f"{place}: no number for scale {scale}{nearest(scale, map(str, value))}"]
        return _value_problems(key, value[scale], f"{place}.{scale}", scale)
    expected = ""
    if key in _TEXTS and not isinstance(value, str):
        expected = "a text"
    elif key in (*_NUMBERS, "than_value") and not _is_number(value):
        expected = "a number" if key == "than_value" else "a number, or a mapping from scale to number"
    elif key in ("paired", "not_printed") and not isinstance(value, bool):
        expected = "true or false"
    elif key == "not_testable" and not isinstance(value, Mapping):
        expected = "a mapping from scale to reason"
    elif key in ("match", "parts") and not (isinstance(value, list) and value):
        expected = "a list of axes"
    elif key == "best" and isinstance(value, Mapping):
        expected = "a level, or a list of levels"
    return [f"{place} = {value!r}: expected {expected}"] if expected else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reference_problems(claim: Mapping[str, Any], place: str, axes: Levels) -> list[str]:
    """Axes, levels and directions that do not exist; keys that exclude or need each other."""
    kind = claim["kind"]
    problems = [
        problem
        for key in _SELECTORS
        if key in claim
        for problem in selector_problems(claim[key], axes, f"{place}.{key}")
    ]
    if kind in DIRECTIONS and claim["direction"] not in DIRECTIONS[kind]:
        problems.append(f"{place}.direction: {claim['direction']!r}{nearest(claim['direction'], DIRECTIONS[kind])}")
    along = claim.get("along")
    if along is not None and along not in axes:
        problems.append(f"{place}.along: no axis {along!r}{nearest(along, axes)}")
    elif kind == "interior_optimum":
        inner = axes[claim["along"]][1:-1]
        wanted = claim.get("best", [])
        texts = [level_text(level) for level in (wanted if isinstance(wanted, list) else [wanted])]
        problems += [
            f"{place}.best: {text!r} is no inner level{nearest(text, inner)}" for text in texts if text not in inner
        ]
        if len(axes[claim["along"]]) < 3:
            problems.append(f"{place}.along: {along!r} has {len(axes[claim['along']])} levels; an optimum needs three")
    for key in ("match", "parts"):
        problems += [
            f"{place}.{key}: no axis {axis!r}{nearest(axis, axes)}" for axis in claim.get(key, []) if axis not in axes
        ]
    return problems + _exclusions(claim, place)


def _exclusions(claim: Mapping[str, Any], place: str) -> list[str]:
    kind = claim["kind"]
    if kind in ("better", "equivalent"):
        if "than_value" in claim and ("than" in claim or "than_metric" in claim):
            return [f"{place}: than_value stands instead of than and than_metric"]
        if not {"than", "than_value", "than_metric"} & set(claim):
            return [f"{place}: no 'than', which kind {kind} needs (or than_metric, or than_value)"]
    if kind == "each_better" and ("match" in claim) == ("parts" in claim):
        return [f"{place}: expected either match (axes on which a pair agrees) or parts (axes whose levels compose)"]
    if kind == "range_below" and ("group" in claim) != ("than" in claim):
        return [f"{place}: group and than come together: the effect that the range has to stay below"]
    if kind == "range_below" and "group" not in claim and "margin" not in claim:
        return [f"{place}: no 'margin', which kind range_below needs (or group and than)"]
    return []


def _cell_problems(claim: Mapping[str, Any], place: str, cells: Cells) -> list[str]:
    """Selectors that select nothing, or the same cells twice."""
    found = {key: select(claim[key], cells) for key in _SELECTORS if key in claim}
    problems = [f"{place}.{key}: selects no cell" for key, selected in found.items() if not selected]
    group, than = found.get("group", []), found.get("than", [])
    both = [cell for cell in group if cell in than]
    kind = claim["kind"]
    if kind == "top" and group and not set(than) - set(group):
        problems.append(f"{place}.than: selects no cell beside those of group")
    elif kind not in ("top", "range_below") and both and "than_metric" not in claim:
        problems.append(f"{place}: {len(both)} cells are in group and in than; a cell cannot be compared with itself")
    if kind == "interaction" and not problems:
        problems += [
            f"{place}.{where}: selects no cell of {side}"
            for where in ("from", "to")
            for side in ("group", "than")
            if not set(found[where]) & set(found[side])
        ]
    if kind in ("trend", "range_below", "interior_optimum") and not problems:
        levels = {cells[cell][claim["along"]] for cell in found.get("within", cells)}
        if len(levels) < (3 if kind == "interior_optimum" else 2):
            problems.append(
                f"{place}.within: the selected cells have one level of {claim['along']!r}"
                if len(levels) == 1
                else f"{place}.within: {len(levels)} levels of {claim['along']!r} are too few"
            )
    return problems
