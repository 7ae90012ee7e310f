"""What a grid asks for as things stand in a store: the levels that tuning has chosen, the seeds that looks have added.

The runs of most grids follow from the file alone. Where axes are tuned, every arm first runs all combinations of their
levels on the tuning seeds; then the one with the best mean is run on the seeds that judge. Where looks are planned,
cells may have seeds beyond the grid's own.
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
"""A level of each of several axes."""


@dataclass(frozen=True)
class Arm:
    """The cells that differ on tuned axes alone, with their tuning runs; none where there is nothing to choose from."""

    levels: dict[str, Scalar]  # of the other axes
    tuned: tuple[str, ...]  # the tuned axes of which it has several levels, by short name
    values: dict[Choice, float | None]  # mean of the metric; None while runs are missing, or if one diverged
    chosen: Choice | None  # None until every tuning run of the arm is done
    runs: tuple[RunSpec, ...]

    def named(self, choice: Choice) -> dict[str, Scalar]:
        """The levels of a choice by the short names of their axes."""
        return dict(zip(self.tuned, choice, strict=True))


@dataclass(frozen=True)
class Demand:
    """The runs to have by now; those ``foreseen`` follow the tuning, and stand at the first levels until then."""

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
    """The levels of the axes that are not tuned: they tell the arms apart."""
    return {name: level for name, level in spec.levels.items() if name not in tune.names}


def _choice(spec: RunSpec, axes: tuple[str, ...]) -> Choice:
    return tuple(spec.levels[name] for name in axes)


def _text(levels: dict[str, Scalar]) -> str:
    return ", ".join(f"{name}={level_label(level)}" for name, level in levels.items())


def _judging(spec: RunSpec, levels: dict[str, Scalar], how: str) -> RunSpec:
    """A cell as the claims know it, without the tuned axes."""
    return replace(spec, levels=levels, label=_text(levels) + (f" ({how})" if how else ""))


def _chosen(grid: Grid, tune: Tune, runs: list[RunSpec], store: Store | None) -> Arm:
    """An arm, with the choice of the best mean once all its runs are done; of equal ones the first."""
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
    """The metric of a finished run; NaN where it has no number."""
    assert store is not None
    evaluations = dict(zip((each.metric for each in run.evaluations), run.eval_ids, strict=True))
    value = read_json(store.run_dir(run.run_id) / "evals" / f"{evaluations[metric]}.json")["top1"]
    return math.nan if value is None else float(value)
