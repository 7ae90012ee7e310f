"""What a user did wrong, told in full; the command line prints it without a traceback and exits with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from simclr_core.config.options import nearest


class UserError(ValueError):
    """Everything that is wrong with what was asked for, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class GridError(UserError):
    """What is wrong with grid files: each line says which file, which place, what was expected."""


LISTED, NEAREST = 20, 5
"""Of more valid names than ``LISTED`` only the nearest are told, so many, and how many there are."""


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
