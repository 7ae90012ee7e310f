"""What two results are compared by: the verdicts and the values of every run, from tables or from a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats.levels import level_text
from formats.names import expected
from reports.claims.evidence import cell_name
from reports.claims.verdicts import Verdict
from reports.errors import InputError
from reports.inputs import GridResult, load_results
from reports.json_text import load_json
from reports.metrics import quantity
from reports.page.last_report import NAME, read_report


@dataclass(frozen=True)
class ClaimState:
    """A claim as one side has it; missing numbers are NaN."""

    id: str
    says: str
    verdict: str
    metric: str
    unit: str
    estimate: float
    low: float
    high: float
    margin: float

    @property
    def decimals(self) -> int:
        """With how many decimals its numbers are read; a number without the metric's unit is pure."""
        shown = quantity(self.metric)
        return 2 if shown.difference_unit and not self.unit else shown.decimals

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class CellState:
    """A cell or reference as one side has it: the values of the grid's metric by run id, of the runs that have one."""

    name: str
    cell_id: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class GridState:
    """One grid at one scale as one side has it: claims by id, cells by role and label."""

    slug: str
    title: str
    metric: str
    claims: Mapping[str, ClaimState]
    cells: Mapping[tuple[str, str], CellState]


def read_side(path: Path) -> dict[str, GridState]:
    """The grids of a results folder or of a report's folder, by slug.

    Raises InputError with everything that is wrong in it.
    """
    if (path / NAME).is_file():
        return _of_report(path)
    if any(path.glob("[!.]*.*.json")):
        states = [_of_result(result) for result in load_results(path)]
        return {state.slug: state for state in states}
    if path.exists():
        what = f"{path}: neither results (<grid>.<scale>.json, as ablate collect writes) nor a report ({NAME})"
        inside = [each.name for each in sorted(path.iterdir()) if _is_side(each)] if path.is_dir() else []
        raise InputError([f"{what}; did you mean one inside: {', '.join(inside)}?" if inside else what])
    there = [each.name for each in sorted(path.parent.iterdir()) if _is_side(each)] if path.parent.is_dir() else []
    raise InputError([f"{path}: no such folder: {expected(path.name, there)}" if there else f"{path}: no such folder"])


def _is_side(path: Path) -> bool:
    return path.is_dir() and ((path / NAME).is_file() or any(path.glob("[!.]*.*.json")))


def _of_result(result: GridResult) -> GridState:
    values: dict[str, dict[str, float]] = {}
    rows = result.frame[result.frame["metric"] == result.metric].dropna(subset="value")
    for cell_id, run_id, value in rows[["cell_id", "run_id", "value"]].itertuples(index=False):
        values.setdefault(str(cell_id), {})[str(run_id)] = float(value)
    return GridState(
        f"{result.name}.{result.scale}",
        str(result.spec["title"]),
        result.metric,
        {verdict.id: _of_verdict(verdict) for verdict in result.verdicts},
        {_key(cell): _cell(cell, values.get(str(cell["cell_id"]), {})) for cell in result.spec["cells"]},
    )


def _of_verdict(verdict: Verdict) -> ClaimState:
    texts = (verdict.id, verdict.says, verdict.verdict, verdict.metric, verdict.unit)
    return ClaimState(*texts, verdict.estimate, verdict.low, verdict.high, verdict.margin)


def _of_report(site: Path) -> dict[str, GridState]:
    report = read_report(site)
    if report is None:
        raise InputError([f"{site / NAME}: cannot be read; write the report anew with this version"])
    states: dict[str, GridState] = {}
    problems: list[str] = []
    for slug in report.entries:
        path = site / "grids" / f"{slug}.json"
        try:
            states[slug] = _of_twin(slug, load_json(path.read_bytes()))
        except OSError as error:
            problems.append(f"{path}: {error.strerror}; the report is not whole, write it anew")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: not a report's table of this version ({type(error).__name__}: {error})")
    if problems:
        raise InputError(problems)
    return states


def _of_twin(slug: str, content: Mapping[str, Any]) -> GridState:
    metric = str(content["metric"])
    cells = {}
    for cell in content["cells"]:
        found = {str(run["run_id"]): run["values"].get(metric) for run in cell["runs"]}
        cells[_key(cell)] = _cell(cell, {run: float(value) for run, value in found.items() if value is not None})
    claims = {}
    for claim in content["claims"]:
        numbers = [math.nan if claim[key] is None else float(claim[key]) for key in _NUMBERS]
        name, says, verdict, metric_of, unit = (str(claim[key]) for key in _TEXTS)
        claims[name] = ClaimState(name, says, verdict, metric_of, unit, *numbers)
    return GridState(slug, str(content["title"]), metric, claims, cells)


_TEXTS = ("id", "says", "verdict", "metric", "unit")
_NUMBERS = ("estimate", "low", "high", "margin")


def _key(cell: Mapping[str, Any]) -> tuple[str, str]:
    return str(cell["role"]), str(cell["label"])


def _cell(cell: Mapping[str, Any], values: Mapping[str, float]) -> CellState:
    levels = {str(axis): level_text(level) for axis, level in cell["levels"].items()}
    name = cell_name(levels) if cell["role"] == "cell" and levels else str(cell["label"])
    return CellState(name, str(cell["cell_id"]), values)
