"""What a grid asks for, joined with what the store holds. Trains nothing."""

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
"""Core-seconds of each run, and words on what they rest on."""


@dataclass(frozen=True)
class Cost:
    """What a grid takes at a scale, in core-seconds; None where nothing is known."""

    total_core_s: float | None
    source: str  # where the figure comes from
    left_core_s: float | None
    core_s_per_run: float | None  # the mean over the runs


@dataclass(frozen=True)
class PlannedCell:
    """One cell or reference, over its seeds."""

    role: str
    label: str
    states: dict[int, State]  # by seed
    shared_with: tuple[str, ...]  # other grids that ask for the same runs


def states_of(specs: Iterable[RunSpec], store: Store) -> dict[str, State]:
    """The state of each run, by run id."""
    return {spec.run_id: store.state(spec) for spec in specs}


def planned_cells(specs: Sequence[RunSpec], states: dict[str, State], others: Sequence[RunSpec]) -> list[PlannedCell]:
    """The cells of a grid in order; ``others`` are the runs that other grids ask for at the same scale."""
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
    """How many runs are in each state."""
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
    """Core-seconds for the runs, by the medians of the finished ones in the store, else as the grid says.

    A finished run tells the time of a multiply-add of training; so a deeper network or a longer training is expected
    to take longer. Evaluations are taken to last alike. With ``extrapolate``, other runs of the store are asked before
    the grid is.
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
    """Core-seconds of each run, and what they rest on: other finished runs of the store, else the grid's own figure.

    None where there is neither.
    """
    return extrapolated(specs, examples(specs, store)) or _by_grid(grid, scale, specs)


def _by_grid(grid: Grid, scale: str, specs: Sequence[RunSpec]) -> Estimates | None:
    expected = grid.scales[scale].expected_core_s
    return None if expected is None else ([expected] * len(specs), "the grid's own figure")


def device_s(specs: Iterable[RunSpec], states: dict[str, State], tflops: float) -> float | None:
    """Seconds of pre-training what is left on a device that sustains so many TFLOP/s; None if a size is unknown."""
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
    """Core-seconds of a finished run, by part, and the multiply-adds of its training where they are known."""

    training_s: float
    evaluation_s: float
    multiply_adds: float | None


def measured(spec: RunSpec, store: Store) -> Measured | None:
    """What a finished run took, its seconds times threads; None if records are missing."""
    try:
        took = times(store.run_dir(spec.run_id), spec.eval_ids)
    except UNREADABLE:
        return None
    return Measured(took.training_s, took.evaluation_s, training_multiply_adds(spec.config))
