"""What a grid asks for as things stand in a store: the levels that tuning has chosen, the seeds that looks have added.

The runs of most grids follow from the file alone. Where an axis is tuned, every arm first runs all its levels on the
tuning seeds; then the level with the best mean is run on the seeds that judge. Where looks are planned, cells may have
seeds beyond the grid's own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from ablations.grid import expand, scale_of
from ablations.spec import Grid, RunSpec, Tune, level_text
from ablations.store import State, Store
from simclr_core.options import Scalar
from simclr_core.records import read_json


@dataclass(frozen=True)
class Arm:
    """The cells that differ on the tuned axis alone, with their tuning runs."""

    levels: dict[str, Scalar]  # of the other axes
    values: dict[Scalar, float | None]  # mean of the metric, by level; None while runs are missing, or if one diverged
    chosen: Scalar | None  # None until every tuning run of the arm is done
    runs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class Demand:
    """The runs to have by now; those ``foreseen`` follow the tuning, and stand at the first level until then."""

    runs: list[RunSpec]
    foreseen: list[RunSpec] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)

    @property
    def every(self) -> list[RunSpec]:
        """All runs, those that follow too."""
        return [*self.runs, *self.foreseen]


def demand(grid: Grid, scale: str, store: Store | None, seeds: Sequence[int] | None = None) -> Demand:
    """The runs that a grid asks for at a scale; without a store, as if it were empty.

    ``seeds`` replaces the grid's own, and leaves out what looks have added; those that tune never judge. Raises
    GridError if the grid has no such scale.
    """
    of_scale = scale_of(grid, scale)
    tuned = grid.tune.seeds if grid.tune else ()
    specs = expand(grid, scale, [seed for seed in (of_scale.seeds if seeds is None else seeds) if seed not in tuned])
    if of_scale.looks and seeds is None and store is not None:
        specs += _added(grid, scale, store)
    return _tuned(grid, grid.tune, specs, expand(grid, scale, tuned), store) if grid.tune else Demand(specs)


def seeds_in_turn(grid: Grid, scale: str) -> Iterator[int]:
    """The seeds of a scale in the order in which looks take them: its own, then the next ones that do not tune."""
    own = sorted(scale_of(grid, scale).seeds)
    tuned = grid.tune.seeds if grid.tune else ()
    return itertools.chain(own, (seed for seed in itertools.count(own[-1] + 1) if seed not in tuned))


def _added(grid: Grid, scale: str, store: Store) -> Iterator[RunSpec]:
    """The runs with seeds beyond the grid's own that have been started, up to the first seed without any."""
    for seed in itertools.islice(seeds_in_turn(grid, scale), len(grid.scales[scale].seeds), None):
        started = [spec for spec in expand(grid, scale, [seed]) if store.run_dir(spec.run_id).is_dir()]
        if not started:
            return
        yield from started


def _tuned(grid: Grid, tune: Tune, specs: list[RunSpec], trials: list[RunSpec], store: Store | None) -> Demand:
    by_arm: dict[tuple[Scalar, ...], list[RunSpec]] = {}
    for spec in trials:
        if spec.role == "cell":
            by_arm.setdefault(_arm(spec, tune), []).append(replace(spec, role="tuning"))
    arms = {key: _chosen(grid, tune, runs, store) for key, runs in by_arm.items()}
    found = Demand([run for arm in arms.values() for run in arm.runs], arms=list(arms.values()))
    for spec in specs:
        arm = arms[_arm(spec, tune)] if spec.role == "cell" else None
        if arm is None:
            found.runs.append(spec)
        elif spec.levels[tune.name] == arm.chosen:
            found.runs.append(_judging(spec, tune, level_text(arm.chosen)))
        elif arm.chosen is None and spec.levels[tune.name] == next(iter(arm.values)):
            found.foreseen.append(_judging(spec, tune, "to be chosen"))
    return found


def _arm(spec: RunSpec, tune: Tune) -> tuple[Scalar, ...]:
    return tuple(level for name, level in spec.levels.items() if name != tune.name)


def _judging(spec: RunSpec, tune: Tune, level: str) -> RunSpec:
    """A cell as the claims know it, without the tuned axis."""
    levels = {name: value for name, value in spec.levels.items() if name != tune.name}
    label = ", ".join(f"{name}={level_text(value)}" for name, value in levels.items())
    return replace(spec, levels=levels, label=f"{label} ({tune.name} tuned: {level})")


def _chosen(grid: Grid, tune: Tune, runs: list[RunSpec], store: Store | None) -> Arm:
    """An arm, with the level of the best mean once all its runs are done; of equal ones the first."""
    levels = {name: level for name, level in runs[0].levels.items() if name != tune.name}
    if len({run.levels[tune.name] for run in runs}) == 1:  # nothing to choose from, at this scale
        (level,) = {run.levels[tune.name] for run in runs}
        return Arm(levels, {level: None}, level, ())
    by_level: dict[Scalar, list[float]] = {}
    missing = False
    for run in runs:
        done = store is not None and store.state(run) is State.DONE
        missing = missing or not done
        by_level.setdefault(run.levels[tune.name], []).append(_value(run, grid.metric, store) if done else math.nan)
    values = {level: None if math.isnan(mean := fmean(found)) else mean for level, found in by_level.items()}
    best = max(values, key=lambda level: -math.inf if (value := values[level]) is None else value)
    return Arm(levels, values, None if missing else best, tuple(runs))


def _value(run: RunSpec, metric: str, store: Store | None) -> float:
    """The metric of a finished run; NaN where it has no number."""
    assert store is not None
    evaluations = dict(zip((each.metric for each in run.evaluations), run.eval_ids, strict=True))
    value = read_json(store.run_dir(run.run_id) / "evals" / f"{evaluations[metric]}.json")["top1"]
    return math.nan if value is None else float(value)
