"""``ablate status`` and ``logs``: how far the runs of grids are, and what they printed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.arguments import MaybeNames, MaybeScale, Seeds, StoreDir, runs_of_store
from ablations.console import out, say, told
from ablations.slurm import status_screen
from ablations.slurm import usage as using
from ablations.slurm.status import Survey, survey
from ablations.slurm.usage import Used
from ablations.store.folder import State, Store

WATCH_EVERY_S = 15.0
"""SLURM's controller serves everybody; a look a quarter of a minute is what it can bear from many."""


def status(
    grids: MaybeNames = None,
    *,
    scale: MaybeScale = None,
    store: StoreDir = Path("runs"),
    seeds: Seeds = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 15 s until nothing runs or waits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for a program.")] = False,
    usage: Annotated[
        bool, typer.Option("--usage", help="Add what finished jobs used: CPU- and GPU-hours, memory, by sacct.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 if a run has failed or is stale.")] = False,
) -> None:
    """Show where runs stand: how many, what runs and how fast, what waits and why, what failed by cause.

    Without GRID: every grid that has runs in the store. Asks SLURM, once, if a run was submitted to it.
    """
    found = _look(grids, scale, store, seeds)
    if watch and not as_json:
        from rich.console import Group
        from rich.live import Live

        with Live(Group(*status_screen.screen(found, store)), console=out, auto_refresh=False) as live:
            while any(each.survey.counts()[state] for each in found for state in (State.QUEUED, State.RUNNING)):
                time.sleep(WATCH_EVERY_S)
                found = _look(grids, scale, store, seeds)
                live.update(Group(*status_screen.screen(found, store)), refresh=True)
    elif as_json:
        content = status_screen.as_json(found, store, time.time(), _used(found, store) if usage else None)
        out.file.write(json.dumps(content, indent=1) + "\n")  # rich takes its time
    elif found:
        for part in status_screen.screen(found, store):
            out.print(part)
    else:
        say(f"{store}: no run of any grid yet; ablate list shows the grids, ablate run and ablate submit start them")
    if usage and found and not as_json:
        for part in status_screen.usage_screen(_used(found, store)):
            out.print(part)
    if check and any(each.survey.counts()[state] for each in found for state in (State.FAILED, State.STALE)):
        raise typer.Exit(1)


def _used(found: list[status_screen.GridStatus], store: Path) -> Used:
    return using.usage([(each.grid.name, each.scale) for each in found], Store(store))


def _look(grids: list[str] | None, scale: str | None, store: Path, seeds: str | None) -> list[status_screen.GridStatus]:
    """One survey of all grids: SLURM is asked once."""
    with told():
        asked = runs_of_store(grids, scale, store, seeds)
        of_store = Store(store)
        whole = survey((spec for _, _, specs in asked for spec in specs), of_store, time.time())
    runs = iter(whole.runs)
    sections = []
    for grid, name, specs in asked:
        part = Survey([next(runs) for _ in specs], whole.answer)
        sections.append(status_screen.grid_status(grid, name, part, of_store))
    return sections
