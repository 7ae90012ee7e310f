"""``ablate list``, ``plan`` and ``run``: from grids to finished runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands import until_decided as looks
from ablations.commands.arguments import CacheDir, Names, Scale, Seeds, StoreDir, checked, load_every, parse_seeds
from ablations.commands.places import place_problems
from ablations.commands.submit import DataDir
from ablations.console import err, out, say, table, tell, tell_left, told
from ablations.errors import UserError
from ablations.local.display import Display, duration
from ablations.local.pool import launch, merge, unfinished
from ablations.plan import cost as planning
from ablations.plan.declared import declare, withdraw
from ablations.plan.demand import Demand, demand
from ablations.plan.inputs import check_data
from ablations.store import sharing
from ablations.store.folder import State, Store, problems_of
from ablations.study.expand import expand
from ablations.study.spec import Grid, RunSpec
from simclr_core.config.runtime import RuntimeConfig, device_problem, user_path


def list_grids() -> None:
    """Show the grids that there are: those of ./grids and the packaged ones."""
    with told():
        grids = load_every()
    for grid in grids:
        say(f"{grid.name}: {grid.title} ({grid.paper['key']} {grid.paper['locus']})")
        sizes = table("scale", "cells", "references", "seeds", "runs")
        for name, scale in grid.scales.items():
            runs = demand(grid, name, None).every
            cells = {run.cell_id for run in runs if run.role == "cell"}
            counts = (len(cells), len(grid.references), len(scale.seeds), len(runs))
            sizes.add_row(f"  {name}", *(str(number) for number in counts))
        out.print(sizes)


def plan_runs(
    grids: Names,
    scale: Scale,
    store: StoreDir = Path("runs"),
    seeds: Seeds = None,
    data_dir: DataDir = Path("data"),
    device_tflops: Annotated[
        float | None, typer.Option(min=1e-3, help="TFLOP/s that a device sustains: also estimate its time.")
    ] = None,
) -> None:
    """Show what grids ask for: cells, what is done, what other grids share, and how long the rest takes."""
    with told():
        loaded = checked(grids, scale, seeds, store, problems_of(store, may_be_new=True))
        every = load_every()
        numbers = parse_seeds(seeds)
        others = [spec for grid in every if scale in grid.scales for spec in expand(grid, scale, numbers)]
        of_store = Store(store)
        states = [
            planning.states_of(asked.runs, of_store) | {spec.run_id: State.PLANNED for spec in asked.foreseen}
            for _, asked in loaded
        ]
        runs = [spec for (_, asked), of_grid in zip(loaded, states, strict=True) for spec in _undone(asked, of_grid)]
        notes = check_data(runs, user_path(data_dir), elsewhere=True)
    if store != Path("runs") and not store.exists():
        say(f"--store {store}: no such folder yet, so nothing is done; ablate run and ablate submit make it", err)
    for (grid, asked), of_grid in zip(loaded, states, strict=True):
        specs = asked.every
        say(f"{grid.name} at scale {scale}: {grid.question}")
        numbers = list(dict.fromkeys(spec.seed for spec in specs))
        rows = table("cell", *(f"seed {seed}" for seed in numbers), "shared with")
        for cell in planning.planned_cells(specs, of_grid, others):
            rows.add_row(cell.label, *(cell.states.get(seed, "") for seed in numbers), ", ".join(cell.shared_with))
        out.print(rows)
        counts = planning.count(of_grid.values())
        say(f"{len(of_grid)} runs: " + ", ".join(f"{counts[state]} {state}" for state in State if counts[state]))
        cost = planning.cost(grid, scale, specs, of_grid, of_store, extrapolate=True)
        if cost.left_core_s is None:
            say(f"time: unknown: {cost.source}")
        else:
            say(f"time: about {duration(cost.left_core_s)} of one core for what is left, by {cost.source}")
        if device_tflops is not None:
            seconds = planning.device_s(specs, of_grid, device_tflops)
            told_s = "unknown, as is the size of the data set" if seconds is None else f"about {duration(seconds)}"
            say(f"on a device at {device_tflops:g} TFLOP/s: {told_s}, pre-training alone, by its multiply-adds")
    for note in notes:
        say(note)


def _undone(asked: Demand, states: Mapping[str, State]) -> list[RunSpec]:
    return [spec for spec in asked.every if states[spec.run_id] is not State.DONE]


def run(
    grids: Names,
    *,
    scale: Scale,
    store: StoreDir = Path("runs"),
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time.", show_default="cores / threads")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of one run.")] = 1,
    data_dir: DataDir = Path("data"),
    cache_dir: CacheDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.")] = False,
    seeds: Seeds = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Start at most so many runs.")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Then add seeds where claims are undecided, at the planned looks.")
    ] = False,
) -> None:
    """Run what grids still lack; what is done stays, what failed is tried again.

    Ctrl-C stops and loses no finished run. Exit code 1 if a run failed, 2 if the input is wrong, 130 after Ctrl-C.
    """
    with told():
        problems = [*problems_of(store, may_be_new=True), *place_problems(read={"--data-dir": data_dir})]
        asked = checked(grids, scale, seeds, store, problems)
        if until_decided:
            looks.check(asked, scale, seeds=seeds, limit=limit)
        if problem := device_problem(device):
            raise UserError([f"--device {problem}"])
    runtime = RuntimeConfig(
        device=device,
        num_threads=threads,
        tensorboard=tensorboard,
        data_dir=str(data_dir),
        cache_dir=str(cache_dir or ""),
        store=str(store),
    )

    num_workers = workers or max(1, (os.cpu_count() or 1) // threads)

    def finish(specs: Iterable[RunSpec]) -> None:
        _finish(specs, asked, scale, runtime, num_workers, limit)

    finish(spec for _, of_grid in asked for spec in of_grid.runs)
    if limit is None and any(of_grid.foreseen for _, of_grid in asked):
        with told():
            asked = checked(grids, scale, seeds, store)
        waiting = [spec for _, of_grid in asked for spec in of_grid.foreseen]
        if waiting:
            say(f"{len(waiting)} runs wait for tuning runs of another process; the same command continues", err)
            raise typer.Exit(1)
        say("the levels are tuned; now the seeds that judge")
        finish(spec for _, of_grid in asked for spec in of_grid.runs)
    if until_decided:
        looks.add_seeds([grid for grid, _ in asked], scale, Store(store), finish)


def _finish(
    specs: Iterable[RunSpec],
    asked: Sequence[tuple[Grid, Demand]],
    scale: str,
    runtime: RuntimeConfig,
    num_workers: int,
    limit: int | None,
) -> None:
    """Run what is unfinished of these runs; raises typer.Exit where they cannot be finished."""
    store = Store(Path(runtime.store))
    with told():
        specs = merge(specs)
        todo, left = unfinished(specs, store)
        sharing.check(store.root, (store.run_dir(spec.run_id) for spec in todo))
        counts = planning.count(planning.states_of(specs, store).values())
    standing = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    tell_left(left)
    if not todo:
        say(f"nothing to do: {len(specs)} runs in {store.root}: {standing}")
        return
    todo = todo[:limit]
    with told():
        check_data(todo, runtime.data_path, elsewhere=False)
    declared = declare(asked, scale, todo, store)
    num_workers = min(num_workers, len(todo))
    say(f"{len(specs)} runs in {store.root}: {standing}; {len(todo)} to run, {num_workers} at a time")
    with Display(out, len(todo), num_workers) as display:
        summary = launch(todo, runtime, num_workers, display)
    if summary.problems:
        withdraw(declared, scale, store)
        tell(summary.problems)
        if any((store.run_dir(spec.run_id) / "checkpoint.pt").exists() for spec in todo):
            say("what is trained is kept: once this is mended, the same command makes what is missing", err)
        raise typer.Exit(2)
    for run_id in summary.held:
        say(f"{run_id}: another process works on it")
    say(f"done: {summary.done}" + (f", failed: {len(summary.failed)}" if summary.failed else ""))
    if summary.interrupted:
        say(f"stopped; runs left: {summary.left}; the same command continues", err)
        raise typer.Exit(130)
    if summary.failed:
        again = f"the same command tries again; why it failed: ablate show {summary.failed[0].run_id}"
        say(f"{again} --store {store.root}", err)
        raise typer.Exit(1)
