"""Result tables read, checked and joined: one ``GridResult`` per grid and scale, all that figures and verdicts need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from formats.levels import level_text
from formats.metrics import NUM_PARAMETERS, RUN_METRICS, evaluation_metric
from formats.names import expected
from formats.tables import CURVES_COLUMNS, RUNS_COLUMNS, SCHEMA_VERSION
from reports.claims.checks import FRAME_COLUMNS, check_grid
from reports.claims.on_paper import noise_sd
from reports.claims.verdicts import Verdict, judge
from reports.errors import InputError
from reports.json_text import load_json
from reports.read.papers import load_paper
from reports.read.provenance import Provenance, load_problems, read_provenance
from reports.read.result_tables import Rows, read_table, rows_by_run

__all__ = ["GridResult", "InputError", "check_grid", "load_paper", "load_problems", "load_results"]

_GRID_KEYS: dict[str, type | tuple[type, ...]] = {
    "schema_version": int, "name": str, "title": str, "question": str, "scale": str, "note": str, "paper": dict,
    "recipe": str, "axes": dict, "seeds": list, "metric": str, "evaluations": list, "cells": list, "figure": dict,
    "claims": list, "deviations": list, "cost": dict,
}  # fmt: skip
_CELL_KEYS = ("cell_id", "role", "label", "levels", "runs")
_RUN_KEYS = ("run_id", "seed", "state", "outcome", "command")
_NO_ROWS = np.array([], dtype=np.intp)


@dataclass(frozen=True)
class GridResult:
    """One grid at one scale.

    ``frame`` has one row per planned run and metric: the columns of ``FRAME_COLUMNS`` and one per axis (level texts),
    ``value`` NaN where there is none. ``curves`` has one row per run and recorded step: role, label, axes, run_id,
    seed, step, epoch, loss, lr, z_std. ``paper`` is the paper CSV, whole. ``spec`` is the JSON as it was read.
    ``provenance`` has, by run id, what was collected of where a run came from: attempts, error, log, result; of the
    grid's runs that have a folder, and nothing where the folder of tables lacks the file.
    """

    spec: Mapping[str, Any]
    axes: dict[str, list[str]]
    metrics: tuple[str, ...]
    frame: pd.DataFrame
    curves: pd.DataFrame
    paper: pd.DataFrame
    provenance: Provenance = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The grid's name."""
        return str(self.spec["name"])

    @property
    def scale(self) -> str:
        """The scale's name."""
        return str(self.spec["scale"])

    @property
    def metric(self) -> str:
        """The metric that the grid is about."""
        return str(self.spec["metric"])

    @property
    def looks(self) -> bool:
        """Whether the grid plans looks, between which seeds may be added."""
        return bool(self.spec.get("looks", False))

    @property
    def datasets(self) -> str:
        """The names of the data sets that the finished runs learnt from, or ``no data yet``."""
        return ", ".join(sorted(set(self.frame["dataset"].dropna()))) or "no data yet"

    @property
    def paper_cells(self) -> pd.DataFrame:
        """The paper's cells that exist at this scale: axes, metric, value, std, reading_error."""
        shown = self.printed
        for axis, levels in self.axes.items():
            shown = shown[shown[axis].isin(levels)]
        return shown[[*self.axes, "metric", "value", "std", "reading_error"]].reset_index(drop=True)

    @property
    def printed(self) -> pd.DataFrame:
        """The paper's cells, whether this scale has them or not: all columns of the paper CSV."""
        return self.paper[self.paper["role"] == "cell"].reset_index(drop=True)

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts on the grid's claims, corrected over them."""
        return judge(
            self.spec["claims"],
            self.frame,
            axes=list(self.axes),
            metric=self.metric,
            scale=self.scale,
            paper=self.printed,
            noise=noise_sd(str(self.spec["paper"]["key"])),
            looks=self.looks,
        )


@dataclass(frozen=True)
class _Tables:
    """What the grids of a results folder share, and where in it the rows of each run are."""

    runs: pd.DataFrame
    rows_of_runs: Rows
    curves: pd.DataFrame
    rows_of_curves: Rows
    provenance: Provenance


