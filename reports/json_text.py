"""JSON, whose every fault is a ValueError."""

from __future__ import annotations

import json
from typing import Any


def load_json(text: str | bytes) -> Any:
    """The content of a JSON text; raises ValueError for what is none, and for more nesting than Python reads."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
