"""The rules for levels of an axis: no two of them may look the same to a reader, in a table or in a paper's CSV."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from formats.levels import level_text
from simclr_core.config.options import Scalar

_UNFIT = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of a pair, breaks of lines and paragraphs
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def level_problems(labels: Sequence[Any], place: str) -> list[str]:
    """List what is wrong with the names of an axis's levels: with single names, and with pairs that look alike."""
    problems = []
    numbers = [label for label in labels if isinstance(label, int | float) and not isinstance(label, bool)]
    truths = [level_text(label) for label in labels if isinstance(label, bool)]
    seen: dict[str, Any] = {}
    for label in labels:
        if not isinstance(label, bool | int | float | str) or (isinstance(label, float) and not math.isfinite(label)):
            problems.append(f"{place}: the level {label!r}: expected a name, a finite number, true or false")
        elif isinstance(label, str) and not (label == label.strip() != "" and len(label.splitlines()) == 1):
            problems.append(f"{place}: the level {label!r}: expected a name on one line, without blanks at its ends")
        elif isinstance(label, str) and numbers and _reads_as_number(label):
            problems.append(f"{place}: the level {label!r} is a name that reads as a number, {numbers[0]!r} a number")
        elif isinstance(label, str) and label.lower() in truths:
            problems.append(f"{place}: the level {label!r} is a name, {label.lower()} a truth value; rename it")
        elif (look := _look(label)) in seen and seen[look] != label:
            problems.append(f"{place}: the levels {seen[look]!r} and {label!r} look alike; rename one of them")
        else:
            seen[look] = label
    return problems


def _look(label: Scalar) -> str:
    """Return a level as a reader sees it: figures show ``_`` as a blank, pages show several blanks as one."""
    text = unicodedata.normalize("NFC", level_text(label))
    return " ".join("".join(each for each in text if unicodedata.category(each) != "Cf").replace("_", " ").split())


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def unfit_texts(content: Any, place: str = "") -> Iterator[str]:
    """Return a line for every text in a YAML file's content, keys too, that pages and figures cannot display."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            within = f"{place}.{key}" if place else str(key)
            yield from unfit_texts(key, f"{place or 'the file'}: a key")
            yield from unfit_texts(value, within)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from unfit_texts(value, f"{place}[{index}]")
    elif isinstance(content, str) and not content.isprintable() and (found := "".join(filter(_is_unfit, content))[:1]):
        yield f"{_plain(place)} = {content!r}: expected no character that cannot be shown, as U+{ord(found):04X} here"


def _is_unfit(character: str) -> bool:
    """Whether a character is invalid in SVG, or moves its neighbours; line ends and indentation are allowed."""
    code = ord(character)
    if character in "\n\t":
        return False
    return (
        unicodedata.category(character) in _UNFIT
        or unicodedata.bidirectional(character) in _REORDERING
        or code & 0xFFFE == 0xFFFE
    )


def _plain(place: str) -> str:
    """Return the place for a message, with characters escaped that cannot be displayed."""
    return "".join(repr(each)[1:-1] if _is_unfit(each) else each for each in place)