def load_results(results_dir: Path, names: Sequence[str] | None = None) -> list[GridResult]:
    """Every grid of a results folder, or those named (``grid`` or ``grid.scale``), sorted by file name.

    Raises InputError with everything that is wrong in the folder's files.
    """
    results_dir = Path(results_dir)
    found = {path.stem: path for path in sorted(results_dir.glob("[!.]*.*.json"))} if results_dir.is_dir() else {}
    if not found:
        raise InputError([f"{results_dir}: no result tables (<grid>.<scale>.json); collect them first"])
    chosen = {
        stem: path for stem, path in found.items() if names is None or {stem, stem.rpartition(".")[0]} & set(names)
    }
    valid = sorted({stem.rpartition(".")[0] for stem in found} | set(found))
    problems = [
        f"{results_dir}: no results of {name!r}: {expected(name, valid)}" for name in names or [] if name not in valid
    ]
    specs = {path: _read_grid(path, problems) for path in chosen.values()}
    runs = read_table(results_dir / "runs.csv", RUNS_COLUMNS, problems)
    curves = read_table(results_dir / "curves.csv", CURVES_COLUMNS, problems)
    provenance = read_provenance(results_dir, problems)
    papers: dict[Path, pd.DataFrame] = {}
    for path, spec in specs.items():
        if spec is not None:
            wrong = check_grid(spec)
            problems += [f"{path.name}: {problem}" for problem in wrong]
            if not wrong:
                papers[path] = load_paper(spec["paper"]["csv"], spec["axes"])
    if problems or runs is None or curves is None:
        raise InputError(problems)
    tables = _Tables(runs, rows_by_run(runs), curves, rows_by_run(curves), provenance)
    return [_join(spec, tables, papers[path]) for path, spec in specs.items() if spec is not None]


