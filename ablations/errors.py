"""What a user did wrong, told in full; the command line prints it without a traceback and exits with code 2."""

from __future__ import annotations


class UserError(ValueError):
    """Everything that is wrong with what was asked for, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class GridError(UserError):
    """What is wrong with grid files: each line says which file, which place, what was expected."""
