"""``ablate submit``: grids on a SLURM cluster."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations.commands.arguments import CacheDir, Names, Scale, Seeds, StoreDir, checked
from ablations.commands.places import place_problems
from ablations.console import err, say, tell, tell_left, told
from ablations.local.display import duration
from ablations.local.pool import merge
from ablations.plan import cost as planning
from ablations.plan.declared import declare, withdraw
from ablations.plan.demand import Demand
from ablations.plan.inputs import check_data
from ablations.slurm import submit as submitting
from ablations.slurm.profiles import load_profile
from ablations.slurm.source import Code, find_code
from ablations.slurm.submit import Order
from ablations.store import sharing
from ablations.store.folder import Store, problems_of
from ablations.study.spec import Grid, RunSpec
from simclr_core.config.runtime import user_path

DataDir = Annotated[Path, typer.Option(help="Folder that holds the data sets.")]
AllowDirty = Annotated[bool, typer.Option("--allow-dirty", help="Run uncommitted changes; keep them.")]
OfGrids = Sequence[tuple[Grid, Demand]]


def submit(
    grids: Names,
    *,
    scale: Scale,
    profile: Annotated[str, typer.Option(help="A cluster profile: its name in ./clusters, or a path.")],
    store: StoreDir = Path("runs"),
    seeds: Seeds = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Tasks at a time.")] = None,
    pack: Annotated[int, typer.Option(min=1, help="Runs that share a task.")] = 1,
    max_attempts: Annotated[int, typer.Option(min=1, help="Of a run that is lost without a checkpoint.")] = 5,
    data_dir: DataDir = Path("data"),
    cache_dir: CacheDir = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Run a copy of the commit.")] = False,
    allow_dirty: AllowDirty = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the batch scripts; change nothing.")] = False,
) -> None:
    """Submit what grids still lack as SLURM job arrays, and return.

    What is done, under way or queued is left alone. Exit code 1 if SLURM refused a part, 2 if the input is wrong.
    """
    with told():
        problems = [*problems_of(store, may_be_new=True), *place_problems(read={"--data-dir": data_dir})]
        of_grids = checked(grids, scale, seeds, store, problems)
        order = order_of(
            of_grids,
            scale,
            profile,
            pack=pack,
            max_parallel=max_parallel,
            max_attempts=max_attempts,
            data_dir=data_dir,
            cache_dir=cache_dir,
            allow_dirty=allow_dirty,
            snapshot=snapshot,
        )
    start(of_grids, order, store, dry_run=dry_run)


def order_of(of_grids: OfGrids, scale: str, profile: str, **choices: Any) -> Order:
    """An order for grids at a scale; raises UserError if the profile is wrong."""
    runs = {grid.name: [spec.run_id for spec in asked.runs] for grid, asked in of_grids}
    return Order(runs, scale, load_profile(profile), **choices)


def start(
    of_grids: OfGrids, order: Order, store: Path, *, only: Collection[str] | None = None, dry_run: bool = False
) -> None:
    """Submit what grids lack, or of that the runs ``only``, and say so."""
    with told():
        of_store, code = Store(store), find_code()
        submitting.check(order, of_store, code)
        core_s = {}
        for grid, asked in of_grids:
            states = planning.states_of(asked.runs, of_store)
            core_s[grid.name] = planning.cost(grid, order.scale, asked.runs, states, of_store).core_s_per_run
        merged = merge(spec for _, asked in of_grids for spec in asked.runs)
        runs = submitting.sort_runs([spec for spec in merged if only is None or spec.run_id in only], of_store)
        for note in check_data(runs.todo, user_path(order.data_dir), elsewhere=True):
            say(note)
        tell_left(runs.left)
        others = {"done": runs.done, "queued": runs.queued, "running": runs.running}
        standing = "".join(f", {len(specs)} {state}" for state, specs in others.items() if specs)
        say(f"{store}: {len(runs.todo)} runs to submit{standing}")
        sharing.check(store, (of_store.run_dir(spec.run_id) for spec in (*runs.todo, *runs.queued)))
        if dry_run:
            _show(order, runs.todo, core_s, of_store, code)
            return
        declared = declare(of_grids, order.scale, [*runs.todo, *runs.queued], of_store)
        done = submitting.submit(order, runs, core_s, of_store, code)
    if done.job_ids:
        jobs = f"job{'s' if len(done.job_ids) > 1 else ''} {', '.join(done.job_ids)}"
        say(f"submitted {done.num_runs} runs in {done.num_tasks} tasks as {jobs}; submission {done.id}")
        if waiting := sum(len(asked.foreseen) for _, asked in of_grids):
            say(f"{waiting} runs wait for the tuning; once that is done, the same command submits them")
    if done.taken:
        say(f"{done.taken} runs were taken by another submission at the same moment")
    if done.added:
        say(f"{done.added} queued runs were asked for more evaluations")
    if runs.todo and not done.job_ids:
        withdraw(declared, order.scale, of_store)
    if done.problems:
        tell(done.problems)
        say("what was not submitted is as before; the same command tries again", err)
        raise typer.Exit(1)


def _show(order: Order, specs: Sequence[RunSpec], core_s: Mapping[str, float | None], store: Store, code: Code) -> None:
    """The batch scripts that would be submitted."""
    for batch, text in submitting.dry_run(order, specs, core_s, store, code):
        num_runs = sum(len(task) for task in batch.tasks)
        say(f"\n{num_runs} runs in {len(batch.tasks)} tasks of at most {duration(batch.time_min * 60)}:\n\n{text}")
