"""What several commands are asked for: their arguments and options, and the grids and runs that these name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ablations.collect.grid_json import grid_json
from ablations.console import err, say
from ablations.errors import UserError
from ablations.plan.demand import Demand, demand
from ablations.store.folder import State, Store, problems_of
from ablations.study.entries import shown
from ablations.study.expand import find_grids, load_grid
from ablations.study.spec import Grid, RunSpec
from formats.names import expected
from simclr_core.config.options import LARGEST_SEED

Names = Annotated[
    list[str],
    typer.Argument(metavar="GRID...", help="Names of grids, as ablate list shows them, or paths of grid files."),
]
Scale = Annotated[str, typer.Option(help="One of the grid's scales: demo, mini, cifar10, imagenet.")]
MaybeNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GRID...]", help="Names or paths of grids; without any, those with runs in the store."),
]
MaybeScale = Annotated[
    str | None, typer.Option("--scale", help="One of the grid's scales; without it, those with runs in the store.")
]
StoreDir = Annotated[Path, typer.Option("--store", help="Folder of runs.")]
Seeds = Annotated[str | None, typer.Option(help="Instead of the grid's seeds, as in 0,1,2.")]
CacheDir = Annotated[
    Path | None, typer.Option(help="Folder for decoded images.", show_default="in the user's cache folder")
]
ResultsDir = Annotated[Path, typer.Option("--results", help="Folder of the result tables.")]


def load_all(names: list[str], problems: Sequence[str] = ()) -> list[Grid]:
    """The named grids, each once; raises UserError with the problems of all of them, after those given."""
    grids: list[Grid] = []
    problems = list(problems)
    for name in dict.fromkeys(names):
        try:
            grids.append(load_grid(name))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    return list({grid.name: grid for grid in grids}.values())


def load_every() -> list[Grid]:
    """The grids that there are; one that cannot be read is left out, with a warning."""
    grids: list[Grid] = []
    for path in find_grids().values():
        try:
            grids.append(load_grid(str(path)))
        except UserError as error:
            more = f" (and {len(error.problems) - 1} more problems)" if len(error.problems) > 1 else ""
            say(f"warning: {error.problems[0]}{more}; this grid is left out", err)
    return grids


def demand_all(
    names: list[str], scale: str, seeds: str | None, store: Path | None, problems: Sequence[str] = ()
) -> list[tuple[Grid, Demand]]:
    """Grids, and what they ask for at a scale by now; raises UserError where a seed would both tune and judge.

    Without a store, as if it were empty. ``problems`` are told with those of the grids.
    """
    numbers, grids = parse_seeds(seeds), load_all(names, problems)
    if problems := [
        f"--seeds: {seed} chooses the tuned levels of {grid.name} and cannot judge"
        for grid in grids
        for seed in sorted(set(numbers or ()) & set(grid.tune.seeds if grid.tune else ()))
    ]:
        raise UserError(problems)
    of_store = None if store is None else Store(store)
    return [(grid, demand(grid, scale, of_store, numbers)) for grid in grids]


def runs_of_store(
    names: list[str] | None, scale: str | None, store: Path, seeds: str | None
) -> list[tuple[Grid, str, list[RunSpec]]]:
    """Grids, a scale of each, and the runs: as named, or all those of which the store has runs.

    Raises UserError where there is no such store.
    """
    problems = problems_of(store)
    if names and scale:
        return [(grid, scale, asked.runs) for grid, asked in demand_all(names, scale, seeds, store, problems)]
    if problems and not names:
        raise UserError(problems)
    grids = load_all(names, problems) if names else load_every()
    if scale is not None and not any(scale in grid.scales for grid in grids):
        scales = dict.fromkeys(name for grid in grids for name in grid.scales)
        raise UserError([f"--scale: no grid has a scale {scale!r}; {expected(scale, scales)}"])
    numbers = parse_seeds(seeds)
    there = {path.name for path in store.iterdir()}
    found = []
    for grid in grids:
        for name in grid.scales:
            if scale not in (None, name):
                continue
            specs = demand(grid, name, Store(store), numbers).runs
            if any(spec.run_id in there for spec in specs):
                found.append((grid, name, specs))
    return found


def checked(
    names: list[str], scale: str, seeds: str | None, store: Path | None, problems: Sequence[str] = ()
) -> list[tuple[Grid, Demand]]:
    """The same, with figure, claims and paper checked, before anything runs or is written."""
    from reports.claims.checks import check_grid

    grids = demand_all(names, scale, seeds, store, problems)
    problems = []
    for grid, asked in grids:
        of_cells = {(spec.role, spec.cell_id): spec for spec in asked.every}  # one seed of each says it all
        cells = Demand(list(of_cells.values()))
        planned = {spec.run_id: State.PLANNED for spec in cells.runs}
        content = grid_json(grid, scale, cells, states=planned, outcomes={}, spent_core_s=0.0, declared=None)
        problems += [f"{shown(grid.path)}: {problem}" for problem in check_grid(content, list(grid.scales))]
    if problems:
        raise UserError(problems)
    return grids


def parse_seeds(text: str | None) -> list[int] | None:
    """``"0,1,2"`` as numbers; raises UserError for anything else."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if too_large := [part for part in parts if part.isdecimal() and (len(part) > 1000 or int(part) > LARGEST_SEED)]:
        raise UserError([f"--seeds: {part}: expected at most {LARGEST_SEED}" for part in too_large])
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise UserError([f"--seeds {text!r}: expected different whole numbers from 0 on, as in 0,1,2"])
    return [int(part) for part in parts]
