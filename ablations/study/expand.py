"""Grid files: finding them, checking them as a whole, and expanding them into runs. Loads no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ablations
from ablations.errors import GridError
from ablations.study.entries import shown
from ablations.study.reader import Reader
from ablations.study.spec import Axis, Cell, Grid, GridEvaluation, GridScale, RunSpec, level_label
from formats.levels import level_text
from formats.names import expected, nearest
from formats.selectors import Selection, selector_problems
from simclr_core.config.identity import cell_id, run_ids
from simclr_core.config.options import Node, Scalar, chooses, override
from simclr_core.config.recipes import recipe, recipe_name, scales_of
from simclr_core.config.schema import RunConfig, problems_of
from simclr_core.evals.checks import evaluation_problems

PACKAGED = Path(ablations.__file__).parent.parent / "grids"
"""The folder of the packaged grids, in a checkout and in an installed wheel."""


FILES = "[!.]*.yaml"
"""The pattern of grid files. It leaves out ``._x.yaml`` of macOS and ``.#x.yaml`` of emacs, which ``*`` would match."""


def find_grids() -> dict[str, Path]:
    """Return every grid by name: those of ``./grids`` and the packaged ones.

    Raises GridError if two different grids have the same name.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for folder in (Path.cwd() / "grids", PACKAGED):
        for path in sorted(folder.glob(FILES)):
            other = found.setdefault(path.stem, path)
            if not _is_same(other, path):
                problems.append(f"grid {path.stem!r}: {shown(other)} and {shown(path)} differ; rename one of them")
    if problems:
        raise GridError(problems)
    return found


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def load_grid(name_or_path: str) -> Grid:
    """Load a grid by its path, or by its name in ``./grids`` or among the packaged grids.

    Raises GridError with everything that is wrong in the file.
    """
    path = Path(name_or_path)
    if not (path.suffix in (".yaml", ".yml") or "/" in name_or_path):
        found = find_grids()
        if name_or_path not in found:
            raise GridError([f"no grid {name_or_path!r}: {expected(name_or_path, found)}; ablate list shows all"])
        path = found[name_or_path]
    elif not path.is_file():
        folder = path if path.is_dir() else path.parent
        near = nearest(path.name, sorted(other.name for other in folder.glob(FILES)))
        what = "is a folder; expected a grid's file" if path.is_dir() else "no such file"
        raise GridError([f"{name_or_path}: {what}{near}"])
    reader = Reader(path)
    grid = reader.read()
    if not reader.problems:
        for problem in _problems(grid):
            reader.problem(problem)
    if reader.problems:
        raise GridError(reader.problems)
    return grid


def scale_of(grid: Grid, name: str) -> GridScale:
    """Return a grid's settings at a scale; raises GridError if the grid has no such scale."""
    if name not in grid.scales:
        raise GridError([f"{shown(grid.path)}: no scale {name!r}; {expected(name, grid.scales)}"])
    return grid.scales[name]


def expand(grid: Grid, scale: str, seeds: Iterable[int] | None = None) -> list[RunSpec]:
    """Return the runs of a grid at a scale: cells in the order of the axes, then references, each with every seed.

    ``seeds`` replaces the grid's own seeds. Raises GridError if the grid has no such scale.
    """
    chosen = scale_of(grid, scale).seeds if seeds is None else tuple(seeds)
    if (scale, chosen) not in grid.runs:
        cells = _cells(grid, scale)
        grid.runs[scale, chosen] = [spec for cell in cells for spec in _runs(grid.name, scale, cell, chosen)]
    return list(grid.runs[scale, chosen])


def _runs(grid: str, scale: str, cell: Cell, seeds: tuple[int, ...]) -> Iterator[RunSpec]:
    for seed, name in zip(seeds, run_ids(cell.config, seeds), strict=True):
        spec = RunSpec(
            grid=grid,
            scale=scale,
            role=cell.role,
            label=cell.label,
            levels=cell.levels,
            config=_changed(cell.config, {"seed": seed}),
            evaluations=cell.evaluations,
            cell_id=cell.cell_id,
            seed=seed,
            recipe=cell.recipe,
            overrides=cell.overrides,
        )
        vars(spec)["run_id"] = name  # what the cached property would find seed by seed, in twice the time
        yield spec


_Settings = dict[str, Scalar]


