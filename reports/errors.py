"""The one exception of this package, and the nearest valid name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """Everything that is wrong with what the reporter was given, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


LISTED, NEAREST = 20, 5
"""Of more valid names than ``LISTED`` only the nearest are told, so many, and how many there are."""


def name_problems(name: object, valid: Collection[str], place: str, what: str = "") -> list[str]:
    """What is wrong with ``name``, which may be of any type, where one of the ``valid`` names belongs; empty if it is.

    ``what`` says in a word what the names are of: axis, metric.
    """
    if isinstance(name, str) and name in valid:
        return []
    return [f"{place}: {f'no {what} ' if what else ''}{name!r}{nearest(name, valid)}"]


def nearest(name: object, valid: Iterable[str]) -> str:
    """``": expected one of a, b (did you mean 'a'?)"``, for the end of a message about a wrong name."""
    names = list(valid)
    if len(names) > LISTED:
        near = difflib.get_close_matches(str(name), names, n=NEAREST, cutoff=0.0)
        return f": expected one of {len(names)} names, the nearest are {', '.join(near)}"
    close = difflib.get_close_matches(str(name), names, n=2, cutoff=0.5)
    hint = f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""
    return f": expected one of {', '.join(names)}{hint}"
