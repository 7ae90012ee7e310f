"""Grid files: finding them, checking them whole, and expanding them into runs. Loads no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ablations
from ablations.errors import GridError
from ablations.reader import Reader, shown
from ablations.spec import Axis, Grid, GridScale, RunSpec, Selector
from simclr_core.config import RunConfig, Scalar, cell_id, nearest, override, problems_of
from simclr_core.recipes import recipe

PACKAGED = Path(ablations.__file__).parent.parent / "grids"
"""The grids that travel with the code, in a checkout and in an installed wheel alike."""


def find_grids() -> dict[str, Path]:
    """Every grid by name: those of ``./grids`` and the packaged ones.

    Raises GridError where the two differ under one name.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for folder in (Path.cwd() / "grids", PACKAGED):
        for path in sorted(folder.glob("*.yaml")):
            other = found.setdefault(path.stem, path)
            if other.resolve() != path.resolve() and other.read_bytes() != path.read_bytes():
                problems.append(
                    f"grid {path.stem!r} is in two places, and they differ: {shown(other)} and {shown(path)}; name one by its path"
                )
    if problems:
        raise GridError(problems)
    return found


def load_grid(name_or_path: str) -> Grid:
    """A grid by its path, or by its name in ``./grids`` or among the packaged grids.

    Raises GridError with everything that is wrong in the file.
    """
    path = Path(name_or_path)
    if not (path.suffix in (".yaml", ".yml") or "/" in name_or_path):
        found = find_grids()
        if name_or_path not in found:
            valid = sorted(found)
            raise GridError(
                [f"no grid {name_or_path!r}{nearest(name_or_path, valid)}; there are {', '.join(valid) or 'none'}"]
            )
        path = found[name_or_path]
    elif not path.is_file():
        near = nearest(path.name, [other.name for other in path.parent.glob("*.yaml")]) if path.parent.is_dir() else ""
        raise GridError([f"{name_or_path}: no such file{near}"])
    reader = Reader(path)
    grid = reader.read()
    if not reader.problems:
        for problem in _problems(grid):
            reader.problem(problem)
    if reader.problems:
        raise GridError(reader.problems)
    return grid


def scale_of(grid: Grid, name: str) -> GridScale:
    """A grid at a scale; raises GridError if it has no such scale."""
    if name not in grid.scales:
        raise GridError(
            [
                f"{shown(grid.path)}: no scale {name!r}{nearest(name, list(grid.scales))}; it has {', '.join(grid.scales)}"
            ]
        )
    return grid.scales[name]


def expand(grid: Grid, scale: str, seeds: Iterable[int] | None = None) -> list[RunSpec]:
    """The runs of a grid at a scale: cells in the order of the axes, then references, each with every seed in turn.

    ``seeds`` replaces the grid's own. Raises GridError if the grid has no such scale.
    """
    of_scale = scale_of(grid, scale)
    base = override(recipe(f"{grid.recipe}_{scale}"), {**grid.overrides, **of_scale.overrides})
    shared = {**grid.overrides, **of_scale.overrides}
    cells: list[tuple[str, str, dict[str, Scalar], RunConfig, dict[str, Scalar]]] = []
    for settings, levels in _combinations(grid, of_scale.axes):
        label = ", ".join(f"{name}={_word(level)}" for name, level in levels.items())
        cells.append(("cell", label, levels, _set_all(base, settings), settings))
    first = {key: value for axis in of_scale.axes for key, value in zip(axis.keys, axis.levels[0], strict=True)}
    for name, overrides in grid.references.items():
        settings = {**first, **overrides}
        cells.append(("reference", name, {}, _set_all(base, settings), settings))
    specs: list[RunSpec] = []
    for role, label, levels, config, settings in cells:
        identity = cell_id(config)
        for seed in of_scale.seeds if seeds is None else seeds:
            spec = RunSpec(
                grid=grid.name,
                scale=scale,
                role=role,
                label=label,
                levels=levels,
                config=replace(config, seed=seed),
                evaluations=of_scale.evaluations,
                cell_id=identity,
                seed=seed,
                recipe=f"{grid.recipe}_{scale}",
                overrides={**shared, **settings},
            )
            specs.append(spec)
    return specs


