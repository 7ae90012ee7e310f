"""What a submission writes down for its tasks: ``runs.json``, every run as a recipe and what is set on it.

Tasks hold run ids and read the rest here, so that a task whose code gives other configurations says so and stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.study.spec import RunSpec
from simclr_core.config.identity import eval_id
from simclr_core.config.options import ConfigError, flatten, override
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import EvalConfig
from simclr_core.records import read_json, write_json

NAME = "runs.json"


def write(folder: Path, specs: Iterable[RunSpec]) -> None:
    """Write the runs of a submission."""
    write_json(folder / NAME, {spec.run_id: _content(spec) for spec in specs})


def read(folder: Path, run_ids: Sequence[str]) -> list[RunSpec]:
    """Some of the runs of a submission; raises UserError if this code makes other configurations of them."""
    content = read_json(folder / NAME)
    specs, problems = [], []
    for run_id in run_ids:
        try:
            spec = _spec(content[run_id])
            found = spec.run_id
        except (ConfigError, TypeError) as error:
            found = str(error)
        else:
            specs.append(spec)
        if found != run_id:
            problems.append(f"{run_id}: the code has changed since the submission and makes of this run {found}")
    if problems:
        raise UserError(problems)
    return specs


def evaluations(folder: Path) -> dict[str, set[str]]:
    """Run id -> ids of the evaluations that a submission brings; none where that cannot be told."""
    try:
        listed = {run_id: content["evaluations"] for run_id, content in read_json(folder / NAME).items()}
        return {run_id: {eval_id(override(EvalConfig(), e)) for e in of_run} for run_id, of_run in listed.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _content(spec: RunSpec) -> dict[str, Any]:
    kept = ("grid", "scale", "role", "label", "levels", "cell_id", "seed", "recipe", "overrides")
    return {name: getattr(spec, name) for name in kept} | {"evaluations": [dict(flatten(e)) for e in spec.evaluations]}


def _spec(content: dict[str, Any]) -> RunSpec:
    evaluations = tuple(override(EvalConfig(), values) for values in content["evaluations"])
    config = replace(override(recipe(content["recipe"]), content["overrides"]), seed=content["seed"])
    return RunSpec(**content | {"evaluations": evaluations, "config": config})
