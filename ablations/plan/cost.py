"""The cells of a grid with the states of their runs in a store, and the cost of the runs. Trains nothing."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablations.plan.throughput import UNREADABLE, examples, extrapolated, times
from ablations.store.folder import State, Store
from ablations.study.spec import Grid, RunSpec
from simclr_core.config.cost import training_multiply_adds

Estimates = tuple[list[float], str]
"""Core-seconds of each run, and a note on the source of the estimate."""


@dataclass(frozen=True)
class Cost:
    """The cost of a grid at a scale, in core-seconds; None where it is unknown."""

    total_core_s: float | None
    source: str  # where the figure comes from
    left_core_s: float | None
    core_s_per_run: float | None  # the mean over the runs


@dataclass(frozen=True)
class PlannedCell:
    """One cell or reference with all its seeds."""

    role: str
    label: str
    states: dict[int, State]  # by seed
    shared_with: tuple[str, ...]  # other grids that ask for the same runs


def states_of(specs: Iterable[RunSpec], store: Store) -> dict[str, State]:
    """Return the state of each run, by run id."""
    return {spec.run_id: store.state(spec) for spec in specs}


def planned_cells(specs: Sequence[RunSpec], states: dict[str, State], others: Sequence[RunSpec]) -> list[PlannedCell]:
    """Return the cells of a grid in order; ``others`` are the runs of other grids at the same scale."""
    owners: dict[str, dict[str, None]] = {}
    for spec in others:
        owners.setdefault(spec.run_id, {})[spec.grid] = None
    by_cell: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in specs:
        by_cell.setdefault((spec.role, spec.cell_id), []).append(spec)
    cells = []
    for runs in by_cell.values():
        shared = {grid: None for run in runs for grid in owners.get(run.run_id, {}) if grid != run.grid}
        run_states = {run.seed: states[run.run_id] for run in runs}
        cells.append(PlannedCell(runs[0].role, runs[0].label, run_states, tuple(shared)))
    return cells


def count(states: Iterable[State]) -> Counter[State]:
    """Count the runs in each state."""
    return Counter(states)


def cost(
    grid: Grid,
    scale: str,
    specs: Sequence[RunSpec],
    states: Mapping[str, State],
    store: Store,
    *,
    extrapolate: bool = False,
) -> Cost:
    """Estimate the cost of the runs, from the medians of finished runs in the store, else from ``expected_core_s``.

    Finished runs give the time per multiply-add of training, so a deeper network or a longer training is expected to
    take longer. Evaluations are assumed to take equally long. With ``extrapolate``, other runs of the store are used
    before ``expected_core_s``.
    """
    found = [took for spec in specs if states[spec.run_id] is State.DONE and (took := measured(spec, store))]
    told: Estimates | None
    if found:
        told = _by_multiply_adds(specs, found), f"the median of {len(found)} finished runs"
    else:
        told = beforehand(grid, scale, specs, store) if extrapolate else _by_grid(grid, scale, specs)
    if told is None:
        return Cost(None, "no run that could tell is finished, and the grid has no expected_core_s", None, None)
    estimates, source = told
    left = sum(s for spec, s in zip(specs, estimates, strict=True) if states[spec.run_id] is not State.DONE)
    per_run = statistics.mean(estimates) if estimates else grid.scales[scale].expected_core_s
    return Cost(sum(estimates), source, left, per_run)


def beforehand(grid: Grid, scale: str, specs: Sequence[RunSpec], store: Store) -> Estimates | None:
    """Estimate the core-seconds of each run from other finished runs of the store, else from ``expected_core_s``.

    Returns the estimates and a note on their source; None if neither source exists.
    """
    return extrapolated(specs, examples(specs, store)) or _by_grid(grid, scale, specs)


def _by_grid(grid: Grid, scale: str, specs: Sequence[RunSpec]) -> Estimates | None:
    expected = grid.scales[scale].expected_core_s
    return None if expected is None else ([expected] * len(specs), "the grid's own figure")


def device_s(specs: Iterable[RunSpec], states: dict[str, State], tflops: float) -> float | None:
    """Return the seconds of the remaining pre-training on a device of ``tflops``; None if a set's size is unknown."""
    left = [training_multiply_adds(spec.config) for spec in specs if states[spec.run_id] is not State.DONE]
    return None if None in left else sum(2 * work / (tflops * 1e12) for work in left if work is not None)


def _by_multiply_adds(specs: Sequence[RunSpec], found: Sequence[Measured]) -> list[float]:
    evaluation_s = statistics.median(times.evaluation_s for times in found)
    rates = [times.training_s / times.multiply_adds for times in found if times.multiply_adds]
    rate = statistics.median(rates) if rates else 0.0
    training_s = statistics.median(times.training_s for times in found)
    works = {cell_id: training_multiply_adds(spec.config) for cell_id, spec in {s.cell_id: s for s in specs}.items()}
    return [
        evaluation_s + (training_s if work is None or (work and not rates) else work and work * rate)
        for work in (works[spec.cell_id] for spec in specs)
    ]


@dataclass(frozen=True)
class Measured:
    """Core-seconds of a finished run, by part, and the multiply-adds of its training if they are known."""

    training_s: float
    evaluation_s: float
    multiply_adds: float | None


def measured(spec: RunSpec, store: Store) -> Measured | None:
    """Return the core-seconds of a finished run: its seconds times its threads; None if records are missing."""
    try:
        took = times(store.run_dir(spec.run_id), spec.eval_ids)
    except UNREADABLE:
        return None
    return Measured(took.training_s, took.evaluation_s, training_multiply_adds(spec.config))
