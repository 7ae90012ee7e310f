"""Whether files are those that were read: by size, time and inode, without opening them."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations import queued

FRESH_NS = 2_000_000_000
"""A file written less than so long ago may be written again without its time showing it."""

_FILES = frozenset(("spec.json", "result.json", "metrics.jsonl", "provenance.json", "error.txt"))
_NAME = operator.attrgetter("name")


def run_signature(folder: Path) -> str | None:
    """That of all files of a run that the results tell of.

    None where it says nothing: somebody works on the run or has just written to it, or the folder cannot be listed.
    """
    stats: list[tuple[str, os.stat_result]] = []
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=_NAME)
        for entry in found:
            if entry.name == "claim":
                return None
            stats += [(path.name, path.stat()) for path in _read_of(entry)]
    except OSError:
        return None
    return _text(stats)


def _read_of(entry: os.DirEntry[str]) -> Sequence[Any]:
    """The files that are read of an entry in a run's folder."""
    if entry.name in _FILES:
        return (entry,)
    if entry.name == queued.RECORD.parts[0]:
        return (Path(entry) / queued.RECORD.name,)
    if entry.name != "evals":
        return ()
    with os.scandir(entry) as inner:
        return sorted((each for each in inner if each.name.endswith(".json")), key=_NAME)


def log_signature(path: Path) -> str | None:
    """That of a log; empty where there is none, None where it has just been written to."""
    try:
        return _text([(path.name, path.stat())])
    except OSError:
        return ""


def _text(stats: Sequence[tuple[str, os.stat_result]]) -> str | None:
    newest = max((stat.st_mtime_ns for _, stat in stats), default=0)
    if time.time_ns() - newest < FRESH_NS:
        return None
    return "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}" for name, stat in stats)
