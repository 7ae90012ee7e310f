"""The papers' published numbers: one tidy CSV per figure or table, described in reports/paper/README.md."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from formats.levels import level_in
from formats.names import expected
from formats.tables import PAPER_COLUMNS
from reports.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

PAPER_DIR = Path(__file__).parents[1] / "paper"

_NUMBERS = ("value", "std", "epochs", "reading_error")


def paper_path(name: str) -> Path:
    """The file of a paper CSV: a bare name lies in ``reports/paper``, anything with a folder is a path.

    Raises InputError with the nearest names if there is no such file.
    """
    path = PAPER_DIR / name if Path(name).name == name else Path(name)
    if not path.is_file():
        there = sorted(other.name for other in path.parent.glob("[!.]*.csv")) if path.parent.is_dir() else []
        raise InputError([f"paper CSV {name}: no such file: {expected(path.name, there)}"])
    return path


def load_paper(name: str, axes: Collection[str] = ()) -> pd.DataFrame:
    """A paper CSV with one column per axis (level texts) and those of ``PAPER_COLUMNS``; missing numbers are NaN.

    ``reading_error``, in the unit of ``value``, is a number where ``precision`` is ``estimated`` and NaN elsewhere.
    ``axes`` must be among its columns; where they come with the grid's levels (name -> levels), ``0.50`` is 0.5 in the
    column of an axis of numbers, and every field is the text as it stands elsewhere. Raises InputError naming the
    file, the column, the row, the nearest names.
    """
    import pandas as pd

    return pd.DataFrame(read_paper(name, axes))


def read_paper(name: str, axes: Collection[str] = ()) -> dict[str, list[object]]:
    """The columns of ``load_paper``; without pandas, which a check of a grid before its runs need not load."""
    path = paper_path(name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark in front
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as unreadable:
        raise InputError([f"{path.name}: cannot be read as CSV in UTF-8 ({unreadable})"]) from None
    missing = [column for column in (*axes, *PAPER_COLUMNS) if column not in header]
    if missing:
        raise InputError([f"{path.name}: no column {column!r}: {expected(column, header)}" for column in missing])
    problems: list[str] = []
    levels: Mapping[str, Sequence[object]] = axes if isinstance(axes, Mapping) else {}
    columns: dict[str, list[object]] = {name: [] for name in header}
    spellings: dict[tuple[str, str], dict[str, list[int]]] = {}  # (axis, level) -> how it is written -> in which rows
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            problems.append(f"{path.name}, row {line}: expected {len(header)} fields, one per column")
            continue
        for column in header:
            if column in axes or column not in PAPER_COLUMNS:
                level = level_in(row[column].strip(), levels.get(column, ()))
                spellings.setdefault((column, level), {}).setdefault(row[column], []).append(line)
                columns[column].append(level)
            else:
                place = f"{path.name}, row {line}, column {column!r}"
                columns[column].append(_read(row[column], column, place, problems))
        error = columns["reading_error"][-1]
        if isinstance(error, float) and (math.isnan(error) == (row["precision"] == "estimated") or error <= 0):
            problems.append(
                f"{path.name}, row {line}, column 'reading_error': {row['reading_error']!r}: expected a number above 0 "
                "where 'precision' is 'estimated', and nothing elsewhere"
            )
    problems += [
        f"{path.name}, column {axis!r}: the level {level} is written in more than one way ({_where(written)}); "
        "expected one"
        for (axis, level), written in spellings.items()
        if len(written) > 1
    ]
    if problems:
        raise InputError(problems)
    return columns


def _where(written: Mapping[str, Sequence[int]]) -> str:
    """``'0.5' in row 2, '0.50' in rows 3 and 7``."""
    return ", ".join(
        f"{text!r} in row{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:-1]))}{' and ' * (len(lines) > 1)}"
        f"{lines[-1]}"
        for text, lines in written.items()
    )


def read_off(errors: Iterable[float]) -> str:
    """``read off the plot (±0.3)``, with the largest of the reading errors that are numbers; empty if none is."""
    found = [error for error in errors if not math.isnan(error)]
    return f"read off the plot (±{max(found):g})" if found else ""


def _read(text: str, column: str, place: str, problems: list[str]) -> object:
    if column in _NUMBERS:
        try:
            value = float(text) if text.strip() else math.nan
        except ValueError:
            problems.append(f"{place}: {text!r} is not a number")
            return math.nan
        if math.isinf(value):
            problems.append(f"{place}: {text!r} is not a finite number")
        return value
    if column == "role":
        if text not in ("cell", "row_average"):
            problems.append(f"{place}: {text!r}: {expected(text, ('cell', 'row_average'))}")
        return text
    return text
