"""Where a command is to write, looked at before it does anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ablations.errors import UserError

Places = Mapping[str, Path | None]
"""By the option that names them; None where it was not given."""


def place_problems(
    *, folders: Places | None = None, files: Places | None = None, read: Places | None = None
) -> list[str]:
    """Everything that keeps ``folders`` and ``files`` from being written, a line each.

    Folders that are only ``read`` may be missing or write-protected, but no files. Nothing is made here: a disk may
    still refuse, and is then told by name.
    """
    problems = [_problem(option, path, _obstacle(path, path)) for option, path in _given(folders)]
    problems += [_problem(option, path, _obstacle(path, path, write=False)) for option, path in _given(read)]
    for option, path in _given(files):
        obstacle = "is a folder; expected a file's name" if path.is_dir() else _obstacle(path.parent, path)
        problems.append(_problem(option, path, obstacle))
    return [problem for problem in problems if problem]


def check_places(**places: Places | None) -> None:
    """Raise UserError with ``place_problems``."""
    if problems := place_problems(**places):
        raise UserError(problems)


def _given(places: Places | None) -> list[tuple[str, Path]]:
    return [(option, path) for option, path in (places or {}).items() if path is not None]


def _problem(option: str, path: Path, obstacle: str) -> str:
    return f"{option} {path}: {obstacle}" if obstacle else ""


def _obstacle(folder: Path, asked: Path, *, write: bool = True) -> str:
    """What keeps files from a folder that may have to be made, for the path that was asked for; "" if nothing does."""
    there = next(path for path in (folder, *folder.parents, Path.cwd()) if os.path.lexists(path))
    if not there.is_dir():
        what = "a file" if there.exists() else "a link that leads nowhere"
        return f"is {what}; expected a folder" if there == asked else f"{there} is {what}"
    return "" if not write or os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"
