"""Messages about a wrong name: the valid names that are nearest to it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

LISTED, NEAREST = 20, 5
"""A message lists up to ``LISTED`` valid names; of more it gives the number and the ``NEAREST`` nearest ones."""


def nearest(name: object, valid: Iterable[str]) -> str:
    """``" (did you mean 'crop'?)"``, or nothing where no valid name is near; one that begins so is nearest."""
    ratios = {word: difflib.SequenceMatcher(None, str(name), word).ratio() for word in valid}
    if str(name):
        ratios = {word: ratio + word.startswith(str(name)) for word, ratio in ratios.items()}
    best = max(ratios.values(), default=0.0)
    close = [word for word in sorted(ratios, key=lambda word: -ratios[word]) if ratios[word] > max(0.5, best - 0.1)]
    return f" (did you mean {' or '.join(repr(word) for word in close[:3])}?)" if close else ""


def expected(name: object, valid: Iterable[str]) -> str:
    """``"expected one of a, b (did you mean 'a'?)"``, the end of a message about a wrong name."""
    names = list(valid)
    if not names:
        return "there are none"
    if len(names) <= LISTED:
        return f"expected one of {', '.join(names)}{nearest(name, names)}"
    return f"expected one of {len(names)} names, the nearest are {', '.join(_by_likeness(str(name), names)[:NEAREST])}"


def _by_likeness(name: str, names: Sequence[str]) -> list[str]:
    """The most alike first, as a whole or in what they begin with."""

    def likeness(each: str) -> float:
        return max(difflib.SequenceMatcher(None, name, part).ratio() for part in (each, each[: len(name)]))

    return sorted(names, key=likeness, reverse=True)


def name_problems(name: object, valid: Collection[str], place: str, what: str = "") -> list[str]:
    """The problem of ``name``, a value of any type, where one of the ``valid`` names belongs; empty if it is one.

    ``what`` says in a word what the names are of: axis, metric.
    """
    if isinstance(name, str) and name in valid:
        return []
    return [f"{place}: {f'no {what} ' if what else ''}{name!r}: {expected(name, valid)}"]
