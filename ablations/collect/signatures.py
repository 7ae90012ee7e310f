"""Whether files are those that were read: by size, time and inode, without opening them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from ablations.store import queued

FRESH_NS = 2_000_000_000
"""A file written less than so long ago may be written again without its time showing it."""

_FILES = frozenset(("spec.json", "result.json", "metrics.jsonl", "provenance.json", "error.txt"))


def names_of(folder: Path) -> list[str]:
    """What is read of a run: its folder (""), those within, and files. Empty where somebody works on it just now.

    A file that comes or goes shows in the time of its folder.
    """
    try:
        there = os.listdir(folder)  # noqa: PTH208 - ten thousand runs are listed at a time
    except OSError:
        return []
    if "claim" in there:
        return []
    names = ["", *sorted(_FILES.intersection(there))]
    if queued.RECORD.parts[0] in there:
        names += [queued.RECORD.parts[0], str(queued.RECORD)]
    if "evals" in there:
        names += ["evals", *sorted(f"evals/{path.name}" for path in (folder / "evals").glob("[!.]*.json"))]
    return names


def signature(folder: Path | str, names: Sequence[str]) -> str:
    """Size, time and inode of each of these; of one that is not there, that alone."""
    parts = []
    for name in names:
        try:
            stat = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a hundred thousand files are looked at
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}")
    return "\n".join(parts)


def is_fresh(signed: str) -> bool:
    """Whether something signed was written so lately that its signature says nothing."""
    times = [int(part.split(" ")[1]) for part in signed.split("\n") if part not in ("", "-")]
    return time.time_ns() - max(times, default=0) < FRESH_NS