def _cells(grid: Grid, scale: str) -> list[Cell]:
    """Return the cells of a grid at a scale, then its references; computed once per scale."""
    if scale not in grid.cells:
        of_scale = grid.scales[scale]
        shared = {**grid.overrides, **of_scale.overrides}
        bases: dict[str, RunConfig] = {}
        cells: list[Cell] = []
        combinations = list(_combinations(grid, of_scale.axes))
        only = _only(of_scale.evaluations, [levels for role, _, levels, _ in combinations if role == "cell"])
        for role, label, levels, settings in combinations:
            named = recipe_name(str(settings.pop("recipe", grid.recipe)), scale)
            if named not in bases:
                bases[named] = override(recipe(named), shared)
            if any(chooses(RunConfig, key) for key in settings):  # another class takes what is shared
                config = override(recipe(named), {**shared, **settings})
            else:
                config = _set_all(bases[named], settings)
            evaluations = tuple(
                evaluation.config
                for evaluation, selection in zip(of_scale.evaluations, only, strict=True)
                if selection is None or (role == "cell" and selection.matches(_texts(levels)))
            )
            overrides = {**shared, **settings}
            cells.append(Cell(role, label, levels, config, evaluations, cell_id(config), named, overrides))
        grid.cells[scale] = cells
    return grid.cells[scale]


def _combinations(grid: Grid, axes: tuple[Axis, ...]) -> Iterator[tuple[str, str, _Settings, _Settings]]:
    """Yield (role, label, levels by short axis name, settings by dotted key) of every cell, then of every reference."""
    names = [axis.name for axis in axes]
    levels_of = {axis.name: list(map(level_text, axis.labels)) for axis in axes}
    excluded = [Selection(selector, levels_of) for selector in grid.exclude]
    for combination in itertools.product(*(tuple(zip(axis.labels, axis.settings, strict=True)) for axis in axes)):
        levels = {name: label for name, (label, _) in zip(names, combination, strict=True)}
        texts = _texts(levels) if excluded else {}
        if not any(selection.matches(texts) for selection in excluded):
            label = ", ".join(f"{name}={level_label(level)}" for name, level in levels.items())
            yield "cell", label, levels, _merged(settings for _, settings in combination)
    for name, overrides in grid.references.items():
        yield "reference", name, {}, _merged([*(axis.settings[0] for axis in axes), overrides])


def _only(evaluations: Sequence[GridEvaluation], cells: Sequence[_Settings]) -> list[Selection | None]:
    """The selection of each evaluation with ``only``, by the levels that are left; None for one of all cells."""
    axes: dict[str, dict[str, None]] = {}
    for levels in cells:
        for name, level in levels.items():
            axes.setdefault(name, {})[level_text(level)] = None
    return [None if each.only is None else Selection(each.only, axes) for each in evaluations]


def _texts(levels: Mapping[str, Scalar]) -> dict[str, str]:
    return {name: level_text(level) for name, level in levels.items()}


def _merged(parts: Iterable[_Settings]) -> _Settings:
    return {key: value for part in parts for key, value in part.items()}


def _set_all(config: RunConfig, settings: Mapping[str, Scalar]) -> RunConfig:
    """Do what ``override`` does, faster, for keys and values that have been checked: grids have thousands of cells."""
    by_node: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        node, _, name = key.rpartition(".")
        by_node.setdefault(node, {})[name] = value
    nodes = {node: _changed(getattr(config, node), values) for node, values in by_node.items() if node}
    return _changed(config, nodes | by_node.get("", {}))


def _changed(node: Node, values: Mapping[str, Any]) -> Node:
    """Do what ``dataclasses.replace`` does, in a tenth of the time, for nodes without ``__post_init__``.

    Fields that only another method has are left out.
    """
    made = node.__class__.__new__(node.__class__)
    vars(made).update(vars(node), **{name: value for name, value in values.items() if hasattr(node, name)})
    return made


