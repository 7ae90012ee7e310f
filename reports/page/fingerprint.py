"""What a grid's files are made of, as one hash: as long as it stays, they need not be made again."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from formats.tables import CURVES_COLUMNS
from reports.claims.on_paper import noise_sd
from reports.inputs import GridResult

_RECORDED = CURVES_COLUMNS[1:]  # what else stands beside a run's steps follows from the grid
_LIBRARIES = ("fonttools", "jinja2", "matplotlib", "numpy", "pandas", "scipy", "seaborn")


def fingerprint(result: GridResult, *also: Any) -> str:
    """SHA-256 of a grid's JSON, its rows of runs, curves and provenance, the paper's numbers, this package and its
    libraries, and of ``also``, anything that JSON can say.
    """
    run_ids = dict.fromkeys(str(run["run_id"]) for cell in result.spec["cells"] for run in cell["runs"])
    parts = [
        _source(),
        result.spec,
        [result.provenance.get(run_id) for run_id in run_ids],
        [_rows(table) for table in (result.frame, result.curves[list(_RECORDED)], result.paper)],
        noise_sd(str(result.spec["paper"]["key"])),
        also,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _rows(table: pd.DataFrame) -> str:
    """A hash of a table's columns and of its rows in their order; the same in every process."""
    content = hashlib.sha256(json.dumps([list(table.columns), *map(str, table.dtypes)]).encode())
    for name in table:
        column = table[name]
        rows = column if is_numeric_dtype(column) else pd.util.hash_pandas_object(column, index=False)
        content.update(rows.to_numpy().tobytes())
    return content.hexdigest()


@cache
def _source() -> list[Any]:
    """The files of the reporter and of the formats, and the versions of what it draws and computes with."""
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    packages = ("formats", "reports")
    hashes = [each for package in packages for each in _hashes(resources.files(package), package)]
    return [versions, *sorted(hashes)]


def _hashes(folder: Traversable, path: str) -> list[tuple[str, str]]:
    found = []
    for each in folder.iterdir():
        name = f"{path}/{each.name}"
        if each.is_dir():
            found += [] if each.name in ("__pycache__", "paper") else _hashes(each, name)
        elif each.name.endswith((".py", ".html", ".css", ".js")):
            found.append((name, hashlib.sha256(each.read_bytes()).hexdigest()))
    return found
