"""From runs to SLURM jobs, through submitit.

Every run is first claimed for the queue, then submitted, then told its job. Whatever ends a submission on the way
leaves claims that the next one recognises, and jobs that find their runs by themselves.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.local import pool
from ablations.scheduler.jobs import cluster_in, settings
from ablations.slurm import additions, gpus, queue, runs_file
from ablations.slurm import source as code_of
from ablations.slurm.profiles import Profile
from ablations.slurm.resources import Batch, batches, check_pack, share
from ablations.slurm.sbatch import name_of, script
from ablations.slurm.send import Sent, send
from ablations.slurm.source import Code
from ablations.slurm.submissions import RECORD, asked_for, is_on_file
from ablations.slurm.task import Task
from ablations.slurm.variables import as_a_user_means_them
from ablations.store import queued
from ablations.store.folder import State, Store
from ablations.store.job_logs import SUBMISSIONS
from ablations.study.spec import RunSpec
from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import RuntimeConfig, user_path
from simclr_core.records import read_json, write_json, write_text

MAX_ARRAY_SIZE = 1001
"""SLURM's own default: where there is no SLURM to ask, as for a dry run elsewhere."""


@dataclass(frozen=True)
class Order:
    """What a user asks for."""

    grids: Mapping[str, Collection[str]]  # by name: all their runs
    scale: str
    profile: Profile
    pack: int = 1  # runs of a task
    max_parallel: int | None = None  # tasks at a time
    max_attempts: int = 5
    data_dir: Path = Path("data")
    cache_dir: Path | None = None  # None: of the user on the node
    allow_dirty: bool = False
    snapshot: bool = False


@dataclass
class Sorted:
    """The runs of grids by what is to be done."""

    todo: list[RunSpec] = field(default_factory=list)
    queued: list[RunSpec] = field(default_factory=list)
    running: list[RunSpec] = field(default_factory=list)  # by processes that are in no queue
    done: list[RunSpec] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)  # claims for the queue that nothing stands behind
    left: dict[str, str] = field(default_factory=dict)  # run id -> why it is left alone, though no sign of life comes


@dataclass
class Submitted:
    """What became of an order."""

    id: str = ""
    job_ids: list[str] = field(default_factory=list)
    num_runs: int = 0
    num_tasks: int = 0
    taken: int = 0  # runs that another submission took at the same moment
    added: int = 0  # runs of other submissions that were asked for more evaluations
    problems: list[str] = field(default_factory=list)  # why some were not submitted


def sort_runs(specs: Sequence[RunSpec], store: Store) -> Sorted:
    """What is to be submitted, and what is done or under way."""
    found = Sorted()
    by_dir = {store.run_dir(spec.run_id): spec for spec in specs}
    states = {run_dir: store.state(spec) for run_dir, spec in by_dir.items()}
    claimed = [run_dir for run_dir, state in states.items() if state is not State.DONE and _is_queued(run_dir)]
    still, found.gone = queue.sift(claimed, functools.cache(functools.partial(_jobs_of, store)))
    silent = {spec.run_id: states[run_dir] for run_dir, spec in by_dir.items() if run_dir not in still}
    found.left = pool.left_alone(silent, store)
    for run_dir, spec in by_dir.items():
        if spec.run_id in found.left:
            continue
        if states[run_dir] is State.DONE:
            found.done.append(spec)
        elif run_dir in still:
            found.queued.append(spec)
        elif states[run_dir] is State.RUNNING and run_dir not in found.gone:
            found.running.append(spec)
        else:
            found.todo.append(spec)
    return found


def _is_queued(run_dir: Path) -> bool:
    return (run_dir / queued.RECORD).exists()


def _jobs_of(store: Store, submission: str) -> Mapping[str, tuple[str, int | None]]:
    """Which job brings which run, as the submission has written down."""
    try:
        jobs = read_json(store.root / SUBMISSIONS / submission / RECORD)["jobs"]
    except (OSError, ValueError, KeyError):
        return {}
    return {run_id: place for job in jobs for run_id, place in _places(job["job_id"], job["run_ids"])}


def _places(job_id: str, run_ids: Sequence[Sequence[str]]) -> Iterator[tuple[str, tuple[str, int | None]]]:
    for index, of_task in enumerate(run_ids):
        for run_id in of_task:
            yield run_id, (job_id, index if len(run_ids) > 1 else None)


def check(order: Order, store: Store, code: Code) -> None:
    """Raise UserError with all that forbids the order, whatever runs it is for."""
    problems: list[str] = []
    root = str(store.root.resolve())
    if found := re.search(r"[%\\\x00-\x1f\x7f]", root):
        problems.append(f"--store {root}: SLURM reads {found[0]!r} in the names of logs as something else")
    if code.problem and (order.snapshot or not order.allow_dirty):
        unknown = f"{code.root}: git does not say whether the code differs from its commit: {code.problem}"
        problems.append(f"{unknown}; --allow-dirty without --snapshot goes on, and notes with every run what git says")
    if code.changes and not order.allow_dirty:
        shown = "".join(f"\n    {line}" for line in code.changes[:10])
        more = f"\n    and {len(code.changes) - 10} more" if len(code.changes) > 10 else ""
        problems.append(
            f"{code.repository} differs from its commit: commit, or keep the difference by --allow-dirty{shown}{more}"
        )
    for folder in (order.data_dir, order.cache_dir or Path()):
        try:
            user_path(folder)
        except ConfigError as error:
            problems += error.problems
    try:
        check_pack(order.profile, order.pack)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)


