"""Checks whether the data sets allow the trainings and evaluations of runs, before any run starts."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from ablations.errors import UserError
from ablations.study.spec import RunSpec
from simclr_core.data.inventory import inventory, is_here, training_problems
from simclr_core.evals.checks import label_problems


def check_data(specs: Iterable[RunSpec], data_dir: Path, *, elsewhere: bool) -> list[str]:
    """Raise UserError with everything about the data that forbids a training or an evaluation.

    Each data set is listed once, and no image is decoded. With ``elsewhere``, the runs may start on another machine: a
    run whose data set is not on this machine is skipped, and a returned line says so.
    """
    look = functools.cache(lambda name: inventory(name, data_dir))
    problems: dict[str, None] = {}
    notes: dict[str, None] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for spec in specs:
        name = spec.config.data.name
        if elsewhere and not is_here(name, data_dir):
            notes[f"{data_dir / name} is not here: what the runs need of it is checked when they start"] = None
            continue
        told = training_problems(spec.config, look(name))
        if (name, spec.eval_ids) not in seen:  # a grid has thousands of runs and few sets of evaluations
            seen.add((name, spec.eval_ids))
            told += label_problems(spec.evaluations, name, look, data_dir)
        problems.update((f"{spec.grid} at scale {spec.scale}: {problem}", None) for problem in told)
    if problems:
        raise UserError(list(problems))
    return list(notes)
