"""The command ``ablate``. Anything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations import plan as planning
from ablations.collect import Collected, collect, grid_json
from ablations.console import err, out, say, table, tell, told
from ablations.display import Display, duration
from ablations.errors import UserError
from ablations.grid import expand, find_grids, load_grid, scale_of
from ablations.launch import launch, merge, unfinished
from ablations.reader import shown
from ablations.spec import Grid, RunSpec
from ablations.store import State, Store
from simclr_core.runtime import RuntimeConfig

app = typer.Typer(
    help="Ablation studies of SimCLR and SimSiam: a grid file becomes runs, and runs become a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

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


@app.command("list")
def list_grids() -> None:
    """Show the grids that there are: those of ./grids and the packaged ones."""
    with told():
        grids = load_all([str(path) for path in find_grids().values()])
    for grid in grids:
        say(f"{grid.name}: {grid.title} ({grid.paper['key']} {grid.paper['locus']})")
        sizes = table("scale", "cells", "references", "seeds", "runs")
        for name, scale in grid.scales.items():
            runs = expand(grid, name)
            cells = {run.cell_id for run in runs if run.role == "cell"}
            counts = (len(cells), len(grid.references), len(scale.seeds), len(runs))
            sizes.add_row(f"  {name}", *(str(number) for number in counts))
        out.print(sizes)


@app.command("plan")
def plan_runs(
    grids: Names,
    scale: Scale,
    store: StoreDir = Path("runs"),
    seeds: Seeds = None,
    device_tflops: Annotated[
        float | None, typer.Option(min=1e-3, help="TFLOP/s that a device sustains: also estimate its time.")
    ] = None,
) -> None:
    """Show what grids ask for: cells, what is done, what other grids share, and how long the rest takes."""
    with told():
        loaded = checked(grids, scale, seeds)
        every = load_all([str(path) for path in find_grids().values()])
        numbers = parse_seeds(seeds)
        others = [spec for grid in every if scale in grid.scales for spec in expand(grid, scale, numbers)]
        of_store = Store(store)
        states = [planning.states_of(specs, of_store) for _, specs in loaded]
    for (grid, specs), of_grid in zip(loaded, states, strict=True):
        say(f"{grid.name} at scale {scale}: {grid.question}")
        rows = table("cell", *dict.fromkeys(f"seed {spec.seed}" for spec in specs), "shared with")
        for cell in planning.planned_cells(specs, of_grid, others):
            rows.add_row(cell.label, *cell.states, ", ".join(cell.shared_with))
        out.print(rows)
        counts = planning.count(of_grid.values())
        say(f"{len(of_grid)} runs: " + ", ".join(f"{counts[state]} {state}" for state in State if counts[state]))
        cost = planning.cost(grid, scale, specs, of_grid, of_store)
        if cost.left_core_s is None:
            say(f"time: unknown; known is {cost.source}")
        else:
            say(f"time: about {duration(cost.left_core_s)} of one core for what is left, by {cost.source}")
        if device_tflops is not None:
            seconds = planning.device_s(specs, of_grid, device_tflops)
            told_s = "unknown, as is the size of the data set" if seconds is None else f"about {duration(seconds)}"
            say(f"on a device at {device_tflops:g} TFLOP/s: {told_s}, pre-training alone, by its multiply-adds")


@app.command()
def run(
    grids: Names,
    *,
    scale: Scale,
    store: StoreDir = Path("runs"),
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time.", show_default="cores / threads")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of one run.")] = 1,
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the data sets.")] = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.")] = False,
    seeds: Seeds = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Start at most so many runs.")] = None,
) -> None:
    """Run what grids still lack; what is done stays, what failed is tried again.

    Ctrl-C stops and loses no finished run. Exit code 1 if a run failed, 2 if the input is wrong, 130 after Ctrl-C.
    """
    with told():
        specs = merge(spec for _, of_grid in checked(grids, scale, seeds) for spec in of_grid)
        todo = unfinished(specs, Store(store))
        counts = planning.count(planning.states_of(specs, Store(store)).values())
    standing = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    if not todo:
        say(f"nothing to do: {len(specs)} runs in {store}: {standing}")
        return
    todo = todo[:limit]
    num_workers = min(workers or max(1, (os.cpu_count() or 1) // threads), len(todo))
    say(f"{len(specs)} runs in {store}: {standing}; {len(todo)} to run, {num_workers} at a time")
    runtime = RuntimeConfig(
        device=device, num_threads=threads, tensorboard=tensorboard, data_dir=str(data_dir), store=str(store)
    )
    with Display(out, len(todo), num_workers) as display:
        summary = launch(todo, runtime, num_workers, display)
    if summary.problems:
        tell(summary.problems)
        raise typer.Exit(2)
    for run_id in summary.held:
        say(f"{run_id}: another process works on it")
    say(f"done: {summary.done}" + (f", failed: {len(summary.failed)}" if summary.failed else ""))
    if summary.interrupted:
        say(f"stopped; runs left: {summary.left}; the same command continues", err)
        raise typer.Exit(130)
    if summary.failed:
        say(f"the same command tries again; why it failed: ablate show {summary.failed[0].run_id} --store {store}", err)
        raise typer.Exit(1)


@app.command()
def status(grids: Names, scale: Scale, store: StoreDir = Path("runs"), seeds: Seeds = None) -> None:
    """Count the runs of grids by state, and show those that are under way, failed or stale."""
    with told():
        expanded = expand_all(grids, scale, seeds)
        runs = [(spec, Store(store).state(spec)) for _, specs in expanded for spec in specs]
    counted = table("grid", *State)
    for grid, _ in expanded:
        counts = planning.count(state for spec, state in runs if spec.grid == grid.name)
        counted.add_row(grid.name, *(str(counts[state]) for state in State))
    out.print(counted)
    notable = [(spec, state) for spec, state in runs if state not in (State.PLANNED, State.DONE)]
    if notable:
        rows = table("run", "cell", "seed", "state")
        for spec, state in notable:
            rows.add_row(spec.run_id, spec.label, str(spec.seed), state)
        out.print(rows)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the first part of it.")],
    store: StoreDir = Path("runs"),
) -> None:
    """Show one run: its configuration, result, evaluations, attempts and error."""
    from ablations.showing import find_run, sections

    with told():
        folder = find_run(store, run_id)
    for title, content in sections(folder):
        out.print(f"[bold]{title}[/]")
        if isinstance(content, str):
            say(content)
        else:
            out.print_json(data=content, indent=1, highlight=False)


@app.command()
def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its id, or the first part of it.")],
    out_file: Annotated[Path, typer.Option("--out", help="File to write.")],
    form: Annotated[str, typer.Option("--format", help="Whose layout: torchvision.")] = "torchvision",
    store: StoreDir = Path("runs"),
) -> None:
    """Write the backbone of a finished run as a state dict for torchvision's ResNet."""
    from ablations import checkpoints

    with told():
        say(checkpoints.export(run_id, form, out_file, store))


