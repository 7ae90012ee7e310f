"""``ablate logs``, ``retry``, ``cancel`` and ``prune``: looking after runs that are under way, or were."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.arguments import (
    CacheDir,
    MaybeNames,
    MaybeScale,
    Names,
    Scale,
    StoreDir,
    demand_all,
    load_all,
    runs_of_store,
)
from ablations.commands.places import check_places
from ablations.commands.submit import AllowDirty, DataDir, order_of, start
from ablations.console import err, out, say, table, tell_left, told
from ablations.plan.demand import Demand, demand
from ablations.slurm import cancel as cancelling
from ablations.slurm import logs as logging
from ablations.slurm import prune as pruning
from ablations.slurm import retry as retrying
from ablations.slurm.source import find_code
from ablations.slurm.status import RunStatus, survey
from ablations.slurm.submit import check
from ablations.store import sharing
from ablations.store.folder import State, Store, problems_of
from ablations.store.job_logs import SUBMISSIONS
from ablations.study.expand import expand, find_grids
from ablations.study.spec import RunSpec


def logs(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's id, the first part of it, or a cell, as in 'first=crop seed 0'."),
    ],
    *,
    store: StoreDir = Path("runs"),
    errors: Annotated[bool, typer.Option("--err", help="What went to standard error.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="Show so many of the last lines; 0: all.")] = 200,
) -> None:
    """Show what a run printed in its newest job, and its error if it failed."""
    of_store = Store(store)
    with told():
        run_id = logging.find(
            of_store, run, lambda: [s for _, _, specs in runs_of_store(None, None, store, None) for s in specs]
        )
        found = logging.output(of_store, run_id, "err" if errors else "out")
    if found.path is None:
        say(f"{run_id}: no job of a cluster; what it printed went to the terminal of ablate run", err)
        path = of_store.run_dir(run_id) / "metrics.jsonl"
        say(f"its curve: {path}", err)
    else:
        path = found.path
        say(f"{run_id}: {path}", err)
    if follow:
        for text in logging.follow(of_store, run_id, path):
            sys.stdout.write(text)
            sys.stdout.flush()
    elif found.path is not None:
        if found.path.exists():
            out.file.write(logging.last_lines(found.path, lines))
        else:
            say("its job has not printed anything yet", err)
    error = of_store.run_dir(run_id) / "error.txt"
    if found.error and error.exists():
        say(f"\n{error}:", err)
        say(error.read_text(encoding="utf-8", errors="replace").rstrip())


def retry(
    grids: MaybeNames = None,
    *,
    scale: MaybeScale = None,
    store: StoreDir = Path("runs"),
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Only runs whose process or job went away.")] = False,
    profile: Annotated[str | None, typer.Option(help="Submit these runs at once, with this profile.")] = None,
    data_dir: DataDir = Path("data"),
    cache_dir: CacheDir = None,
    allow_dirty: AllowDirty = False,
) -> None:
    """Clear failed and stale runs, so that the next ablate run or submit takes them; checkpoints stay.

    Exit code 1 if some could not be cleared.
    """
    states = {state for state, chosen in ((State.FAILED, failed), (State.STALE, stale)) if chosen}
    states = states or {State.FAILED, State.STALE}
    of_store = Store(store)
    choices = {"data_dir": data_dir, "cache_dir": cache_dir, "allow_dirty": allow_dirty}
    with told():
        check_places(read={"--data-dir": data_dir})
        asked = runs_of_store(grids, scale, store, None)
        if profile:  # what forbids the submission is told before anything is cleared
            check(order_of([], "", profile, **choices), of_store, find_code())
        found = survey([spec for _, _, of_grid in asked for spec in of_grid], of_store, time.time())
        runs = [run for run in found.runs if run.state in states]
        if not runs:
            say(f"nothing to do: no run in {store} is {' or '.join(sorted(states))}")
            return
        cleared = retrying.clear(runs, of_store)
    tell_left(cleared.kept)
    if cleared.runs:
        causes = Counter(run.cause.kind if run.cause else "stale" for run in cleared.runs)
        say(
            f"{len(cleared.runs)} runs are planned again: "
            + ", ".join(f"{n} {kind}" for kind, n in causes.most_common())
        )
        if profile:
            only = {run.spec.run_id for run in cleared.runs}
            for of_scale in dict.fromkeys(run.spec.scale for run in cleared.runs):
                of_grids = [(grid, Demand(specs)) for grid, at, specs in asked if at == of_scale]
                with told():
                    order = order_of(of_grids, of_scale, profile, **choices)
                start(of_grids, order, store, only=only)
        else:
            _advise(cleared.runs, store)
    if cleared.kept:
        raise typer.Exit(1)


def _advise(runs: Sequence[RunStatus], store: Path) -> None:
    """Say how to start runs again."""
    where = "" if store == Path("runs") else f" --store {store}"
    profiles = {(run.spec.grid, run.spec.scale): run.files.record for run in runs}
    for (name, scale), record in profiles.items():
        if record:
            say(f"next: ablate submit {name} --scale {scale} --profile {record.profile}{where}")
        else:
            say(f"next: ablate run {name} --scale {scale}{where}    (on a cluster: ablate submit)")


def cancel(grids: Names, *, scale: Scale, store: StoreDir = Path("runs")) -> None:
    """Take runs out of SLURM's queue and stop those that run; what they have done so far stays.

    A run that another grid under way asks for goes on. Exit code 1 if a job is not known to have ended.
    """
    of_store = Store(store)
    with told():
        asked = demand_all(grids, scale, None, store, problems_of(store))
        specs, names = [spec for _, of_grid in asked for spec in of_grid.runs], [grid.name for grid, _ in asked]
        found = survey(specs, of_store, time.time())
        todo = cancelling.plan(found.runs, names, scale, of_store)
        run_ids = [*todo.forgotten, *itertools.chain.from_iterable(todo.jobs.values())]
        records = (store / SUBMISSIONS).glob("*") if run_ids else ()
        sharing.check(store, [*map(of_store.run_dir, run_ids), *records])
    tell_left(todo.kept)
    if not (todo.jobs or todo.forgotten or todo.kept):
        say(f"nothing to cancel: no run of {', '.join(names)} at scale {scale} is in SLURM's queue")
    if todo.jobs:
        say(f"{sum(map(len, todo.jobs.values()))} runs to cancel; looking for their jobs, and waiting for these to end")
    done = cancelling.cancel(todo, of_store)
    if done.runs:
        say(f"{len(done.runs)} runs are out of the queue; ablate submit takes them up again")
    tell_left(done.lingering)
    if done.lingering:
        raise typer.Exit(1)


def prune(
    grids: MaybeNames = None,
    *,
    scale: MaybeScale = None,
    store: StoreDir = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show.")] = False,
) -> None:
    """Delete what finished runs no longer need: checkpoints, logs of their jobs, temporary files.

    A checkpoint stays as long as any grid lacks an evaluation of it. Nothing of an unfinished run is touched.
    """
    with told():
        every = _every_run(grids or [], Store(store))
        chosen = {spec.run_id for _, _, specs in runs_of_store(grids, scale, store, None) for spec in specs}
        found = pruning.plan(Store(store), every, chosen if grids or scale else None)
    for note in found.notes:
        say(note)
    if not found.items:
        say(f"nothing to delete in {store}")
        return
    rows = table("what", "number", "size", "such as")
    for kind in dict.fromkeys(item.kind for item in found.items):
        of_kind = [item for item in found.items if item.kind == kind]
        size = pruning.size_text(sum(item.size for item in of_kind))
        rows.add_row(kind, str(len(of_kind)), size, str(of_kind[0].path.relative_to(store)))
    out.print(rows)
    whole = pruning.size_text(sum(item.size for item in found.items))
    if yes:
        with told():
            sharing.check(store, {item.path.parent for item in found.items})
            pruning.delete(found.items)
        say(f"deleted {whole}")
    else:
        say(f"--yes deletes these {whole}; without a checkpoint, a run cannot be exported or evaluated in a new way")


def _every_run(named: Iterable[str], store: Store) -> list[RunSpec]:
    """The runs of all grids there are, and of those named by path, at every scale.

    Raises UserError if a grid cannot be read: it may need a checkpoint.
    """
    names = dict.fromkeys([*named, *map(str, find_grids().values())])
    loaded = [grid for name in names for grid in load_all([name])]  # two files may have one name
    return [
        spec
        for grid in loaded
        for scale in grid.scales
        for spec in (*demand(grid, scale, store).runs, *(expand(grid, scale) if grid.tune else ()))  # any may be chosen
    ]
