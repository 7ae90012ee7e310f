"""What is wrong with a data set, as one exception."""

from __future__ import annotations


class DataError(ValueError):
    """Everything that is wrong with a data set, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
