"""From runs to tasks: how many runs a task does, at how many a time, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ablations.errors import UserError
from ablations.slurm import gpus
from ablations.slurm.profiles import Profile
from ablations.study.spec import RunSpec

MARGIN = 3.0
"""Nodes differ, file systems have bad days, and a limit that is too long costs only a later start."""

SHORTEST_MIN = 30

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """How a task divides its processor cores."""

    num_workers: int  # runs at a time
    num_threads: int  # of each


@dataclass(frozen=True)
class Batch:
    """Tasks with the same resources: one job array."""

    time_min: int
    tasks: tuple[tuple[RunSpec, ...], ...]  # the runs of each
    max_parallel: int | None = None  # tasks at a time


def share(profile: Profile, pack: int) -> Share:
    """One run has all cores of a task; packed runs share them, one core each as long as there are enough."""
    num_workers = min(pack, profile.cpus)
    return Share(num_workers, profile.cpus // num_workers)


def check_pack(profile: Profile, pack: int) -> None:
    """Raise UserError where packed runs and the profile do not fit."""
    problems = []
    if pack > 1 and profile.num_processes > 1:
        problems.append(
            f"--pack {pack}: profile {profile.name} trains one run with {profile.num_processes} processes;"
            " expected nodes: 1 and tasks_per_node: 1"
        )
    if pack > 1 and (num_gpus := gpus.asked_for(profile)) > 1:
        problems.append(f"--pack {pack}: packed runs share one GPU; profile {profile.name} asks for {num_gpus}")
    if problems:
        raise UserError(problems)


def time_limit_min(core_s: float | None, profile: Profile, pack: int) -> int:
    """The limit of a task of ``pack`` runs that take ``core_s`` seconds of one core each.

    Half hours, so that grids of similar cost share an array. Raises UserError where neither profile nor estimate
    tells.
    """
    if profile.time_min is not None:
        return profile.time_min
    if core_s is None:
        raise UserError([f"profile {profile.name}: time_min: missing, and neither grid nor finished runs tell a time"])
    shares = share(profile, pack)
    wall_s = core_s / shares.num_threads * math.ceil(pack / shares.num_workers) * MARGIN
    return SHORTEST_MIN * max(1, math.ceil(wall_s / 60 / SHORTEST_MIN))


def batches(
    specs: Sequence[RunSpec],
    core_s: Mapping[str, float | None],
    profile: Profile,
    pack: int,
    max_array_size: int,
    max_parallel: int | None = None,
) -> list[Batch]:
    """The job arrays for ``specs``; ``core_s`` is the estimate of each run by its grid's name.

    Arrays share ``max_parallel`` as they share the work, since SLURM limits each by itself; every one has a task at a
    time at least.
    """
    by_time: dict[int, list[RunSpec]] = {}
    for spec in specs:
        by_time.setdefault(time_limit_min(core_s[spec.grid], profile, pack), []).append(spec)
    found = []
    for time_min, runs in sorted(by_time.items()):
        tasks = list(_chunks(runs, pack))
        found += [Batch(time_min, part) for part in _chunks(tasks, max_array_size)]
    if max_parallel is None:
        return found
    work = [batch.time_min * len(batch.tasks) for batch in found]
    return [
        replace(batch, max_parallel=1 + max(0, max_parallel - len(found)) * own // sum(work))
        for batch, own in zip(found, work, strict=True)
    ]


def _chunks(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
