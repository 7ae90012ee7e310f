"""What a claim of each kind may say, and what is wrong with one that says otherwise."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from formats.levels import level_text, ordered
from formats.names import expected, name_problems
from formats.selectors import is_partner, select, selector_problems

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
PAPER_SCALES = ("imagenet", "cifar10")
"""The papers' own scales, the larger one first: a claim may give numbers for them where its grid has neither."""
DIRECTIONS = {"trend": ("rises", "falls"), "interaction": ("shrinks", "grows")}

_NUMBERS = ("margin", "rho", "threshold", "loss_below", "loss_above")  # each one number, or one a scale
_TEXTS = ("id", "says", "locus", "kind", "metric", "than_metric", "along", "direction")
_SELECTORS = ("group", "than", "within", "from", "to")


def claim_problems(
    claim: object,
    place: str,
    *,
    axes: Levels,
    metrics: Sequence[str],
    cells: Cells,
    scale: str,
    metric: str = "",
    scales: Collection[str] | None = None,
) -> list[str]:
    """All that is wrong with one claim at one scale; ``cells``: cell id -> axis -> level text.

    ``metric`` is the grid's, one of ``metrics``; ``scales`` are all those of the grid, None where they are not known.
    """
    if not isinstance(claim, Mapping):
        return [f"{place}: expected a mapping with {', '.join(_HEAD)}, and what its kind needs"]
    kind = claim.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        return name_problems(kind, CLAIM_KINDS, f"{place}.kind")
    required, optional = (*_HEAD, *_KEYS[kind][0]), (*_FREE, *_KEYS[kind][1])
    problems = [f"{place}: no {key!r}, which kind {kind} needs" for key in required if key not in claim]
    sound: dict[str, Any] = {}
    for key, value in claim.items():
        if key not in (*required, *optional):
            problems.append(f"{place}: unknown key {key!r}: {expected(key, (*required, *optional))}")
        elif wrong := _value_problems(claim, key, value, f"{place}.{key}", scale, scales):
            problems += wrong
        else:
            sound[key] = value
    # A scale that cannot test the claim may well lack the levels that it speaks of.
    reasons = claim.get("not_testable")
    untestable = isinstance(reasons, Mapping) and scale in reasons
    problems += _reference_problems(sound, place, axes, metrics, every_level=untestable) + _exclusions(claim, place)
    return problems or ([] if untestable else _cell_problems(claim, place, cells, metric))


def _value_problems(
    claim: Mapping[str, Any], key: str, value: object, place: str, scale: str, scales: Collection[str] | None
) -> list[str]:
    """A value of another type than its key has, or out of its range; a scale that the grid does not have."""
    if key in ("not_testable", *_NUMBERS) and isinstance(value, Mapping):
        problems: list[str] = []
        if scales is not None:
            valid = scales if key == "not_testable" else dict.fromkeys((*scales, *PAPER_SCALES))
            problems += [problem for name in value for problem in name_problems(name, valid, place, "scale")]
        if key in _NUMBERS and scale not in value:
            problems.append(f"{place}: no number for scale {scale}; it has {', '.join(map(str, value)) or 'none'}")
        expect = _reason_expected if key == "not_testable" else _number_expected
        found = [(name, one, expect(claim, key, one)) for name, one in value.items()]
        return problems + [f"{place}.{name} = {one!r}: expected {what}" for name, one, what in found if what]
    expected = ""
    if key in _TEXTS and not (isinstance(value, str) and value.strip()):
        expected = "a text"
    elif key in (*_NUMBERS, "than_value"):
        expected = _number_expected(claim, key, value)
        expected += ", or a mapping from scale to number" if expected and key != "than_value" else ""
    elif key in ("paired", "not_printed") and not isinstance(value, bool):
        expected = "true or false"
    elif key == "not_testable":
        expected = "a mapping from scale to reason"
    elif key in ("match", "parts") and not (isinstance(value, list) and value):
        expected = "a list of axes"
    elif key == "best" and (isinstance(value, Mapping) or value == []):
        expected = "a level, or a list of levels"
    return [f"{place} = {value!r}: expected {expected}"] if expected else []


def _reason_expected(_: Mapping[str, Any], __: str, value: object) -> str:
    # An empty reason would not count as one: the claim would be tested, unchecked.
    return "" if isinstance(value, str) and value.strip() else "a reason"


