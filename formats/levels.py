"""Levels of an axis: the text that stands for a level in tables, pages and selectors; which levels are equal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

_TRUTH = ("true", "false")
_DIGITS = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def level_text(level: object) -> str:
    """The text that stands for a level everywhere: ``true``, ``256`` (of 256.0 too), ``0.5``, a name as it is.

    Different numbers have different texts, and so have different names.
    """
    if isinstance(level, bool):
        return "true" if level else "false"
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def is_level(wanted: object, levels: Sequence[object]) -> bool:
    """Whether a value is one of the levels; unlike Python, this does not take true for 1."""
    return any(wanted == level and isinstance(wanted, bool) == isinstance(level, bool) for level in levels)


def level_in(text: str, levels: Sequence[object]) -> str:
    """The text of the level that a CSV's field means, of an axis with these levels: its kind says how it is read.

    Where levels are numbers, ``0.50`` is 0.5, and where they are truth values, ``TRUE`` is true; a name is its text.
    """
    kinds = {type(level) for level in levels}
    if bool in kinds and text.lower() in _TRUTH:
        return text.lower()
    number = _number(text) if kinds & {int, float} else None
    return text if number is None else level_text(number)


def is_value(text: str) -> bool:
    """Whether a level's text reads as a number or a truth value, and says nothing without the name of its axis."""
    return text in _TRUTH or _number(text) is not None


def is_number(text: str) -> bool:
    """Whether a level's text is that of a number; ``1.10`` is a name, and one other than ``1.1``."""
    number = _number(text)
    return number is not None and level_text(number) == text


def ordered(texts: Iterable[str]) -> list[str]:
    """The distinct levels, given as texts: by value if all are numbers, else in the order given."""
    distinct = list(dict.fromkeys(texts))
    numbers = {text: number for text in distinct if (number := _number(text)) is not None}
    return sorted(distinct, key=numbers.__getitem__) if all(map(is_number, distinct)) else distinct


def _number(text: str) -> int | float | None:
    """The number that a text writes in digits; None if it writes none, or one that is not finite."""
    if not _DIGITS.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return number if math.isfinite(number := float(text)) else None
