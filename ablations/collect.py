"""From the store to the tables that the reporter reads: ``<grid>.<scale>.json``, ``runs.csv``, ``curves.csv``."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.declared import earlier
from ablations.demand import demand
from ablations.description import SCHEMA_VERSION, grid_json
from ablations.errors import UserError
from ablations.reader import CONTRASTIVE_METRICS, RUN_METRICS
from ablations.spec import Grid, RunSpec
from ablations.store import State, Store
from simclr_core.records import read_json, write_json

RUNS_COLUMNS = (
    "schema_version",
    "run_id",
    "cell_id",
    "seed",
    "dataset",
    "outcome",
    "metric",
    "value",
    "num_labels",
    "num_test",
)
CURVES_COLUMNS = ("schema_version", "run_id", "step", "epoch", "loss", "lr", "z_std")

Row = dict[str, Any]


@dataclass
class Collected:
    """What a collection found."""

    num_done: int = 0
    num_runs: int = 0
    broken: list[str] = field(default_factory=list)  # one line per run folder that was skipped, or record that was


def collect(
    grids: Sequence[Grid], scale: str, store: Store, results_dir: Path, seeds: Sequence[int] | None = None
) -> Collected:
    """Write the tables of grids at a scale into ``results_dir``; each file is replaced whole or not at all.

    ``seeds`` replaces the grids' own. Tables of other grids there stay, with their rows. Raises GridError for a scale
    that a grid does not have.
    """
    collected = Collected()
    contents: dict[str, dict[str, Any]] = {}
    runs: list[Row] = []
    curves: list[Row] = []
    seen: set[str] = set()
    for grid in grids:
        asked = demand(grid, scale, store, seeds)
        states = {spec.run_id: State.PLANNED for spec in asked.foreseen}
        records = {}
        collected.num_runs += len(asked.foreseen)
        for spec in asked.runs:
            states[spec.run_id], records[spec.run_id] = _read_run(spec, store, collected.broken)
        for spec in asked.runs:
            record = records[spec.run_id]
            collected.num_runs += 1
            collected.num_done += record is not None
            if record:
                runs += _run_rows(spec, record)
                if spec.run_id not in seen:
                    curves += _curve_rows(spec, store, collected.broken)
                seen.add(spec.run_id)
        outcomes = {run_id: record["result"]["outcome"] if record else None for run_id, record in records.items()}
        contents[f"{grid.name}.{scale}.json"] = grid_json(
            grid, scale, asked, states=states, outcomes=outcomes, store=store
        )
    others = _runs_of_others(results_dir, set(contents))
    kept_runs = [row for row in _read_table(results_dir / "runs.csv", RUNS_COLUMNS) if row["run_id"] in others]
    kept_curves = [
        row for row in _read_table(results_dir / "curves.csv", CURVES_COLUMNS) if row["run_id"] in others - seen
    ]
    by_key = {tuple(str(row[key]) for key in ("run_id", "metric", "num_labels")): row for row in [*kept_runs, *runs]}
    _write_table(results_dir / "runs.csv", RUNS_COLUMNS, by_key.values())
    _write_table(results_dir / "curves.csv", CURVES_COLUMNS, [*kept_curves, *curves])
    for name, content in contents.items():
        content["declared"] = earlier(content["declared"], _declared_before(results_dir / name))
        write_json(results_dir / name, content)
    return collected


def _read_run(spec: RunSpec, store: Store, broken: list[str]) -> tuple[State, dict[str, Any] | None]:
    """The state of a run and, if it is done, its result and its evaluations; notes what cannot be used."""
    try:
        state = store.state(spec)
    except UserError as error:
        broken += error.problems
        return State.FAILED, None
    folder = store.run_dir(spec.run_id)
    broken += [f"{folder / name}: cannot be read; counted as missing" for name in store.facts(spec.run_id).torn]
    if state is not State.DONE:
        return state, None
    try:
        evaluations = [read_json(folder / "evals" / f"{eval_id}.json") for eval_id in spec.eval_ids]
        record = {"result": read_json(folder / "result.json"), "evaluations": evaluations}
        _run_rows(spec, record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        broken.append(f"{folder}: skipped: {type(error).__name__}: {error}")
        return State.PLANNED, None
    return state, record


def _run_rows(spec: RunSpec, record: dict[str, Any]) -> list[Row]:
    result = record["result"]
    shared = {
        "schema_version": SCHEMA_VERSION,
        "run_id": spec.run_id,
        "cell_id": spec.cell_id,
        "seed": spec.seed,
        "dataset": spec.config.data.name,
        "outcome": result["outcome"],
    }
    evaluated = [
        row
        for asked, evaluation in zip(spec.evaluations, record["evaluations"], strict=True)
        for row in _evaluation_rows(shared, asked.metric, evaluation)
    ]
    of_run = {**shared, "num_labels": "", "num_test": result["z_std_images"]}
    rows = [{**of_run, "metric": metric, "value": result[metric]} for metric in RUN_METRICS]
    measured = [metric for metric in CONTRASTIVE_METRICS if result.get(metric) is not None]
    candidates = {"num_test": spec.config.training.global_batch_size}
    rows += [{**of_run, **candidates, "metric": metric, "value": result[metric]} for metric in measured]
    return evaluated + rows


def _evaluation_rows(shared: Row, metric: str, evaluation: dict[str, Any]) -> list[Row]:
    """A row for top-1, and one for top-5, under ``linear_top5`` and the like, where the evaluation has it.

    Evaluations of an earlier version have none, nor have those of fewer than six classes.
    """
    row = {**shared, **{key: evaluation[key] for key in ("num_labels", "num_test")}}
    rows = [{**row, "metric": metric, "value": evaluation["top1"]}]
    if evaluation.get("top5") is not None:
        rows.append({**row, "metric": f"{metric.removesuffix('top1')}top5", "value": evaluation["top5"]})
    return rows


def _curve_rows(spec: RunSpec, store: Store, broken: list[str]) -> list[Row]:
    path = store.run_dir(spec.run_id) / "metrics.jsonl"
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            rows.append(
                {
                    "schema_version": SCHEMA_VERSION,
                    "run_id": spec.run_id,
                    **{key: content[key] for key in CURVES_COLUMNS[2:]},
                }
            )
        except (ValueError, KeyError, TypeError):
            broken.append(f"{path}: line {number} cannot be read; skipped")
    return rows


def _runs_of_others(results_dir: Path, names: set[str]) -> set[str]:
    """The runs that the grids already in a results folder, other than these, ask for."""
    runs: set[str] = set()
    for path in sorted(results_dir.glob("*.*.json")):
        if path.name in names:
            continue
        try:
            content = read_json(path)
            arms = (content.get("tuning") or {}).get("arms", [])
            runs |= {run["run_id"] for cell in [*content["cells"], *arms] for run in cell["runs"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the reporter says what is wrong with it
    return runs


def _declared_before(path: Path) -> dict[str, Any] | None:
    """What the table that is to be replaced knows of the claims before the runs, of which the store may not know."""
    try:
        found = read_json(path).get("declared")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row.get(column) is not None for column in columns)]


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    temporary.replace(path)