def _number_expected(claim: Mapping[str, Any], key: str, value: object) -> str:
    """What is expected where this value is none of the numbers that the key may have; empty if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if not abs(value) <= sys.float_info.max:
        return "a finite number"
    if key == "rho" and not -1 <= value < 1:
        return "a number from -1 on and below 1"
    # Below 0 lies no distance of two means and no spread, so the claim could never be supported.
    distance = claim["kind"] == "equivalent" or (claim["kind"] == "range_below" and "group" not in claim)
    if (key == "threshold" or (key == "margin" and distance)) and value <= 0:
        return "a number above 0"
    return ""


def _reference_problems(
    claim: Mapping[str, Any], place: str, axes: Levels, metrics: Sequence[str], *, every_level: bool
) -> list[str]:
    """Axes, levels, metrics and directions that do not exist; ``every_level``: but for the levels."""
    kind = claim["kind"]
    problems = [
        problem
        for key in _SELECTORS
        if key in claim
        for problem in selector_problems(claim[key], axes, f"{place}.{key}", every_level=every_level)
    ]
    names: list[tuple[str, Collection[str], str]] = [("metric", metrics, "metric"), ("than_metric", metrics, "metric")]
    names += [("along", axes, "axis"), ("direction", DIRECTIONS.get(kind, ()), "")]
    for key, valid, what in names:
        if key in claim:
            problems += name_problems(claim[key], valid, f"{place}.{key}", what)
    for key in ("match", "parts"):
        problems += [p for axis in claim.get(key, ()) for p in name_problems(axis, axes, f"{place}.{key}", "axis")]
    return problems


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


def _cell_problems(claim: Mapping[str, Any], place: str, cells: Cells, metric: str) -> list[str]:
    """Selectors that select nothing, or the same cells twice; cells without partners; levels that are too few."""
    found = {key: select(claim[key], cells) for key in _SELECTORS if key in claim}
    problems = [f"{place}.{key}: selects no cell" for key, selected in found.items() if not selected]
    group, than = found.get("group", []), found.get("than", [])
    own = claim.get("metric", metric)
    other = claim.get("than_metric", own)
    both = [cell for cell in group if cell in than] if own == other else []
    kind = claim["kind"]
    if kind == "top" and group and not set(than) - set(group):
        problems.append(f"{place}.than: selects no cell beside those of group")
    elif kind != "top" and both:
        problems.append(f"{place}: {len(both)} cells are in group and in than; a cell cannot be compared with itself")
    if "than_metric" in claim and "than" not in claim and own == other:
        problems.append(f"{place}.than_metric: {other!r} measures group too; a cell cannot be compared with itself")
    if kind == "each_better" and not problems and not _has_partners(claim, group, than, cells):
        key = "match" if "match" in claim else "parts"
        problems.append(f"{place}.{key}: no cell of group has a partner in than ({', '.join(claim[key])})")
    if kind == "interaction" and not problems:
        problems += [
            f"{place}.{where}: selects no cell of {side}"
            for where in ("from", "to")
            for side in ("group", "than")
            if not set(found[where]) & set(found[side])
        ]
        if twice := set(found["from"]) & set(found["to"]) & {*group, *than}:
            problems.append(f"{place}: {len(twice)} cells are in from and in to; a cell cannot be compared with itself")
    if kind in ("trend", "range_below", "interior_optimum") and not problems:
        problems += _level_problems(claim, place, [cells[cell] for cell in found.get("within", cells)])
    return problems


def _has_partners(claim: Mapping[str, Any], group: Sequence[str], than: Sequence[str], cells: Cells) -> bool:
    return any(is_partner(claim, cells[one], cells[other]) for one in group for other in than)


def _level_problems(claim: Mapping[str, Any], place: str, within: Sequence[Mapping[str, str]]) -> list[str]:
    """Too few levels of the axis ``along`` in the cells of ``within``; a ``best`` that is no inner one of them."""
    along = claim["along"]
    levels = ordered(cell[along] for cell in within)
    if len(levels) < (needed := 3 if claim["kind"] == "interior_optimum" else 2):
        key = "within" if "within" in claim else "along"
        return [f"{place}.{key}: expected at least {needed} levels of {along!r}, found {len(levels)}"]
    best, left = claim.get("best", []), " of those that within leaves" if "within" in claim else ""
    return [
        f"{place}.best: {text!r} is no inner level{left}: {expected(text, levels[1:-1])}"
        for text in map(level_text, best if isinstance(best, list) else [best])
        if text not in levels[1:-1]
    ]
