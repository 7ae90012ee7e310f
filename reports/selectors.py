"""Selectors: which cells of a grid a claim speaks of, by the levels of its axes.

A selector maps short axis names to a level or a list of levels; ``same`` and ``different`` name axes whose levels
must agree or differ. ``lowest`` and ``highest`` stand for the extreme levels of a numeric axis, which differ between
scales. A list of selectors is their union. The empty selector is every cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.errors import name_problems, nearest

Selector = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_EXTREMES = ("lowest", "highest")
_TRUTH = ("true", "false")
_DIGITS = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def level_text(level: object) -> str:
    """The text that stands for a level everywhere: ``true``, ``256`` (of 256.0 too), ``0.5``, a name as it is.

    Different numbers have different texts, and so have different names.
    """
    if isinstance(level, bool):
        return "true" if level else "false"
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def level_in(text: str, levels: Sequence[object]) -> str:
    """The text of the level that a CSV's field means, of an axis with these levels: its kind says how it is read.

    Where levels are numbers, ``0.50`` is 0.5, and where they are truth values, ``TRUE`` is true; a name is its text.
    """
    kinds = {type(level) for level in levels}
    if bool in kinds and text.lower() in _TRUTH:
        return text.lower()
    number = _number(text) if kinds & {int, float} else None
    return text if number is None else level_text(number)


def _number(text: str) -> int | float | None:
    """The number that a text writes in digits; None if it writes none, or one that is not finite."""
    if not _DIGITS.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return number if math.isfinite(number := float(text)) else None


def _as_list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _parts(selector: object) -> list[Any]:
    return list(selector) if isinstance(selector, list | tuple) else [selector]


def is_value(level: str) -> bool:
    """Whether a level's text reads as a number or a truth value, and says nothing without the name of its axis."""
    return level in _TRUTH or _number(level) is not None


def is_number(level: str) -> bool:
    """Whether a level's text is that of a number; ``1.10`` is a name, and one other than ``1.1``."""
    number = _number(level)
    return number is not None and level_text(number) == level


def ordered(levels: Iterable[str]) -> list[str]:
    """The distinct levels: by value if all are numbers, else in the order given."""
    distinct = list(dict.fromkeys(levels))
    numbers = {level: number for level in distinct if (number := _number(level)) is not None}
    return sorted(distinct, key=numbers.__getitem__) if all(map(is_number, distinct)) else distinct


def _extreme(part: Mapping[str, Any], cells: Mapping[str, Mapping[str, str]]) -> Mapping[str, Any]:
    """The selector with ``lowest`` and ``highest`` replaced by the levels that they mean."""
    meant = dict(part)
    for axis, wanted in part.items():
        if axis in ("same", "different"):
            continue
        levels = [level for level in ordered(found[axis] for found in cells.values()) if level]
        ends = dict(zip(_EXTREMES, (levels[0], levels[-1]), strict=True)) if levels else {}
        ends = {word: level for word, level in ends.items() if word not in levels}  # a level may be called so
        meant[axis] = [ends.get(str(level), level) for level in _as_list(wanted)]
    return meant


def _matches(part: Mapping[str, Any], levels: Mapping[str, str]) -> bool:
    for key, wanted in part.items():
        if key in ("same", "different"):
            distinct = len({levels[axis] for axis in wanted})
            if distinct != (1 if key == "same" else len(wanted)):
                return False
        elif levels[key] not in {level_text(level) for level in _as_list(wanted)}:
            return False
    return True


def select(selector: Selector, cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The ids of the selected cells, in the order of ``cells`` (cell id -> axis -> level text)."""
    parts = [_extreme(part, cells) for part in _parts(selector)]
    return [cell for cell, levels in cells.items() if any(_matches(part, levels) for part in parts)]


def is_partner(claim: Mapping[str, Any], one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether a claim of partners (``parts`` or ``match``) compares a cell with another, each axis -> level text."""
    if "parts" in claim:
        return {other[axis] for axis in claim["parts"]} <= {one[axis] for axis in claim["parts"]}
    return all(one[axis] == other[axis] for axis in claim["match"])


def selector_problems(
    selector: object, axes: Mapping[str, Sequence[str]], place: str, *, every_level: bool = False
) -> list[str]:
    """What is wrong with a selector on these axes (short name -> level texts); empty if it can be used.

    ``every_level``: it may name levels that the axes lack, as another scale's.
    """
    problems: list[str] = []
    for part in _parts(selector):
        if not isinstance(part, Mapping):
            problems.append(f"{place}: {part!r} is no selector: expected axis: level")
            continue
        for key, wanted in part.items():
            if key in ("same", "different"):
                problems += _relation_problems(wanted, axes, f"{place}.{key}")
            elif key not in axes:
                problems.append(f"{place}: no axis {key!r}{nearest(key, [*axes, 'same', 'different'])}")
            elif not every_level:
                texts = [level_text(level) for level in _as_list(wanted)]
                problems += [
                    f"{place}.{key}: no level {text!r} at this scale{nearest(text, axes[key])}"
                    for text in texts
                    if text not in axes[key] and not (text in _EXTREMES and all(map(is_number, axes[key])))
                ]
                if not texts:
                    problems.append(f"{place}.{key}: no level given{nearest('', axes[key])}")
    return problems


def _relation_problems(wanted: object, axes: Mapping[str, Sequence[str]], place: str) -> list[str]:
    if not isinstance(wanted, list | tuple) or len(wanted) < 2:
        return [f"{place} = {wanted!r}: expected a list of at least two axes"]
    return [problem for axis in wanted for problem in name_problems(axis, axes, place, "axis")]
