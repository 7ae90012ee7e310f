"""``ablate show``, ``export``, ``evaluate-checkpoint``, ``collect`` and ``report``: what finished runs give."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations.collect.tables import CollectSummary, collect
from ablations.commands.arguments import Names, ResultsDir, Scale, Seeds, StoreDir, checked, parse_seeds
from ablations.commands.places import check_places
from ablations.console import err, out, say, table, told
from ablations.errors import UserError
from ablations.store.folder import Store, problems_of
from simclr_core.config.runtime import RuntimeConfig

Forget = Annotated[
    bool, typer.Option("--forget", help="Drop from the tables the finished runs that the store no longer has.")
]


def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the first part of it.")],
    store: StoreDir = Path("runs"),
) -> None:
    """Show one run: its configuration, result, evaluations, attempts and error."""
    from ablations.store.find import find_run, sections

    with told():
        folder = find_run(store, run_id)
    for title, content in sections(folder):
        out.print(f"[bold]{title}[/]")
        if isinstance(content, str):
            say(content)
        else:
            out.print_json(data=content, indent=1, highlight=False)


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its id, or the first part of it.")],
    out_file: Annotated[Path, typer.Option("--out", help="File to write.")],
    form: Annotated[str, typer.Option("--format", help="Whose layout: torchvision.")] = "torchvision",
    evaluation: Annotated[
        str, typer.Option(metavar="ID", help="The network that this evaluation kept, in place of the pre-trained one.")
    ] = "",
    store: StoreDir = Path("runs"),
) -> None:
    """Write the backbone of a finished run as a state dict for torchvision's ResNet."""
    from ablations.commands import checkpoints

    with told():
        check_places(files={"--out": out_file})
        say(checkpoints.export(run_id, form, out_file, store, evaluation))


def evaluate_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help="SimSiam's released layout, torchvision's, or ours.")
    ],
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
    """Evaluate a checkpoint, from elsewhere or kept by an evaluation, linear and kNN on its features."""
    from ablations.commands import checkpoints

    runtime = RuntimeConfig(device=device, num_threads=threads, data_dir=str(data_dir))
    with told():
        check_places(folders={"--out": out_dir}, read={"--data-dir": data_dir})
        scored = checkpoints.evaluate_checkpoint(checkpoint, recipe, settings or [], num_labels, runtime, out_dir)
    rows = table("evaluation", "top-1 %", "top-5 %", "labels")
    for content in scored:
        shares = ("-" if content[name] is None else f"{content[name]:.2f}" for name in ("top1", "top5"))
        rows.add_row(content["metric"], *shares, f"{content['num_labels']:,}")
    out.print(rows)


def collect_results(
    grids: Names,
    scale: Scale,
    store: StoreDir = Path("runs"),
    results: ResultsDir = Path("results"),
    seeds: Seeds = None,
    *,
    forget: Forget = False,
) -> None:
    """Write the tables of finished runs: one JSON file a grid, runs.csv, curves.csv."""
    with told():
        check_places(folders={"--results": results})
        _, collected = _collect(grids, scale, seeds, store, results, forget=forget)
    say(f"{collected.num_done} of {collected.num_runs} runs are in {results}")


def report(
    grids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GRID...]", help="Collect these first; without any, report the tables as they are."),
    ] = None,
    *,
    scale: Annotated[str | None, typer.Option(help="The scale to collect; needed with GRID.")] = None,
    store: StoreDir = Path("runs"),
    results: ResultsDir = Path("results"),
    site: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("site"),
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Also one HTML file, report.html, without the pages of runs.")
    ] = False,
    seeds: Seeds = None,
    forget: Forget = False,
) -> None:
    """Write the report: each figure beside the paper's, a verdict on each claim, the runs behind each number."""
    with told():
        if grids and scale is None:
            raise UserError(["--scale: missing; it says which runs of the grids to collect"])
        if scale is not None and not grids:
            raise UserError(["--scale: needs grids; without any, all tables in --results are reported"])
        check_places(folders={"--out": site} | ({"--results": results} if grids else {}))
        names: list[str] | None = None
        if grids and scale:
            names, _ = _collect(grids, scale, seeds, store, results, forget=forget)
        from reports.page.site import SINGLE_FILE, write_site

        page: Any = write_site(results, site, names, single_file=single_file)
    say(f"look at {page}" + (f", or at {site / SINGLE_FILE} alone" if single_file else ""))


def _collect(
    names: list[str], scale: str, seeds: str | None, store: Path, results: Path, *, forget: bool
) -> tuple[list[str], CollectSummary]:
    """Collect grids; the names of their tables, and what was found."""
    grids = [grid for grid, _ in checked(names, scale, seeds, None, problems_of(store))]
    gc.disable()  # what is collected stays until it is written, and is much to search for garbage
    try:
        collected = collect(grids, scale, Store(store), results, parse_seeds(seeds), forget=forget)
    finally:
        gc.enable()
    for path, what in collected.problems:
        say(f"{path}: {what}", err)
    return [f"{grid.name}.{scale}" for grid in grids], collected
