"""The exception for faults of a data set."""

from __future__ import annotations

import re

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class DataError(ValueError):
    """Everything that is wrong with a data set, one line per fault, in ``problems``.

    The lines can be printed and written to files, whatever bytes the names of files contain.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = [printable(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


def printable(text: str) -> str:
    """Return the text with bytes that are not UTF-8 escaped; in names of files Python represents them as surrogates."""
    return _SURROGATE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)
