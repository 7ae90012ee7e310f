"""The curve of a run: from ``metrics.jsonl`` to rows of ``curves.csv``.

Stores have millions of lines. Numbers stay the text that they are in the file, which saves two thirds of the time.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import multiprocessing
import operator
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from ablations.collect.run_records import Problem
from ablations.collect.run_table import replace
from formats.tables import CURVES_COLUMNS, SCHEMA_VERSION

_CHUNK = 100  # curves that a process reads at a time
_MOST_WORKERS = 8  # login nodes are shared

Curve = tuple[str, list[Problem]]
"""The rows of a run in ``curves.csv``, as text, and what is wrong with its file."""


class _Number(str):
    """A number as the file writes it; a word is a plain ``str``."""

    __slots__ = ()


def _constant(name: str) -> _Number:
    """NaN and the infinities, as CSV has them."""
    return _Number(float(name))


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_constant)
_POINT = operator.itemgetter(*CURVES_COLUMNS[2:-1])


def header() -> str:
    """The first line of the table."""
    return ",".join(CURVES_COLUMNS) + "\n"


def bring_up_to_date(path: Path) -> None:
    """Add an empty column to a table from before kNN was recorded, so that the rows of grids not collected now stay."""
    before = header().replace(f",{CURVES_COLUMNS[-1]}", "").encode()
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        if file.readline() == before:
            replace(path, itertools.chain([header().encode()], (line.rstrip(b"\n") + b",\n" for line in file)))


def curves(asked: Sequence[tuple[Path, str]]) -> Iterator[Curve]:
    """The curve of each (folder, run id) in turn; hundreds are read by several processes, one a core, 8 at most."""
    if len(asked) < 2 * _CHUNK:
        yield from _read(asked)
        return
    num_workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    waiting: deque[Future[list[Curve]]] = deque()
    with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as workers:
        for start in range(0, len(asked), _CHUNK):
            waiting.append(workers.submit(_read, asked[start : start + _CHUNK]))
            if len(waiting) > 2 * num_workers:  # no more than that is held in memory
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _read(asked: Sequence[tuple[Path, str]]) -> list[Curve]:
    return list(itertools.starmap(curve, asked))


def curve(folder: Path, run_id: str) -> Curve:
    """The curve of a run from its ``metrics.jsonl``."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return "", [("metrics.jsonl", f"cannot be read ({error.strerror}); the run has no curve")]
    head = io.StringIO()
    csv.writer(head, lineterminator=",").writerow((SCHEMA_VERSION, run_id))
    start = head.getvalue()
    try:
        points = _points(",".join(lines))  # at once, in a third of the time
    except (ValueError, KeyError, TypeError, RecursionError):
        points = []
    bad: list[int] = []
    if len(points) != len(lines):
        points = []
        for number, line in enumerate(lines, 1):
            try:
                (point,) = _points(line)
                points.append(point)
            except (ValueError, KeyError, TypeError, RecursionError):
                bad.append(number)
    what = f"line {bad[0]}" if len(bad) == 1 else f"{len(bad)} lines, the first of them line {bad[0]}," if bad else ""
    problems = [("metrics.jsonl", f"{what} cannot be read; skipped")] if bad else []
    return "".join([f"{start}{point}\n" for point in points]), problems


def _points(objects: str) -> list[str]:
    """The numbers of every point, joined; TypeError where one is none."""
    # the accuracy stands in few lines, and in most runs in none
    rows = [(*_POINT(line), line.get(CURVES_COLUMNS[-1])) for line in _DECODER.decode(f"[{objects}]")]
    kinds = set(map(type, itertools.chain.from_iterable(rows)))
    if type(None) in kinds:
        rows = [tuple(_Number("") if value is None else value for value in row) for row in rows]
        kinds.remove(type(None))
    if not kinds <= {_Number}:
        raise TypeError(objects)
    return list(map(",".join, rows))