def grid_result(spec: Mapping[str, Any], runs: Sequence[Sequence[Any]]) -> GridResult:
    """A grid at a scale from the content of its JSON and the rows of runs.csv, in memory; without curves.

    Raises InputError with everything that is wrong with the grid's figure, claims and paper.
    """
    if problems := check_grid(spec):
        raise InputError(problems)
    table = pd.DataFrame(list(runs), columns=list(RUNS_COLUMNS))
    for name in ("value", "num_labels", "num_test"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    curves = pd.DataFrame(columns=list(CURVES_COLUMNS))
    paper = load_paper(spec["paper"]["csv"], spec["axes"])
    return _join(spec, _Tables(table, rows_by_run(table), curves, {}, {}), paper)


def _read_grid(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        spec = load_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        problems.append(f"{path.name}: not JSON ({error})")
        return None
    if not isinstance(spec, dict):
        problems.append(f"{path.name}: expected an object with {', '.join(_GRID_KEYS)}")
        return None
    wrong = [f"{path.name}: no {key!r}: {expected(key, spec)}" for key in _GRID_KEYS if key not in spec]
    wrong += [
        f"{path.name}: {key} is a {type(spec[key]).__name__}, expected a {kind}"
        for key, kind in ((key, getattr(kind, "__name__", "")) for key, kind in _GRID_KEYS.items())
        if key in spec and type(spec[key]).__name__ != kind
    ]
    if not wrong and spec["schema_version"] != SCHEMA_VERSION:
        wrong.append(f"{path.name}: schema_version {spec['schema_version']}, this report reads {SCHEMA_VERSION}")
    if not wrong and spec.get("tuning") and "axes" not in spec["tuning"]:
        wrong.append(f"{path.name}: tuning: no 'axes', as an older version wrote it; collect again")
    if not wrong:
        wrong += _cell_problems(spec, path.name)
    problems += wrong
    return None if wrong else spec


def _cell_problems(spec: Mapping[str, Any], place: str) -> list[str]:
    problems: list[str] = []
    for index, cell in enumerate(spec["cells"]):
        at = f"{place}: cells[{index}]"
        missing = [key for key in _CELL_KEYS if key not in cell]
        problems += [f"{at}: no {key!r}: {expected(key, cell)}" for key in missing]
        if missing:
            continue
        if cell["role"] not in ("cell", "reference"):
            problems.append(f"{at}.role: {cell['role']!r}: {expected(cell['role'], ('cell', 'reference'))}")
        elif cell["role"] == "cell" and set(cell["levels"]) != set(spec["axes"]):
            problems.append(f"{at}.levels: has {', '.join(cell['levels'])}; expected {', '.join(spec['axes'])}")
        problems += [
            f"{at}.runs[{number}]: no {key!r}: {expected(key, run)}"
            for number, run in enumerate(cell["runs"])
            for key in _RUN_KEYS
            if key not in run
        ]
    return problems


def _measured(spec: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs.csv that this grid asked for: one per run and metric.

    A run shared with another grid may carry the same metric at another number of labels.
    """
    wanted = {evaluation_metric(entry): int(entry.get("num_labels", 0)) for entry in spec["evaluations"]}
    kept = [runs[runs["metric"].isin(RUN_METRICS)]]
    for metric, num_labels in wanted.items():
        rows = runs[runs["metric"] == metric]
        most = rows.groupby("run_id")["num_labels"].transform("max")
        kept.append(rows[rows["num_labels"] == (num_labels or most)])
    measured = pd.concat(kept)
    twice = measured[measured.duplicated(["run_id", "metric"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError([f"runs.csv: {len(twice)} values stand twice, first {first['metric']} of {first['run_id']}"])
    return measured


def _join(spec: Mapping[str, Any], tables: _Tables, paper: pd.DataFrame) -> GridResult:
    axes = {name: [level_text(level) for level in levels] for name, levels in spec["axes"].items()}
    metrics = (*dict.fromkeys(evaluation_metric(entry) for entry in spec["evaluations"]), *RUN_METRICS)
    planned = pd.DataFrame(
        [
            {
                **{axis: level_text(cell["levels"][axis]) if axis in cell["levels"] else "" for axis in axes},
                **{key: cell[key] for key in ("cell_id", "role", "label")},
                NUM_PARAMETERS: float(cell.get(NUM_PARAMETERS, math.nan)),
                **{key: run[key] for key in ("run_id", "seed", "state", "outcome")},
            }
            for cell in spec["cells"]
            for run in cell["runs"]
        ],
        columns=[*axes, "cell_id", "role", "label", NUM_PARAMETERS, "run_id", "seed", "state", "outcome"],
    )
    run_ids = planned["run_id"].tolist()
    runs = tables.runs.take(_places(tables.rows_of_runs, dict.fromkeys(run_ids)))
    measured = _measured(spec, _plain(runs))[["run_id", "dataset", "metric", "value", "num_labels", "num_test"]]
    asked = planned.merge(pd.DataFrame({"metric": metrics}), how="cross")
    frame = asked.merge(measured, how="left", on=["run_id", "metric"])
    frame["value"] = frame["value"].where(frame["value"].abs() < math.inf)
    return GridResult(
        spec,
        axes,
        metrics,
        frame[[*axes, *FRAME_COLUMNS]],
        _curves(planned.drop(columns=["state", "outcome"]), tables),
        paper,
        {run_id: tables.provenance[run_id] for run_id in dict.fromkeys(run_ids) if run_id in tables.provenance},
    )


def _curves(planned: pd.DataFrame, tables: _Tables) -> pd.DataFrame:
    """The steps of every run beside what was planned; millions of rows are not joined by comparing texts.

    An axis with the name of a recorded column, as ``loss`` in simclr_table4_loss_functions, gives way to that.
    """
    run_ids = planned["run_id"].tolist()
    lengths = [len(tables.rows_of_curves.get(run_id, _NO_ROWS)) for run_id in run_ids]
    left = planned.take(np.repeat(np.arange(len(planned)), lengths)).reset_index(drop=True)
    steps = tables.curves.take(_places(tables.rows_of_curves, run_ids)).reset_index(drop=True)
    recorded = steps.drop(columns=["schema_version", "run_id"])
    return pd.concat([left.drop(columns=left.columns.intersection(recorded.columns)), recorded], axis=1)


def _places(rows: Rows, run_ids: Iterable[str]) -> npt.NDArray[np.intp]:
    return np.concatenate([_NO_ROWS, *(rows.get(run_id, _NO_ROWS) for run_id in run_ids)])


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with texts in the place of categories, which do not join as texts do."""
    categories = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(categories, object))