def matches(selector: Selector | Sequence[Selector], levels: Mapping[str, Scalar]) -> bool:
    """Whether a cell with these levels is among the selected ones; a list of selectors is their union."""
    if not isinstance(selector, Mapping):
        return any(matches(part, levels) for part in selector)
    for name, wanted in selector.items():
        if name in ("same", "different"):
            distinct = len({levels[axis] for axis in wanted})
            if (name == "same" and distinct != 1) or (name == "different" and distinct != len(wanted)):
                return False
        elif levels[name] not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def _combinations(grid: Grid, axes: tuple[Axis, ...]) -> Iterable[tuple[dict[str, Scalar], dict[str, Scalar]]]:
    """(settings by dotted key, levels by short axis name) of every cell that is not excluded."""
    for combination in itertools.product(*(axis.levels for axis in axes)):
        levels = {axis.name: values[0] for axis, values in zip(axes, combination, strict=True)}
        if not (grid.exclude and matches(grid.exclude, levels)):
            yield (
                {
                    key: v
                    for axis, values in zip(axes, combination, strict=True)
                    for key, v in zip(axis.keys, values, strict=True)
                },
                levels,
            )


def _set_all(config: RunConfig, settings: Mapping[str, Scalar]) -> RunConfig:
    """``override`` for keys and values that have been checked: a tenth of its time, and grids have thousands of cells."""
    by_node: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        node, _, name = key.rpartition(".")
        by_node.setdefault(node, {})[name] = value
    nodes = {node: replace(getattr(config, node), **values) for node, values in by_node.items() if node}
    return replace(config, **nodes, **by_node.get("", {}))


def _word(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problems(grid: Grid) -> list[str]:
    """What is wrong although each entry is well-formed: settings set twice, cells, selectors.

    Figure and claims are the reporter's: the command line asks it.
    """
    problems = _clashes(grid)
    axes = _all_levels(grid)
    for i, selector in enumerate(grid.exclude):
        problems += _selector_problems(selector, f"exclude[{i}]", axes)
    if not problems:
        problems = [
            problem for scale in grid.scales for problem in _cell_problems(expand(grid, scale, seeds=[0]), scale)
        ]
    return problems


def _all_levels(grid: Grid) -> dict[str, Axis]:
    """The axes by short name, with the levels of all scales: a selector may name a level that one scale leaves out."""
    merged: dict[str, dict[tuple[Scalar, ...], None]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for axis in (axis for scale in grid.scales.values() for axis in scale.axes):
        merged.setdefault(axis.name, {}).update(dict.fromkeys(axis.levels))
        keys[axis.name] = axis.keys
    return {name: Axis(keys[name], tuple(levels)) for name, levels in merged.items()}


def _clashes(grid: Grid) -> list[str]:
    problems = []
    for name, scale in grid.scales.items():
        keys = {key for axis in scale.axes for key in axis.keys}
        problems += [f"scales.{name}.set.{key}: is an axis" for key in scale.overrides if key in keys]
        problems += [f"set.{key}: is an axis" for key in grid.overrides if key in keys]
    return list(dict.fromkeys(problems))


def _cell_problems(cells: list[RunSpec], scale: str) -> list[str]:
    problems: dict[str, None] = {}
    if not any(spec.role == "cell" for spec in cells):
        problems[f"exclude: leaves no cell at scale {scale}"] = None
    seen: dict[str, str] = {}
    for spec in cells:
        if spec.cell_id in seen:
            problems[
                f"scale {scale}: duplicate cell: {spec.label!r} is the same configuration as {seen[spec.cell_id]!r}"
            ] = None
        seen.setdefault(spec.cell_id, spec.label)
        for problem in problems_of(spec.config):
            problems.setdefault(f"scale {scale}, {spec.role} {spec.label!r}: {problem}")
    return list(problems)


def _selector_problems(selector: Any, place: str, axes: Mapping[str, Axis]) -> list[str]:
    if isinstance(selector, list):
        return [p for i, part in enumerate(selector) for p in _selector_problems(part, f"{place}[{i}]", axes)]
    if not isinstance(selector, Mapping):
        return [f"{place} = {selector!r}: expected a mapping from axes to levels"]
    problems = []
    names = list(axes)
    for name, wanted in selector.items():
        if name in ("same", "different"):
            listed = wanted if isinstance(wanted, list) else [wanted]
            problems += [
                f"{place}.{name}: no axis {axis!r}{nearest(axis, names)}; expected {', '.join(names)}"
                for axis in listed
                if axis not in axes
            ]
        elif name not in axes:
            problems.append(f"{place}.{name}: no such axis{nearest(name, names)}; expected one of {', '.join(names)}")
        else:
            known = [_word(label) for label in axes[name].labels]
            for level in wanted if isinstance(wanted, list) else [wanted]:
                if level not in axes[name].labels:
                    problems.append(
                        f"{place}.{name} = {level!r}: no such level{nearest(level, known)}; expected one of {', '.join(known)}"
                    )
    return problems
