"""The one exception of this package, and the nearest valid name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Everything that is wrong with what the reporter was given, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


LISTED = 20
"""More valid names than that are counted, and only the nearest are told."""


def nearest(name: object, valid: Iterable[str]) -> str:
    """``": expected one of a, b (did you mean 'a'?)"``, for the end of a message about a wrong name."""
    names = list(valid)
    close = difflib.get_close_matches(str(name), names, n=2, cutoff=0.5)
    hint = f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""
    listed = ", ".join(names) if len(names) <= LISTED else f"{len(names)} names"
    return f": expected one of {listed}{hint}"
