"""Names that come from data, before they become paths."""

from __future__ import annotations

import re

from reports.errors import InputError

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def safe_name(name: object, what: str) -> str:
    """The name, if a file may be called so: letters, digits, ``.``, ``_`` and ``-``, and no dot in front.

    Raises InputError with ``what`` the name belongs to.
    """
    text = str(name)
    if not _SAFE.fullmatch(text):
        raise InputError(
            [f"{what}: {text!r} cannot name a file; expected letters, digits, '.', '_', '-', no dot first"]
        )
    return text
