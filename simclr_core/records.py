"""JSON files that are there whole or not at all, and files of JSON lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from formats.whole_files import naming, written_whole


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` atomically: a reader sees the old file or the new one, never a part.

    Raises ValueError for numbers that JSON has no word for (NaN, infinities), and NoSpaceError.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically. Raises NoSpaceError."""
    with written_whole(path) as file:
        file.write(text.encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises OSError, or ValueError for what is no JSON or nested too deeply for Python."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None


def append_jsonl(path: Path, line: dict[str, Any]) -> None:
    """Add one line to a JSON-lines file, flushed; the numbers must be finite. Raises NoSpaceError, and adds no part."""
    content = (json.dumps(line, allow_nan=False) + "\n").encode()
    with naming(path):
        file = path.open("ab", buffering=0)
        with file:
            length = file.seek(0, os.SEEK_END)
            try:
                while content:
                    content = content[file.write(content) :]
            except OSError:
                file.truncate(length)
                raise
