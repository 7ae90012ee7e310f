"""Take runs out of the queue, and stop those that run, unless another grid that is under way asks for them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablations.scheduler.jobs import Answer, Client, ask, cannot_run, run_client
from ablations.slurm.status import RunStatus
from ablations.slurm.submissions import concerning, read, wanted, withdraw
from ablations.store import queued
from ablations.store.folder import State, Store

GONE_WITHIN_S = 60.0
"""A job that runs gets the time to leave a checkpoint, by SLURM's KillWait, 30 s as a rule."""

_LOOK_EVERY_S = 2.0


@dataclass
class Cancelling:
    """What is to be cancelled, and what is not and why."""

    grids: Sequence[str]
    scale: str
    jobs: dict[str, list[str]] = field(default_factory=dict)  # job or element -> its runs
    forgotten: list[str] = field(default_factory=list)  # runs whose job is gone already
    kept: dict[str, str] = field(default_factory=dict)  # run id -> reason


def plan(runs: Sequence[RunStatus], grids: Sequence[str], scale: str, store: Store) -> Cancelling:
    """What cancelling ``grids`` at ``scale`` comes to; ``runs`` are theirs."""
    records = {path.name: record for path in _folders(store) if (record := queued.read(path))}
    ours = {run.spec.run_id: run for run in runs if run.files.record and run.spec.run_id in records}
    of_others = wanted(store, records, grids, scale)
    found = Cancelling(grids, scale)
    for run_id, run in ours.items():
        record = records[run_id]
        if run_id in of_others:
            found.kept[run_id] = f"{of_others[run_id]} asks for it too"
        elif not record.job_name and run.state is not State.STALE:
            found.kept[run_id] = "it is being submitted just now; try again in a minute"
        elif run.state in (State.QUEUED, State.RUNNING) or (run.job and not run.job.ended) or _is_unclear(run):
            found.jobs.setdefault(record.job_name, []).append(run_id)
        else:
            found.forgotten.append(run_id)
    for name in list(found.jobs):
        others = [run_id for run_id, record in records.items() if record.job_name == name]
        if left := [run_id for run_id in others if run_id not in found.jobs[name] + found.forgotten]:
            for run_id in found.jobs.pop(name):
                job = ours[run_id].job
                if job and job.waits:  # the job, when it starts, does not find it in the queue
                    found.forgotten.append(run_id)
                else:
                    found.kept[run_id] = f"its job {name} also brings {left[0]}, which is not cancelled"
    return found


def _is_unclear(run: RunStatus) -> bool:
    """Whether its job may be under way, although SLURM says nothing of it here."""
    return bool(run.answer.not_ours) and run.state is not State.DONE


def _folders(store: Store) -> list[Path]:
    return sorted(store.root.iterdir()) if store.root.is_dir() else []


@dataclass
class Cancelled:
    """What became of it."""

    runs: list[str] = field(default_factory=list)
    lingering: dict[str, str] = field(default_factory=dict)  # run id -> why its job is not known to have ended


def cancel(
    cancelling: Cancelling, store: Store, client: Client = run_client, sleep: Callable[[float], None] = time.sleep
) -> Cancelled:
    """Cancel the jobs, wait until they are gone, and take their runs out of the books.

    A job that is not shown to be the submission's own is left alone.
    What is kept for other grids is theirs alone from now on.
    """
    done = Cancelled()
    for run_id in cancelling.forgotten:
        _forget(run_id, store)
        done.runs.append(run_id)
    left = dict(cancelling.jobs)
    answer = ask(left, client)
    for name in list(left):
        if why := _refusal(name, left[name], answer, store):
            done.lingering |= dict.fromkeys(left.pop(name), why)
    if not done.lingering:
        withdraw(cancelling.grids, cancelling.scale, store)
    said = _scancel([name for name in left if (job := answer.job(name)) and not job.ended], client)
    deadline = time.monotonic() + GONE_WITHIN_S
    while left:
        answer = ask(left, client)
        gone = [name for name in left if answer.queue and ((job := answer.job(name)) is None or job.ended)]
        for name in gone:
            for run_id in left.pop(name):
                _forget(run_id, store)
                done.runs.append(run_id)
        if not left or said or not answer.queue or time.monotonic() > deadline:
            why = said or "; ".join(answer.silence) or "its job is still ending; the same command looks again"
            done.lingering |= {run_id: why for run_ids in left.values() for run_id in run_ids}
            break
        sleep(_LOOK_EVERY_S)
    return done


def _refusal(name: str, run_ids: Sequence[str], answer: Answer, store: Store) -> str:
    """Why the job of runs is not to be cancelled: it may be somebody else's; "" if it is ours, or gone."""
    records = [record for run_id in run_ids if (record := queued.read(store.run_dir(run_id)))]
    record = next((record for record in records if record.job_name == name), None)
    if record is None:
        return "it has left the queue, or was submitted again, just now"
    made = read(store, record.submission)
    found = concerning(answer, name, record.submission, made)
    if found.not_ours:
        advice = "ablate retry --stale frees the run" if found.queue else "ablate cancel ends it there"
        return f"{found.not_ours}: not cancelled; {advice}"
    if not found.queue:
        return f"{'; '.join(answer.silence)}: not cancelled, as nobody says whose job {name} is"
    job = found.job(name)
    if job is None or job.ended:
        return ""
    if not job.name or (made and made.user_id and job.user_id != made.user_id):
        return f"job {name} is not that of the user who submitted it: not cancelled"
    return ""


def _forget(run_id: str, store: Store) -> None:
    """Remove claim and queue record of a job that has ended, in this order: without a record others take the run."""
    record = queued.read(store.run_dir(run_id))
    if record and record.job_name:
        store.release_ended(run_id, record.job_name)
    queued.remove(store.run_dir(run_id))


def _scancel(names: Sequence[str], client: Client) -> str:
    """Cancel jobs and elements of arrays, one word an array; what went wrong, or ""."""
    if not names:
        return ""
    arrays: dict[str, list[int]] = {}
    words = []
    for name in names:
        job_id, _, index = name.partition("_")
        if index:
            arrays.setdefault(job_id, []).append(int(index))
        else:
            words.append(job_id)
    words += [f"{job_id}_[{ranges(indices)}]" for job_id, indices in arrays.items()]
    try:
        printed = client(["scancel", *words])
    except subprocess.TimeoutExpired:
        return "scancel did not answer"
    except OSError as error:
        return cannot_run("scancel", error)
    if not printed.code or "Invalid job id" in printed.err:  # that one has ended by itself
        return ""
    return f"scancel failed: {(printed.err.strip().splitlines() or [f'exit code {printed.code}'])[-1]}"


def ranges(indices: Iterable[int]) -> str:
    """``[1, 4, 5, 6]`` as ``"1,4-6"``."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and index == parts[-1][-1] + 1:
            parts[-1][1:] = [index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)
