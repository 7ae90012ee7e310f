"""What the results say of a grid at a scale: ``results/<grid>.<scale>.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ablations.plan.declared import estimate
from ablations.plan.demand import Arm, Demand
from ablations.store.folder import State
from ablations.study.spec import Axis, Grid, RunSpec
from formats.tables import SCHEMA_VERSION
from simclr_core.config.cost import backbone_parameters
from simclr_core.config.identity import canonical
from simclr_core.config.options import Scalar, leaf_fields, leaf_values, node_names, override
from simclr_core.config.recipes import recipe, recipe_name
from simclr_core.config.schema import RunConfig


def grid_json(
    grid: Grid,
    scale: str,
    asked: Demand,
    *,
    states: Mapping[str, State],
    outcomes: Mapping[str, str],
    spent_core_s: float,
    declared: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The content of ``results/<grid>.<scale>.json``: what was asked, and where each run stands.

    ``outcomes`` and ``spent_core_s`` are of the finished runs, ``declared`` is what was kept before the first.
    """
    of_scale = grid.scales[scale]
    base = _base(grid, scale)
    cells: dict[str, dict[str, Any]] = {}
    specs = [spec for spec in asked.every if spec.role != "tuning"]
    for spec in specs:
        if spec.cell_id not in cells:
            cells[spec.cell_id] = _cell_json(spec, base)
        cells[spec.cell_id]["runs"].append(_run_json(spec, states, outcomes))
    estimated_core_s, estimated_by = estimate(declared, of_scale.expected_core_s, len(asked.every))
    return {
        "schema_version": SCHEMA_VERSION,
        "name": grid.name,
        "title": grid.title,
        "question": grid.question,
        "scale": scale,
        "note": of_scale.note,
        "paper": grid.paper,
        "recipe": recipe_name(grid.recipe, scale),
        "axes": {axis.name: list(axis.labels) for axis in of_scale.axes if not _is_tuned(axis, grid)},
        "tuning": _tuning_json(grid, asked.arms, states, outcomes),
        "seeds": list(dict.fromkeys(spec.seed for spec in specs)),
        "metric": grid.metric,
        "evaluations": [canonical(evaluation.config) for evaluation in of_scale.evaluations],
        "base": base,
        "cells": list(cells.values()),
        "figure": grid.figure,
        "claims": list(grid.claims),
        "looks": of_scale.looks,
        "declared": declared,
        "deviations": deviations(grid, scale),
        "cost": {
            "estimated_core_s": None if estimated_core_s is None else round(estimated_core_s, 1),
            "estimated_by": estimated_by,
            "actual_core_s": round(spent_core_s, 1),
        },
    }


def _cell_json(spec: RunSpec, base: Mapping[str, Any]) -> dict[str, Any]:
    """A cell without its runs; ``settings`` are those in which it differs from the grid's base."""
    return {
        "cell_id": spec.cell_id,
        "role": spec.role,
        "label": spec.label,
        "levels": spec.levels,
        "num_parameters": backbone_parameters(spec.config.backbone),
        "settings": _differences(_used(spec.config), base),
        "runs": [],
    }


def _differences(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the base has otherwise, or not at all; null for those that the base alone has."""
    differing = {key: value for key, value in settings.items() if key not in base or value != base[key]}
    return differing | {key: None for key in base if key not in settings}


def _run_json(spec: RunSpec, states: Mapping[str, State], outcomes: Mapping[str, str]) -> dict[str, Any]:
    run = {"run_id": spec.run_id, "seed": spec.seed, "state": str(states[spec.run_id])}
    return run | {"outcome": outcomes.get(spec.run_id), "command": spec.command}


def _is_tuned(axis: Axis, grid: Grid) -> bool:
    return grid.tune is not None and axis.key in grid.tune.axes


def _tuning_json(
    grid: Grid, arms: Sequence[Arm], states: Mapping[str, State], outcomes: Mapping[str, str]
) -> dict[str, Any] | None:
    """What each arm has chosen, and from which values; None where nothing is tuned."""
    if grid.tune is None:
        return None
    told = [
        {
            "levels": arm.levels,
            "chosen": None if arm.chosen is None else arm.named(arm.chosen),
            "values": [{"levels": arm.named(choice), "value": value} for choice, value in arm.values.items()],
            "runs": [_run_json(spec, states, outcomes) for spec in arm.runs],
        }
        for arm in arms
    ]
    return {"axes": list(grid.tune.names), "seeds": list(grid.tune.seeds), "metric": grid.metric, "arms": told}


def deviations(grid: Grid, scale: str) -> list[dict[str, Any]]:
    """What this scale does otherwise than the paper's: settings in use, labels of evaluations, levels of axes."""
    if not recipe_name(grid.recipe, "imagenet") or scale == "imagenet":
        return []
    ours, papers = _settings(grid, scale), _settings(grid, "imagenet")
    keys = [key for key in {**papers, **ours} if ours.get(key) != papers.get(key)]
    return [{"key": key, "paper": papers.get(key), "ours": ours.get(key)} for key in keys]


def _settings(grid: Grid, scale: str) -> dict[str, Any]:
    """The base, the levels of the axes and the labels of the evaluations."""
    settings = _base(grid, scale)
    of_scale = grid.scales.get(scale)
    settings |= {f"axes.{axis.name}": list(axis.labels) for axis in (of_scale.axes if of_scale else ())}
    for evaluation in of_scale.evaluations if of_scale else ():
        settings[f"{evaluation.config.metric}.num_labels"] = evaluation.config.num_labels
    return settings


def _base(grid: Grid, scale: str) -> dict[str, Any]:
    """What recipe and grid set at a scale, by dotted key, but for what the axes vary."""
    of_scale = grid.scales.get(scale)
    own = of_scale.overrides if of_scale else {}
    config = override(recipe(recipe_name(grid.recipe, scale)), {**grid.overrides, **own})
    varied = {key for axis in (of_scale.axes if of_scale else ()) for key in axis.keys}
    return {key: value for key, value in _used(config).items() if key not in varied}


def _used(config: RunConfig) -> dict[str, Any]:
    """The settings in use, by dotted key, but for the seed."""
    return {key: value for key, value in _dotted(config).items() if key != "seed"}


def _dotted(node: Any, prefix: str = "") -> dict[str, Any]:
    """The fields in use of a node and of those below it."""
    out: dict[str, Any] = {}
    for name in node_names(node.__class__):
        out |= _dotted(getattr(node, name), f"{prefix}{name}.")
    return out | _dotted_leaves(prefix, node.__class__, *leaf_values(node))


@lru_cache(maxsize=4096, typed=True)  # a grid of thousands of cells has few different nodes
def _dotted_leaves(prefix: str, kind: type, *values: Scalar) -> dict[str, Any]:
    leaves = zip(leaf_fields(kind), values, strict=True)
    node = kind(**{leaf.name: value for leaf, value in leaves})
    names = set(node_names(kind))
    return {f"{prefix}{key}": value for key, value in canonical(node, neutrals=True).items() if key not in names}
