"""The runs that a grid needs, given a store: levels chosen by tuning, and seeds added by looks.

The runs of most grids follow from the grid file alone. If axes are tuned, every arm first runs all combinations of
their levels on the tuning seeds; then the combination with the best mean is run on the grid's own seeds, on which the
claims are judged. If looks are planned, cells may have more seeds than the grid's own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from ablations.store.folder import State, Store
from ablations.study.expand import expand, scale_of
from ablations.study.spec import Grid, RunSpec, Tune, level_label
from simclr_core.config.options import Scalar
from simclr_core.records import read_json

Choice = tuple[Scalar, ...]
"""One level of each of several axes."""


@dataclass(frozen=True)
class Arm:
    """The cells that differ only in tuned axes, with their tuning runs; no tuning runs if there is a single choice."""

    levels: dict[str, Scalar]  # of the other axes
    tuned: tuple[str, ...]  # the tuned axes of which it has several levels, by short name
    values: dict[Choice, float | None]  # mean of the metric; None while runs are missing, or if one diverged
    chosen: Choice | None  # None until every tuning run of the arm is done
    runs: tuple[RunSpec, ...]

    def named(self, choice: Choice) -> dict[str, Scalar]:
        """Return the levels of a choice by the short names of their axes."""
        return dict(zip(self.tuned, choice, strict=True))


@dataclass(frozen=True)
class Demand:
    """The runs that a grid needs now, and the runs ``foreseen`` after tuning.

    Until tuning has chosen levels, foreseen runs have the first level of every tuned axis.
    """

    runs: list[RunSpec]
    foreseen: list[RunSpec] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)

    @property
    def every(self) -> list[RunSpec]:
        """All runs, those foreseen after tuning included."""
        return [*self.runs, *self.foreseen]


def demand(grid: Grid, scale: str, store: Store | None, seeds: Sequence[int] | None = None) -> Demand:
    """Return the runs that a grid needs at a scale; without a store, as if the store were empty.

    ``seeds`` replaces the grid's own seeds and omits seeds added by looks; tuning seeds are never used to judge claims.
    Raises GridError if the grid has no such scale.
    """
    of_scale = scale_of(grid, scale)
    tuned = grid.tune.seeds if grid.tune else ()
    specs = expand(grid, scale, [seed for seed in (of_scale.seeds if seeds is None else seeds) if seed not in tuned])
    if of_scale.looks and seeds is None and store is not None:
        specs += _added(grid, scale, store)
    return _tuned(grid, grid.tune, specs, expand(grid, scale, tuned), store) if grid.tune else Demand(specs)


def seeds_in_turn(grid: Grid, scale: str) -> Iterator[int]:
    """Yield the seeds of a scale in the order of the looks: its own seeds, then the next numbers that do not tune."""
    own = sorted(scale_of(grid, scale).seeds)
    tuned = grid.tune.seeds if grid.tune else ()
    return itertools.chain(own, (seed for seed in itertools.count(own[-1] + 1) if seed not in tuned))


def _added(grid: Grid, scale: str, store: Store) -> Iterator[RunSpec]:
    """Yield the started runs with seeds beyond the grid's own, up to the first seed without a started run."""
    for seed in itertools.islice(seeds_in_turn(grid, scale), len(grid.scales[scale].seeds), None):
        started = [spec for spec in expand(grid, scale, [seed]) if store.run_dir(spec.run_id).is_dir()]
        if not started:
            return
        yield from started


def _tuned(grid: Grid, tune: Tune, specs: list[RunSpec], trials: list[RunSpec], store: Store | None) -> Demand:
    by_arm: dict[Choice, list[RunSpec]] = {}
    for spec in trials:
        if spec.role == "cell":
            by_arm.setdefault(tuple(_others(spec, tune).values()), []).append(replace(spec, role="tuning"))
    arms = {key: _chosen(grid, tune, runs, store) for key, runs in by_arm.items()}
    found = Demand([run for arm in arms.values() for run in arm.runs], arms=list(arms.values()))
    for spec in specs:
        if spec.role != "cell":
            found.runs.append(spec)
            continue
        others = _others(spec, tune)
        arm = arms[tuple(others.values())]
        choice = _choice(spec, arm.tuned)
        if choice == arm.chosen:
            found.runs.append(_judging(spec, others, f"tuned: {_text(arm.named(choice))}" if choice else ""))
        elif arm.chosen is None and choice == next(iter(arm.values)):
            found.foreseen.append(_judging(spec, others, f"{', '.join(arm.tuned)} to be chosen"))
    return found


def _others(spec: RunSpec, tune: Tune) -> dict[str, Scalar]:
    """Return the levels of the axes that are not tuned; they identify the arm."""
    return {name: level for name, level in spec.levels.items() if name not in tune.names}


def _choice(spec: RunSpec, axes: tuple[str, ...]) -> Choice:
    return tuple(spec.levels[name] for name in axes)


def _text(levels: dict[str, Scalar]) -> str:
    return ", ".join(f"{name}={level_label(level)}" for name, level in levels.items())


def _judging(spec: RunSpec, levels: dict[str, Scalar], how: str) -> RunSpec:
    """Return a cell as the claims refer to it, without the tuned axes."""
    return replace(spec, levels=levels, label=_text(levels) + (f" ({how})" if how else ""))


def _chosen(grid: Grid, tune: Tune, runs: list[RunSpec], store: Store | None) -> Arm:
    """Return an arm with the choice of the best mean, once all its tuning runs are done; of equal means, the first."""
    levels = _others(runs[0], tune)
    tuned = tuple(name for name in tune.names if len({run.levels[name] for run in runs}) > 1)
    if not tuned:  # nothing to choose from, at this scale
        return Arm(levels, (), {}, (), ())
    by_choice: dict[Choice, list[float]] = {}
    missing = False
    for run in runs:
        done = store is not None and store.state(run) is State.DONE
        missing = missing or not done
        by_choice.setdefault(_choice(run, tuned), []).append(_value(run, grid.metric, store) if done else math.nan)
    values = {choice: None if math.isnan(mean := fmean(found)) else mean for choice, found in by_choice.items()}
    best = max(values, key=lambda choice: -math.inf if (value := values[choice]) is None else value)
    arm = Arm(levels, tuned, values, None if missing else best, tuple(runs))
    named = (replace(run, label=_text(levels | arm.named(_choice(run, tuned)))) for run in runs)
    return replace(arm, runs=tuple(named))


def _value(run: RunSpec, metric: str, store: Store | None) -> float:
    """Return the metric of a finished run; NaN if it has no number."""
    assert store is not None
    evaluations = dict(zip((each.metric for each in run.evaluations), run.eval_ids, strict=True))
    value = read_json(store.run_dir(run.run_id) / "evals" / f"{evaluations[metric]}.json")["top1"]
    return math.nan if value is None else float(value)
