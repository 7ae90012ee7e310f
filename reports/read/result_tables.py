"""``runs.csv`` and ``curves.csv`` as they are read: quickly where all is well, and line by line to say what is not."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from formats.names import expected
from formats.tables import SCHEMA_VERSION

_TEXTS = ("run_id", "cell_id", "dataset", "outcome", "metric")
_MISSING = ["", "nan", "NaN"]
"""An empty field and the loss of a run that diverged; anything else must be a number."""
_CHUNK_BYTES = 1 << 20

Rows = Mapping[str, npt.NDArray[np.intp]]
"""Run id -> places of its rows in a table, in their order."""


def read_table(path: Path, columns: Sequence[str], problems: list[str]) -> pd.DataFrame | None:
    """The columns of a table, numbers as numbers and missing ones NaN; None if something is wrong, which is told."""
    if not path.is_file():
        problems.append(f"{path}: no such file")
        return None
    table = _read_quickly(path, columns) if _is_plain(path, columns) else None
    if table is None:
        table = _read_carefully(path, columns, problems)
    if table is None:
        return None
    versions = set(table["schema_version"].unique()) - {SCHEMA_VERSION}
    if versions:
        problems.append(f"{path.name}: schema_version {min(versions):g}, this report reads {SCHEMA_VERSION}")
    return None if versions else table


def rows_by_run(table: pd.DataFrame) -> Rows:
    """Where the rows of each run are."""
    found = table.groupby("run_id", sort=False, observed=True).indices
    return {str(run_id): np.asarray(rows, dtype=np.intp) for run_id, rows in found.items()}


def _is_plain(path: Path, columns: Sequence[str]) -> bool:
    """Whether a file has these columns in this order, nothing in quotes, and as many fields as its lines should."""
    header = ",".join(columns).encode() + b"\n"
    num_commas = num_lines = 0
    with path.open("rb") as file:
        if file.readline() != header:
            return False
        last = header
        while chunk := file.read(_CHUNK_BYTES):
            if b'"' in chunk or b"\r" in chunk:
                return False
            num_commas += chunk.count(b",")
            num_lines += chunk.count(b"\n")
            last = chunk
    num_lines += not last.endswith(b"\n")
    return num_lines > 0 and num_commas == num_lines * (len(columns) - 1)


def _read_quickly(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    """The table by pandas' own parser, None wherever that finds something to wonder about."""
    numbers = [name for name in columns if name not in _TEXTS]
    try:
        # by its path, pandas would map a large file into memory whole
        with warnings.catch_warnings(action="error"), path.open("rb") as file:
            table = pd.read_csv(
                file,
                index_col=False,
                dtype=dict.fromkeys(set(columns) & set(_TEXTS), "category"),
                keep_default_na=False,
                na_values=dict.fromkeys(numbers, _MISSING),
            )
    except (ValueError, Warning):
        return None
    if any(table[name].dtype.kind not in "if" for name in numbers):
        return None
    return table


def _read_carefully(path: Path, columns: Sequence[str], problems: list[str]) -> pd.DataFrame | None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path.name}: cannot be read as CSV in UTF-8 ({error})")
        return None
    wrong = [f"{path.name}: no column {name!r}: {expected(name, header)}" for name in columns if name not in header]
    wrong += [
        f"{path.name}, row {line}: {len(row)} fields, expected {len(header)}"
        for line, row in enumerate(rows, start=2)
        if len(row) != len(header)
    ]
    if wrong:
        problems += wrong
        return None
    table = pd.DataFrame(rows, columns=header, dtype=object)[list(columns)]
    for name in columns:
        if name in _TEXTS:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = table.index[numbers.isna() & ~table[name].str.strip().str.lower().isin(_MISSING)]
        wrong += [
            f"{path.name}, row {line + 2}, column {name!r}: {table[name][line]!r} is not a number" for line in bad
        ]
        table[name] = numbers
    problems += wrong
    return None if wrong else table
