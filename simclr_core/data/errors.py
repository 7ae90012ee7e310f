"""What is wrong with a data set, as one exception."""

from __future__ import annotations

import re

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class DataError(ValueError):
    """Everything that is wrong with a data set, one line each, in ``problems``.

    They can be printed and written to files whatever bytes the names of files hold.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = [printable(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 escaped, which Python has as surrogates in names of files."""
    return _SURROGATE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)
