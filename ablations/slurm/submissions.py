"""What submissions left in ``<store>/.submissions``: which job ran which runs, and where it wrote its output."""

from __future__ import annotations

import pwd
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablations.scheduler.jobs import Answer
from ablations.store import queued
from ablations.store.folder import Store
from ablations.store.job_logs import SUBMISSIONS
from ablations.store.queued import Queued
from simclr_core.records import read_json, write_json

RECORD = "submission.json"
_LONGEST_WORD = 60  # accounting keeps 255 letters of a job's name


Asked = Mapping[str, Mapping[str, Sequence[str]]]
"""Grid -> submission that brings them -> runs: what a grid waited for, of its own and of others, when submitted."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job, or an array of them."""

    job_id: str
    run_ids: tuple[tuple[str, ...], ...]  # per array index; one entry for a job that is no array


@dataclass(frozen=True)
class Submission:
    """One ``ablate submit``; without jobs, it found all in the queue that it would have submitted."""

    folder: Path
    time: float  # unix seconds
    scale: str
    jobs: tuple[SubmittedJob, ...]
    asked: Asked = field(default_factory=dict)
    cluster: str = ""  # that has its jobs; "" where this was not written down
    user_id: str = ""  # of who submitted; "" where this was not written down
    brings: Mapping[str, Sequence[str]] = field(default_factory=dict)  # grid -> runs that it submitted

    @property
    def run_ids(self) -> set[str]:
        """Every run that it brought."""
        return {run_id for job in self.jobs for runs in job.run_ids for run_id in runs}


def read_all(store: Store) -> list[Submission]:
    """The submissions to a store, oldest first; what cannot be read is left out."""
    names = sorted(path.parent.name for path in (store.root / SUBMISSIONS).glob(f"*/{RECORD}"))
    found = [submission for name in names if (submission := read(store, name))]
    return sorted(found, key=lambda submission: submission.time)


def read(store: Store, name: str) -> Submission | None:
    """One submission to a store; None where it cannot be read."""
    folder = store.root / SUBMISSIONS / name
    try:
        content = read_json(folder / RECORD)
        jobs = tuple(
            SubmittedJob(job["job_id"], tuple(tuple(runs) for runs in job["run_ids"])) for job in content["jobs"]
        )
        kept = {key: content[key] for key in ("asked", "cluster", "user_id", "brings") if key in content}
        return Submission(folder, float(content["time"]), str(content["scale"]), jobs, **kept)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def job_name(grids: Sequence[str], scale: str, submission: str) -> str:
    """How the jobs of a submission are called: ``simclr_fig5.demo.ID``; of three grids ``simclr_fig5+2.demo.ID``."""
    more = f"+{len(grids) - 1}" if len(grids) > 1 else ""
    words = (grids[0][:_LONGEST_WORD] + more, scale[:_LONGEST_WORD])
    return ".".join([*(re.sub(r"[^\w+-]", "_", word, flags=re.ASCII) for word in words), submission])


def concerning(answer: Answer, job: str, submission: str, made: Submission | None) -> Answer:
    """``answer`` as far as it is about a job that a submission made.

    A number is another job's on another cluster, and on the same one where it was misread. On another cluster nobody
    has answered for the job; of one that does not have the submission in its name, SLURM does not know it.
    ``made``: what the submission left, if anything.
    """
    if made and made.cluster and answer.cluster and made.cluster != answer.cluster:
        return Answer(not_ours=f"job {job} is in the queue of cluster {made.cluster}, and this is {answer.cluster}")
    found = answer.job(job)
    if not found or not found.name or found.name.rpartition(".")[2] == submission:
        return answer
    of_user = f" of user {_user(found.user_id)}" if found.user_id else ""
    others = {name: other for name, other in answer.jobs.items() if other is not found}
    why = f"job {job} is {found.name!r}{of_user}, none of submission {submission}"
    return replace(answer, jobs=others, not_ours=why)


def _user(user_id: str) -> str:
    try:
        return pwd.getpwuid(int(user_id)).pw_name
    except (KeyError, ValueError):
        return user_id


def asked_for(grids: Mapping[str, Collection[str]], store: Store) -> dict[str, dict[str, list[str]]]:
    """What grids, given with their runs, wait for as the queue stands now."""
    found: dict[str, dict[str, list[str]]] = {}
    for grid, run_ids in grids.items():
        for run_id in run_ids:
            if record := queued.read(store.run_dir(run_id)):
                found.setdefault(grid, {}).setdefault(record.submission, []).append(run_id)
    return found


def is_on_file(asked: Asked, scale: str, store: Store) -> bool:
    """Whether earlier submissions at a scale have written down all of ``asked``."""
    known = {
        (grid, brings, run_id)
        for each in read_all(store)
        if each.scale == scale
        for grid, brings, run_id in _triples(each.asked)
    }
    return known.issuperset(_triples(asked))


def wanted(store: Store, records: Mapping[str, Queued], but_for: Collection[str], scale: str) -> dict[str, str]:
    """Run id -> a grid at its scale that waits for the run, of those in the queue now, by what brings it now.

    Grids ``but_for`` at ``scale`` are left out.
    """
    found: dict[str, str] = {}
    for each in read_all(store):
        for grid, brings, run_id in _triples(each.asked):
            is_other = grid not in but_for or each.scale != scale
            if is_other and run_id in records and records[run_id].submission == brings:
                found[run_id] = f"{grid} at scale {each.scale}"
    return found


def withdraw(grids: Collection[str], scale: str, store: Store) -> None:
    """Note that grids no longer wait for anything: they were cancelled."""
    for each in read_all(store):
        if each.scale == scale and not each.asked.keys().isdisjoint(grids):
            path = each.folder / RECORD
            left = {grid: asked for grid, asked in each.asked.items() if grid not in grids}
            write_json(path, read_json(path) | {"asked": left})


def _triples(asked: Asked) -> Iterator[tuple[str, str, str]]:
    for grid, by_submission in asked.items():
        for submission, run_ids in by_submission.items():
            for run_id in run_ids:
                yield grid, submission, run_id
