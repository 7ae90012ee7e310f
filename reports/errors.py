"""The one exception of this package."""

from __future__ import annotations


class InputError(ValueError):
    """Everything that is wrong with what the reporter was given, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
