"""What a grid asks for, joined with what the store holds. Trains nothing."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablations.spec import Grid, RunSpec
from ablations.store import State, Store
from simclr_core.records import read_json


@dataclass(frozen=True)
class Cost:
    """What is left of a grid at a scale."""

    core_s_per_run: float | None
    source: str  # where the figure comes from
    left_core_s: float | None


@dataclass(frozen=True)
class PlannedCell:
    """One cell or reference, over its seeds."""

    role: str
    label: str
    states: tuple[State, ...]  # one per seed
    shared_with: tuple[str, ...]  # other grids that ask for the same runs


def states_of(specs: Iterable[RunSpec], store: Store) -> dict[str, State]:
    """The state of each run, by run id."""
    return {spec.run_id: store.state(spec) for spec in specs}


def planned_cells(specs: Sequence[RunSpec], states: dict[str, State], others: Sequence[RunSpec]) -> list[PlannedCell]:
    """The cells of a grid in order; ``others`` are the runs that other grids ask for at the same scale."""
    owners: dict[str, dict[str, None]] = {}
    for spec in others:
        owners.setdefault(spec.run_id, {})[spec.grid] = None
    by_cell: dict[str, list[RunSpec]] = {}
    for spec in specs:
        by_cell.setdefault(spec.cell_id, []).append(spec)
    cells = []
    for runs in by_cell.values():
        shared = {grid: None for run in runs for grid in owners.get(run.run_id, {}) if grid != run.grid}
        run_states = tuple(states[run.run_id] for run in runs)
        cells.append(PlannedCell(runs[0].role, runs[0].label, run_states, tuple(shared)))
    return cells


def count(states: Iterable[State]) -> Counter[State]:
    """How many runs are in each state."""
    return Counter(states)


def cost(grid: Grid, scale: str, specs: Sequence[RunSpec], states: dict[str, State], store: Store) -> Cost:
    """Core-seconds for the runs that are not done, by the median of the finished ones, else as the grid says."""
    durations = [d for spec in specs if states[spec.run_id] is State.DONE and (d := measured_core_s(spec, store))]
    left = sum(state is not State.DONE for state in states.values())
    if durations:
        per_run, source = statistics.median(durations), f"the median of {len(durations)} finished runs"
    elif (expected := grid.scales[scale].expected_core_s) is not None:
        per_run, source = expected, "the grid's own figure"
    else:
        return Cost(None, "nothing: no run has finished, and the grid gives no figure", None)
    return Cost(per_run, source, per_run * left)


def measured_core_s(spec: RunSpec, store: Store) -> float | None:
    """Core-seconds of a finished run: pre-training and its evaluations, times threads; None if records are missing."""
    folder = store.run_dir(spec.run_id)
    try:
        parts = [read_json(folder / "result.json")["duration_s"]]
        parts += [read_json(folder / "evals" / f"{eval_id}.json")["duration_s"] for eval_id in spec.eval_ids]
        attempts = read_json(folder / "provenance.json")["attempts"]
        return float(sum(parts)) * int(attempts[-1]["num_threads"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
