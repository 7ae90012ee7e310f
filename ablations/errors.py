"""What a user did wrong, told in full; the command line prints it without a traceback and exits with code 2."""

from __future__ import annotations

from collections.abc import Iterable

from simclr_core.options import nearest


class UserError(ValueError):
    """Everything that is wrong with what was asked for, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class GridError(UserError):
    """What is wrong with grid files: each line says which file, which place, what was expected."""


LISTED = 20
"""More valid names than that are counted, and only the nearest are told."""


def expected(name: object, valid: Iterable[str]) -> str:
    """``"expected one of a, b (did you mean 'a'?)"``, the end of a message about a wrong name."""
    names = list(valid)
    if not names:
        return "there are none"
    listed = ", ".join(names) if len(names) <= LISTED else f"{len(names)} names"
    return f"expected one of {listed}{nearest(name, names)}"
