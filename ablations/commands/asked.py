"""What several commands are asked for: their arguments and options, and the grids and runs that these name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ablations.collect import grid_json
from ablations.errors import UserError
from ablations.grid import expand, load_grid, scale_of
from ablations.reader import shown
from ablations.spec import Grid, RunSpec
from ablations.store import State, Store

Names = Annotated[
    list[str],
    typer.Argument(metavar="GRID...", help="Names of grids, as ablate list shows them, or paths of grid files."),
]
Scale = Annotated[str, typer.Option(help="One of the grid's scales: demo, mini, cifar10, imagenet.")]
StoreDir = Annotated[Path, typer.Option("--store", help="Folder of runs.")]
Seeds = Annotated[str | None, typer.Option(help="Instead of the grid's seeds, as in 0,1,2.")]
ResultsDir = Annotated[Path, typer.Option("--results", help="Folder of the result tables.")]


def load_all(names: list[str]) -> list[Grid]:
    """The named grids, each once; raises UserError with the problems of all of them."""
    grids: list[Grid] = []
    problems: list[str] = []
    for name in dict.fromkeys(names):
        try:
            grids.append(load_grid(name))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    return list({grid.name: grid for grid in grids}.values())


def expand_all(names: list[str], scale: str, seeds: str | None) -> list[tuple[Grid, list[RunSpec]]]:
    """Grids, and their runs at a scale."""
    numbers = parse_seeds(seeds)
    return [(grid, expand(grid, scale_of(grid, scale).name, numbers)) for grid in load_all(names)]


def checked(names: list[str], scale: str, seeds: str | None) -> list[tuple[Grid, list[RunSpec]]]:
    """The same, with figure, claims and paper checked, before anything runs or is written."""
    from reports.checks import check_grid

    grids = expand_all(names, scale, seeds)
    problems: list[str] = []
    for grid, specs in grids:
        planned = {spec.run_id: State.PLANNED for spec in specs}
        content = grid_json(grid, scale, specs, states=planned, outcomes={}, store=Store(Path(os.devnull)))
        problems += [f"{shown(grid.path)}: {problem}" for problem in check_grid(content)]
    if problems:
        raise UserError(problems)
    return grids


def parse_seeds(text: str | None) -> list[int] | None:
    """``"0,1,2"`` as numbers; raises UserError for anything else."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise UserError([f"--seeds {text!r}: expected different whole numbers from 0 on, as in 0,1,2"])
    return [int(part) for part in parts]
