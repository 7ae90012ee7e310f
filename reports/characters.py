"""Characters that no page and no figure can show, as logs and host names may bring them."""

from __future__ import annotations

import re

_UNFIT = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)  # control characters, halves of a pair, what turns the direction of writing, what XML has no place for


def showable(text: str) -> str:
    """The text with U+FFFD, the replacement character, for each character that cannot be shown."""
    return _UNFIT.sub("\ufffd", text)
