"""The shape of a benchmark's results, and how things are timed that are to be compared."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Timings = dict[str, list[float]]
"""Seconds of every counted round, by what was timed."""


@dataclass(frozen=True)
class Table:
    """A table of docs/performance.md. ``note`` says under what conditions it was measured, and what the columns are.

    Cells are words, or numbers, which are shown with three digits.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.title

    def markdown(self) -> str:
        """Title, note and table; columns of numbers are right-aligned."""
        numeric = [all(not isinstance(row[column], str) for row in self.rows) for column in range(len(self.columns))]
        lines = [f"| {' | '.join(self.columns)} |", f"| {' | '.join('---:' if n else '---' for n in numeric)} |"]
        lines += [f"| {' | '.join(_shown(cell) for cell in row)} |" for row in self.rows]
        return "\n\n".join(part for part in (f"**{self.title}**", self.note, "\n".join(lines)) if part)


def _shown(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def in_turns(tasks: Mapping[str, Callable[[], object]], rounds: int) -> Timings:
    """The tasks one after the other, in each of ``rounds`` rounds, after one round that is not counted."""
    timings: Timings = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if number:
                timings[name].append(time.perf_counter() - start)
    return timings


class Apart:
    """A task in a process of its own: contenders share neither settings nor memory. Called, it runs once more.

    ``make``, which can be pickled, makes the task there; what the task returns comes back.
    """

    def __init__(self, make: Callable[[], Callable[[], object]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, other))
        self._process.start()
        other.close()
        self._connection.recv()

    def __call__(self) -> Any:
        """Run the task; what it returns."""
        self._connection.send("run")
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(make: Callable[[], Callable[[], object]], connection: Connection) -> None:
    task = make()
    connection.send("made")
    with contextlib.suppress(EOFError):
        while connection.recv():
            connection.send(task())


def speed_ratio(timings: Timings, ours: str, other: str) -> float:
    """How many times as fast ``ours`` is as ``other``: the median over the rounds."""
    return statistics.median(theirs / own for own, theirs in zip(timings[ours], timings[other], strict=True))