@app.command("evaluate-checkpoint")
def evaluate_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="SimSiam's released layout, or torchvision's.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Settings on the recipe: data.name=cifar10 ...")
    ] = None,
    *,
    recipe: Annotated[str, typer.Option(help="Gives backbone and data, such as simsiam_imagenet.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the results.")],
    num_labels: Annotated[int, typer.Option(min=0, help="Labelled images; 0: all.")] = 0,
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the data sets.")] = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Evaluate a checkpoint from elsewhere, linear and kNN on its features."""
    from ablations import checkpoints

    runtime = RuntimeConfig(device=device, num_threads=threads, data_dir=str(data_dir))
    with told():
        scored = checkpoints.evaluate_checkpoint(checkpoint, recipe, settings or [], num_labels, runtime, out_dir)
    rows = table("evaluation", "top-1 %", "top-5 %", "labels")
    for content in scored:
        shares = ("-" if content[name] is None else f"{content[name]:.2f}" for name in ("top1", "top5"))
        rows.add_row(content["metric"], *shares, f"{content['num_labels']:,}")
    out.print(rows)


@app.command("collect")
def collect_results(
    grids: Names,
    scale: Scale,
    store: StoreDir = Path("runs"),
    results: ResultsDir = Path("results"),
    seeds: Seeds = None,
) -> None:
    """Write the tables of finished runs: one JSON file a grid, runs.csv, curves.csv."""
    with told():
        _, collected = _collect(grids, scale, seeds, store, results)
    say(f"{collected.num_done} of {collected.num_runs} runs are in {results}")


@app.command()
def report(
    grids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GRID...]", help="Collect these first; without any, report the tables as they are."),
    ] = None,
    *,
    scale: Annotated[str | None, typer.Option(help="The scale to collect; needed with GRID.")] = None,
    store: StoreDir = Path("runs"),
    results: ResultsDir = Path("results"),
    site: Annotated[Path, typer.Option("--out", help="Folder of the page.")] = Path("site"),
    seeds: Seeds = None,
) -> None:
    """Write the page: each figure beside the paper's, and a verdict on each claim."""
    with told():
        if grids and scale is None:
            raise UserError(["--scale: missing; it says which runs of the grids to collect"])
        if scale is not None and not grids:
            raise UserError(["--scale: needs grids; without any, all tables in --results are reported"])
        names: list[str] | None = None
        if grids and scale:
            names, _ = _collect(grids, scale, seeds, store, results)
        from reports.page import write_site

        page: Any = write_site(results, site, names)
    say(f"look at {page}")


def _collect(
    names: list[str], scale: str, seeds: str | None, store: Path, results: Path
) -> tuple[list[str], Collected]:
    """Collect grids; the names of their tables, and what was found."""
    grids = [grid for grid, _ in checked(names, scale, seeds)]
    collected = collect(grids, scale, Store(store), results, parse_seeds(seeds))
    for line in collected.broken:
        say(line, err)
    return [f"{grid.name}.{scale}" for grid in grids], collected