def dry_run(
    order: Order, specs: Sequence[RunSpec], core_s: Mapping[str, float | None], store: Store, code: Code
) -> list[tuple[Batch, str]]:
    """The job arrays, each with its script; nothing is changed."""
    folder = store.root.resolve() / SUBMISSIONS / "SUBMISSION"
    arrays = batches(specs, core_s, order.profile, order.pack, max_array_size(), order.max_parallel)
    return [(batch, script(order.profile, batch, code, folder)) for batch in arrays]


def submit(order: Order, runs: Sorted, core_s: Mapping[str, float | None], store: Store, code: Code) -> Submitted:
    """Claim the runs for the queue and submit them; those that are queued already are noted as asked for.

    Runs that sbatch refuses leave the queue again; ``problems`` has its words. Raises UserError before anything is
    claimed where an order cannot be fulfilled.
    """
    if not runs.todo:
        join(order, store, code)
        return Submitted(added=additions.ask(runs.queued, store))
    limit = max_array_size()
    batches(runs.todo, core_s, order.profile, order.pack, limit)  # what it refuses, it refuses now
    record = _record(order, code)
    name = record["id"]
    folder = store.root.resolve() / SUBMISSIONS / name
    write_json(folder / RECORD, record)
    runs_file.write(folder, runs.todo)
    code = _kept(code, folder, order)
    done = Submitted(name)
    for run_dir in runs.gone:
        queue.drop(run_dir)
    claimed: list[RunSpec] = []
    taken: list[RunSpec] = []
    for spec in runs.todo:
        run_dir, profile = store.run_dir(spec.run_id), order.profile
        (claimed if queue.enqueue(run_dir, name, profile.name, profile.partition) else taken).append(spec)
    done.taken = len(taken)
    done.added = additions.ask([*runs.queued, *taken], store)
    waiting = {spec.run_id for spec in claimed}
    record["asked"] = asked_for(order.grids, store)
    record["cluster"] = cluster_in(settings())
    record["brings"] = {grid: [s.run_id for s in claimed if s.grid == grid] for grid in {s.grid for s in claimed}}
    write_json(folder / RECORD, record)
    try:
        for batch in batches(claimed, core_s, order.profile, order.pack, limit, order.max_parallel):
            try:
                sent = _submit_batch(order, batch, code, folder, store)
            except UserError as error:
                done.problems += error.problems
                break
            run_ids = [[spec.run_id for spec in task] for task in batch.tasks]
            record["jobs"].append({"job_id": sent.job_id, "run_ids": run_ids})
            record["cluster"] = sent.cluster or record["cluster"]
            write_json(folder / RECORD, record)
            for run_id, place in _places(sent.job_id, run_ids):
                queue.name_job(store.run_dir(run_id), name, *place)
                waiting.discard(run_id)
            done.job_ids.append(sent.job_id)
            done.num_runs += sum(len(task) for task in batch.tasks)
            done.num_tasks += len(batch.tasks)
    finally:
        for run_id in waiting:
            queue.dequeue(store.run_dir(run_id), name)
        if not record["jobs"] and not waiting:  # others were faster with all of them
            shutil.rmtree(folder)
            join(order, store, code)
    return done


def join(order: Order, store: Store, code: Code) -> None:
    """Write down that grids wait for runs which other submissions bring, so that nobody cancels these for himself."""
    asked = asked_for(order.grids, store)
    if not is_on_file(asked, order.scale, store):
        record = _record(order, code) | {"asked": asked}
        write_json(store.root / SUBMISSIONS / record["id"] / RECORD, record)


def _record(order: Order, code: Code) -> dict[str, Any]:
    return {
        "id": time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6],
        "time": time.time(),
        "scale": order.scale,
        "profile": {"name": order.profile.name, **order.profile.content},
        "commit": code.commit,
        "dirty": None if code.problem else bool(code.changes),
        **({"git_error": code.problem} if code.problem else {}),
        "user_id": str(os.getuid()),
        "cluster": "",
        "brings": {},
        "asked": {},
        "jobs": [],
    }


def _kept(code: Code, folder: Path, order: Order) -> Code:
    """Keep what the runs will be of: the difference from the commit, and a copy if one is asked for."""
    patch = None
    if code.changes:
        patch = folder / "diff.patch"
        write_text(patch, code_of.diff(code))
    return code_of.snapshot(code, folder / "code", patch) if order.snapshot else code


def _submit_batch(order: Order, batch: Batch, code: Code, folder: Path, store: Store) -> Sent:
    """Submit one array. Raises UserError with sbatch's words if it is refused."""
    shares = share(order.profile, order.pack)
    runtime = RuntimeConfig(
        device="cuda" if gpus.asked_for(order.profile) else "cpu",
        num_threads=shares.num_threads,
        data_dir=str(user_path(order.data_dir).resolve()),
        cache_dir="" if order.cache_dir is None else str(user_path(order.cache_dir).resolve()),
        store=str(store.root.resolve()),
    )
    tasks = [
        Task(
            str(folder),
            tuple(spec.run_id for spec in task),
            runtime,
            shares.num_workers,
            order.max_attempts,
            pool.EXECUTE,
        )
        for task in batch.tasks
    ]
    text = script(order.profile, batch, code, folder)
    with as_a_user_means_them(text):
        return send(tasks, batch.time_min, text, name_of(batch, folder.name), folder)


def max_array_size() -> int:
    """How many elements an array may have here."""
    found = re.search(r"(?m)^MaxArraySize\s*=\s*(\d+)", settings())
    return max(1, int(found[1])) if found else MAX_ARRAY_SIZE
