"""Who may submit a run: a claim for the queue, beside the claim of the process that works on it."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.scheduler.holders import held
from ablations.scheduler.jobs import Answer, ask
from ablations.scheduler.place import user_name
from ablations.slurm import submissions
from ablations.store import queued
from ablations.store.file_clock import FileClock
from ablations.store.folder import Store
from ablations.store.processes import is_gone, this_process
from ablations.store.queued import RECORD
from simclr_core.records import read_json, write_json

SUBMITTING_S = 60.0
"""A claim without a job for longer than this belongs to a submitter that may have died."""

SUBMITTING_ELSEWHERE_S = 600.0
"""The same where the submitter's host cannot be asked: longer than any submission takes."""

Jobs = Mapping[str, tuple[str, int | None]]
"""Run id -> job and array index."""


def enqueue(run_dir: Path, submission: str, profile: str, partition: str | None) -> bool:
    """Claim a run for a submission, which has no job yet; False if another submission has it.

    The claim appears whole or not at all, as that of ``Store.claim``.
    """
    prepared = run_dir / f".queued-{uuid.uuid4().hex}"
    record: dict[str, Any] = {
        "submission": submission,
        "job_id": None,
        "array_index": None,
        **this_process(),
        "user": user_name(),
        "time": time.time(),
        "profile": profile,
        "partition": partition,
    }
    write_json(prepared / RECORD.name, record)
    try:
        prepared.rename(run_dir / RECORD.parent)
    except OSError:
        shutil.rmtree(prepared)
        return False
    return True


def name_job(run_dir: Path, submission: str, job_id: str, array_index: int | None) -> bool:
    """Write a job into the claim of a submission; False if the submission no longer has the run."""
    try:
        record = read_json(run_dir / RECORD)
    except (OSError, ValueError):
        return False
    if record["submission"] != submission:
        return False
    if (record["job_id"], record["array_index"]) != (job_id, array_index):
        write_json(run_dir / RECORD, record | {"job_id": job_id, "array_index": array_index})
    return True


def dequeue(run_dir: Path, submission: str) -> None:
    """Remove the claim of a submission; another's stays."""
    found = queued.read(run_dir)
    if found and found.submission == submission:
        for aside in run_dir.glob(".dequeued-*"):
            shutil.rmtree(aside, ignore_errors=True)
        queued.remove(run_dir)


def sift(
    run_dirs: Iterable[Path],
    jobs_of: Callable[[str], Jobs],
    scheduler: Callable[[Iterable[str]], Answer] = ask,
) -> tuple[list[Path], list[Path]]:
    """Those of ``run_dirs`` that are queued, and those whose claim for the queue no job stands behind any more.

    ``jobs_of`` tells what a submission has written down of its jobs: a submitter may have died before it wrote them
    into the claims. Where the scheduler does not answer, every claim that names a job counts.
    """
    claims = {run_dir: found for run_dir in run_dirs if (found := _with_job(run_dir, jobs_of))}
    answer = scheduler([claim["job_id"] for claim in claims.values() if claim["job_id"]])
    gone = [
        run_dir
        for run_dir, claim in claims.items()
        if (_is_abandoned(run_dir, claim) if claim["job_id"] is None else _is_gone(run_dir, claim, answer))
    ]
    return [run_dir for run_dir in claims if run_dir not in gone], gone


def drop(run_dir: Path) -> None:
    """Put aside a claim that ``sift`` has found gone; of several takers one alone succeeds."""
    found = queued.read(run_dir)
    with suppress(OSError):  # the name that it gets stays taken until the run leaves the queue
        (run_dir / RECORD.parent).rename(run_dir / f".dequeued-{found.submission if found else 'unknown'}")


def _with_job(run_dir: Path, jobs_of: Callable[[str], Jobs]) -> dict[str, Any] | None:
    try:
        claim: dict[str, Any] = read_json(run_dir / RECORD)
    except (OSError, ValueError):
        return None
    if claim["job_id"] is None and run_dir.name in (known := jobs_of(claim["submission"])):
        claim["job_id"], claim["array_index"] = known[run_dir.name]
    return claim


def _is_gone(run_dir: Path, claim: Mapping[str, Any], answer: Answer) -> bool:
    """The scheduler says that the job has ended, or knows it no more."""
    index, submission = claim["array_index"], claim["submission"]
    name = claim["job_id"] if index is None else f"{claim['job_id']}_{index}"
    answer = submissions.concerning(answer, name, submission, submissions.read(Store(run_dir.parent), submission))
    return not held(name, answer)


def _is_abandoned(run_dir: Path, claim: Mapping[str, Any]) -> bool:
    """Its submitter died before it had a job, or so it seems."""
    gone = is_gone(claim)
    if gone is False:
        return False
    try:
        age_s = FileClock(run_dir).now() - (run_dir / RECORD).stat().st_mtime
    except OSError:  # it has left the queue just now
        return False
    return bool(age_s > (SUBMITTING_S if gone else SUBMITTING_ELSEWHERE_S))
