"""``ablate submit``: grids on a SLURM cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablations import plan as planning
from ablations.commands.asked import Names, Scale, Seeds, StoreDir, checked
from ablations.console import err, say, tell, told
from ablations.display import duration
from ablations.launch import merge
from ablations.slurm.code import find_code
from ablations.slurm.profiles import load_profile
from ablations.store import Store


def submit(
    grids: Names,
    *,
    scale: Scale,
    profile: Annotated[str, typer.Option(help="A cluster profile: its name in ./clusters, or a path.")],
    store: StoreDir = Path("runs"),
    seeds: Seeds = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Tasks of an array at a time.")] = None,
    pack: Annotated[int, typer.Option(min=1, help="Runs that share a task.")] = 1,
    max_attempts: Annotated[int, typer.Option(min=1, help="Of a run that is lost without a checkpoint.")] = 5,
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the data sets.")] = Path("data"),
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Run a copy of the commit.")] = False,
    allow_dirty: Annotated[bool, typer.Option("--allow-dirty", help="Run uncommitted changes; keep them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the batch scripts; change nothing.")] = False,
) -> None:
    """Submit what grids still lack as SLURM job arrays, and return.

    What is done, under way or queued is left alone. Exit code 1 if SLURM refused a part, 2 if the input is wrong.
    """
    from ablations.slurm import submit as submitting

    with told():
        of_cluster = load_profile(profile)
        of_grids = checked(grids, scale, seeds)
        of_store, code = Store(store), find_code()
        order = submitting.Order(
            grids=tuple(grid.name for grid, _ in of_grids),
            scale=scale,
            profile=of_cluster,
            pack=pack,
            max_parallel=max_parallel,
            max_attempts=max_attempts,
            data_dir=data_dir,
            allow_dirty=allow_dirty,
            snapshot=snapshot,
        )
        submitting.check(order, code)
        core_s = {
            grid.name: planning.cost(grid, scale, specs, planning.states_of(specs, of_store), of_store).core_s_per_run
            for grid, specs in of_grids
        }
        runs = submitting.sort_runs(merge(spec for _, specs in of_grids for spec in specs), of_store)
        others = {"done": runs.done, "queued": runs.queued, "running": runs.running}
        standing = "".join(f", {len(specs)} {state}" for state, specs in others.items() if specs)
        say(f"{store}: {len(runs.todo)} runs to submit{standing}")
        if not runs.todo:
            return
        if dry_run:
            for batch, text in submitting.dry_run(order, runs.todo, core_s, of_store, code):
                num_runs = sum(len(task) for task in batch.tasks)
                limit = duration(batch.time_min * 60)
                say(f"\n{num_runs} runs in {len(batch.tasks)} tasks of at most {limit}:\n\n{text}")
            return
        done = submitting.submit(order, runs, core_s, of_store, code)
    if done.job_ids:
        jobs = f"job{'s' if len(done.job_ids) > 1 else ''} {', '.join(done.job_ids)}"
        say(f"submitted {done.num_runs} runs in {done.num_tasks} tasks as {jobs}; submission {done.id}")
    if done.taken:
        say(f"{done.taken} runs were taken by another submission at the same moment")
    if done.problems:
        tell(done.problems)
        say("what was not submitted is as before; the same command tries again", err)
        raise typer.Exit(1)
