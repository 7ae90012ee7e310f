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

from ablations import plan
from ablations.errors import UserError
from ablations.grid import expand, scale_of
from ablations.reader import CONTRASTIVE_METRICS, RUN_METRICS
from ablations.spec import Grid, RunSpec
from ablations.store import State, Store
from simclr_core.cost import backbone_parameters
from simclr_core.identity import canonical
from simclr_core.options import override
from simclr_core.recipes import RECIPES, recipe
from simclr_core.records import read_json, write_json

SCHEMA_VERSION = 1
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
        specs = expand(grid, scale_of(grid, scale).name, seeds)
        states, records = {}, {}
        for spec in specs:
            states[spec.run_id], records[spec.run_id] = _read_run(spec, store, collected.broken)
        for spec in specs:
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
            grid, scale, specs, states=states, outcomes=outcomes, store=store
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
        write_json(results_dir / name, content)
    return collected


def grid_json(
    grid: Grid,
    scale: str,
    specs: Sequence[RunSpec],
    *,
    states: dict[str, State],
    outcomes: dict[str, str | None],
    store: Store,
) -> dict[str, Any]:
    """The content of ``results/<grid>.<scale>.json``: what was asked, and where each run stands."""
    of_scale = grid.scales[scale]
    cells: dict[str, dict[str, Any]] = {}
    for spec in specs:
        cell: dict[str, Any] = {"cell_id": spec.cell_id, "role": spec.role, "label": spec.label, "levels": spec.levels}
        cell |= {"num_parameters": backbone_parameters(spec.config.backbone), "runs": []}
        run = {"run_id": spec.run_id, "seed": spec.seed, "state": str(states[spec.run_id])}
        run |= {"outcome": outcomes.get(spec.run_id), "command": spec.command}
        cells.setdefault(spec.cell_id, cell)["runs"].append(run)
    cost = plan.cost(grid, scale, specs, states, store)
    found = [plan.measured(spec, store) for spec in specs if states[spec.run_id] is State.DONE]
    spent = [times.training_s + times.evaluation_s for times in found if times]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": grid.name,
        "title": grid.title,
        "question": grid.question,
        "scale": scale,
        "note": of_scale.note,
        "paper": grid.paper,
        "recipe": f"{grid.recipe}_{scale}",
        "axes": {axis.name: list(axis.labels) for axis in of_scale.axes},
        "seeds": list(dict.fromkeys(spec.seed for spec in specs)),
        "metric": grid.metric,
        "evaluations": [canonical(evaluation.config) for evaluation in of_scale.evaluations],
        "cells": list(cells.values()),
        "figure": grid.figure,
        "claims": list(grid.claims),
        "looks": grid.looks,
        "deviations": deviations(grid, scale),
        "cost": {
            "estimated_core_s": None if cost.total_core_s is None else round(cost.total_core_s, 1),
            "actual_core_s": round(sum(spent), 1),
        },
    }


def deviations(grid: Grid, scale: str) -> list[dict[str, Any]]:
    """What this scale does otherwise than the paper's: settings in use, labels of evaluations, levels of axes."""
    if f"{grid.recipe}_imagenet" not in RECIPES or scale == "imagenet":
        return []
    ours, papers = _settings(grid, scale), _settings(grid, "imagenet")
    keys = [key for key in {**papers, **ours} if ours.get(key) != papers.get(key)]
    return [{"key": key, "paper": papers.get(key), "ours": ours.get(key)} for key in keys]


def _settings(grid: Grid, scale: str) -> dict[str, Any]:
    of_scale = grid.scales.get(scale)
    own = of_scale.overrides if of_scale else {}
    config = override(recipe(f"{grid.recipe}_{scale}"), {**grid.overrides, **own})
    axes = of_scale.axes if of_scale else ()
    varied = {key for axis in axes for key in axis.keys}
    used = _dotted(canonical(config, neutrals=True))
    settings = {key: value for key, value in used.items() if key not in varied and key != "seed"}
    settings |= {f"axes.{axis.name}": list(axis.labels) for axis in axes}
    for evaluation in of_scale.evaluations if of_scale else ():
        settings[f"{evaluation.config.metric}.num_labels"] = evaluation.config.num_labels
    return settings


def _dotted(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in content.items():
        out |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


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
    evaluated = [row for evaluation in record["evaluations"] for row in _evaluation_rows(shared, evaluation)]
    of_run = {**shared, "num_labels": "", "num_test": result["z_std_images"]}
    rows = [{**of_run, "metric": metric, "value": result[metric]} for metric in RUN_METRICS]
    measured = [metric for metric in CONTRASTIVE_METRICS if result.get(metric) is not None]
    candidates = {"num_test": spec.config.training.global_batch_size}
    rows += [{**of_run, **candidates, "metric": metric, "value": result[metric]} for metric in measured]
    return evaluated + rows


def _evaluation_rows(shared: Row, evaluation: dict[str, Any]) -> list[Row]:
    """A row for top-1, and one for top-5, under ``linear_top5`` and the like, where the evaluation has it.

    Evaluations of an earlier version have none, nor have those of fewer than six classes.
    """
    metric = evaluation["metric"]
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
            runs |= {run["run_id"] for cell in read_json(path)["cells"] for run in cell["runs"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the reporter says what is wrong with it
    return runs


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