def _problems(grid: Grid) -> list[str]:
    """List faults between well-formed entries: settings set twice, faults of cells and selectors.

    The reporter checks figure and claims; the command line calls it.
    """
    problems = _clashes(grid) + _tune_problems(grid)
    axes = _all_levels(grid)
    levels = {name: list(map(level_text, axis.labels)) for name, axis in axes.items()}
    for i, selector in enumerate(grid.exclude):
        problems += selector_problems(selector, levels, f"exclude[{i}]") + _unquoted(selector, f"exclude[{i}]", axes)
    problems += [p for i, claim in enumerate(grid.claims) for p in _unquoted(claim, f"claims[{i}]", axes)]
    problems += _unquoted(grid.figure, "figure", axes)
    for name, scale in grid.scales.items():
        for i, evaluation in enumerate(scale.evaluations):
            if evaluation.only is not None:
                place = f"evaluations[{i}].only, at scale {name}"
                problems += selector_problems(evaluation.only, levels, place) + _unquoted(evaluation.only, place, axes)
        for key in {label for axis in scale.axes for level in axis.settings if (label := level.get("recipe"))}:
            if not recipe_name(str(key), name):
                problems.append(f"scale {name}: no recipe of {key}; {expected(name, scales_of(str(key)))}")
    if not problems:
        problems = [problem for scale in grid.scales for problem in _cell_problems(_cells(grid, scale), scale)]
    return problems


def _all_levels(grid: Grid) -> dict[str, Axis]:
    """Return the axes by short name with the levels of all scales: a selector may name a level of one scale only."""
    merged: dict[str, dict[Scalar, dict[str, Scalar]]] = {}
    for axis in (axis for scale in grid.scales.values() for axis in scale.axes):
        merged.setdefault(axis.name, {}).update(zip(axis.labels, axis.settings, strict=True))
    return {name: Axis(name, tuple(levels), tuple(levels.values())) for name, levels in merged.items()}


def _clashes(grid: Grid) -> list[str]:
    problems = []
    for name, scale in grid.scales.items():
        keys = {key for axis in scale.axes for key in axis.keys if all(key in level for level in axis.settings)}
        problems += [f"scales.{name}.set.{key}: is an axis" for key in scale.overrides if key in keys]
        problems += [f"set.{key}: is an axis" for key in grid.overrides if key in keys]
    return list(dict.fromkeys(problems))


def _tune_problems(grid: Grid) -> list[str]:
    """List faults of ``tune``: it needs seeds that the claims do not use, and an evaluation as its metric."""
    tune = grid.tune
    if tune is None:
        return []
    problems = []
    for name, scale in grid.scales.items():
        keys = [axis.key for axis in scale.axes]
        for i, axis in enumerate(tune.axes):
            if axis not in keys:
                problems.append(f"tune.axes[{i}]: no axis {axis!r}; {expected(axis, keys)}")
        both = sorted(set(tune.seeds) & set(scale.seeds))
        if both:
            where = ", ".join(map(str, both))
            problems.append(f"tune.seeds: {where} also judge at scale {name}; expected seeds that choose alone")
        measured = [each.config.metric for each in scale.evaluations if each.only is None]
        if grid.metric not in measured:
            problems.append(f"tune: metric {grid.metric!r} is no evaluation of every cell at scale {name}")
    return list(dict.fromkeys(problems))


def _cell_problems(cells: list[Cell], scale: str) -> list[str]:
    problems: dict[str, None] = {}
    if not any(cell.role == "cell" for cell in cells):
        problems[f"exclude: leaves no cell at scale {scale}"] = None
    seen: dict[str, str] = {}
    for cell in cells:
        if cell.cell_id in seen:
            problems[
                f"scale {scale}: duplicate cell: {cell.label!r} is the same configuration as {seen[cell.cell_id]!r}"
            ] = None
        seen.setdefault(cell.cell_id, cell.label)
        of_evaluations = (p for evaluation in cell.evaluations for p in evaluation_problems(cell.config, evaluation))
        for problem in (*problems_of(cell.config), *of_evaluations):
            problems.setdefault(f"scale {scale}, {cell.role} {cell.label!r}: {problem}")
    return list(problems)


def _unquoted(content: Any, place: str, axes: Mapping[str, Axis]) -> list[str]:
    """Return numbers and truth values in selectors of axes with named levels: YAML reads an unquoted 1.10 as 1.1."""
    if isinstance(content, list):
        return [p for i, part in enumerate(content) for p in _unquoted(part, f"{place}[{i}]", axes)]
    if not isinstance(content, Mapping):
        return []
    problems = []
    for name, wanted in content.items():
        labels = axes[name].labels if name in axes else ()
        if labels and all(isinstance(label, str) for label in labels):
            problems += [
                f"{place}.{name} = {level!r}: no name; expected one of {', '.join(map(repr, labels))}, in quotes"
                for level in (wanted if isinstance(wanted, list) else [wanted])
                if isinstance(level, bool | int | float)
            ]
        problems += _unquoted(wanted, f"{place}.{name}", axes)
    return problems
