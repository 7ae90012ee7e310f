"""Selectors: a grid's ``exclude`` and ``only``, and its claims and figure, name cells by the levels of their axes.

A selector maps short axis names to a level or a list of levels; ``same`` and ``different`` name axes whose levels
must agree or differ. ``lowest`` and ``highest`` stand for the extreme levels of a numeric axis, which differ between
scales. A list of selectors is their union. The empty selector is every cell. Levels are compared by their texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from formats.levels import is_number, level_text, ordered
from formats.names import expected, name_problems

Selector = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_EXTREMES = ("lowest", "highest")
_RELATIONS = ("same", "different")


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


class Selection:
    """A selector on axes whose levels are known, so that ``lowest`` and ``highest`` mean levels."""

    def __init__(self, selector: Selector, axes: Mapping[str, Iterable[str]]) -> None:
        """``axes``: short name -> texts of its levels; "" is no level."""
        extremes = {axis: _extremes_of(levels) for axis, levels in axes.items()}
        self._parts = [
            {
                key: wanted if key in _RELATIONS else {extremes[key].get(text, text) for text in _texts(wanted)}
                for key, wanted in part.items()
            }
            for part in _listed(selector)
        ]

    def matches(self, levels: Mapping[str, str]) -> bool:
        """Whether a cell with these levels (short axis name -> text) is among the selected ones."""
        return any(_matches(part, levels) for part in self._parts)


def _extremes_of(levels: Iterable[str]) -> dict[str, str]:
    in_order = ordered(level for level in levels if level)
    ends = dict(zip(_EXTREMES, (in_order[0], in_order[-1]), strict=True)) if in_order else {}
    return {word: level for word, level in ends.items() if word not in in_order}  # a level may be called so


def _texts(wanted: object) -> list[str]:
    return [level_text(level) for level in _listed(wanted)]


def _matches(part: Mapping[str, Any], levels: Mapping[str, str]) -> bool:
    for key, wanted in part.items():
        if key in _RELATIONS:
            distinct = len({levels[axis] for axis in wanted})
            if distinct != (1 if key == "same" else len(wanted)):
                return False
        elif levels[key] not in wanted:
            return False
    return True


def select(selector: Selector, cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The ids of the selected cells, in the order of ``cells`` (cell id -> axis -> level text)."""
    axes: dict[str, dict[str, None]] = {}
    for levels in cells.values():
        for axis, text in levels.items():
            axes.setdefault(axis, {})[text] = None
    if not cells:
        return []
    selection = Selection(selector, axes)
    return [cell for cell, levels in cells.items() if selection.matches(levels)]


def is_partner(claim: Mapping[str, Any], one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether a claim of partners (``parts`` or ``match``) compares a cell with another, each axis -> level text."""
    if "parts" in claim:
        return {other[axis] for axis in claim["parts"]} <= {one[axis] for axis in claim["parts"]}
    return all(one[axis] == other[axis] for axis in claim["match"])


def selector_problems(
    selector: object, axes: Mapping[str, Sequence[str]], place: str, *, every_level: bool = False
) -> list[str]:
    """The problems of a selector on these axes (short name -> level texts); empty if it can be used.

    ``every_level``: it may name levels that the axes lack, as another scale's.
    """
    problems: list[str] = []
    for part in _listed(selector):
        if not isinstance(part, Mapping):
            problems.append(f"{place}: {part!r} is no selector: expected axis: level")
            continue
        for key, wanted in part.items():
            if key in _RELATIONS:
                problems += _relation_problems(wanted, axes, f"{place}.{key}")
            elif key not in axes:
                problems.append(f"{place}: no axis {key!r}: {expected(key, [*axes, *_RELATIONS])}")
            elif not every_level:
                problems += [
                    f"{place}.{key}: no level {text!r}: {expected(text, axes[key])}"
                    for text in _texts(wanted)
                    if text not in axes[key] and not (text in _EXTREMES and all(map(is_number, axes[key])))
                ]
                if not _listed(wanted):
                    problems.append(f"{place}.{key}: no level given: {expected('', axes[key])}")
    return problems


def _relation_problems(wanted: object, axes: Mapping[str, Sequence[str]], place: str) -> list[str]:
    if not isinstance(wanted, list | tuple) or len(wanted) < 2:
        return [f"{place} = {wanted!r}: expected a list of at least two axes"]
    return [problem for axis in wanted for problem in name_problems(axis, axes, place, "axis")]
