"""Claims for the queue: one submission has a run, and a claim that nothing stands behind is found out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ablations.scheduler.jobs import Answer, Job
from ablations.slurm.queue import dequeue, drop, enqueue, name_job, sift
from ablations.store import queued
from ablations.store.folder import Owner, Store
from simclr_core.records import read_json, write_json


def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def no_jobs(_submission: str) -> dict[str, tuple[str, int | None]]:
    return {}


def says(end: float | None = None, **jobs: str) -> object:
    """A scheduler that knows these jobs, ``_120_5="RUNNING"``, which ended at ``end``."""

    def ask(_job_ids: Iterable[str]) -> Answer:
        return Answer({name.removeprefix("_"): Job(state, end=end) for name, state in jobs.items()}, queue=True)

    return ask


def test_one_submission_has_a_run(tmp_path: Path) -> None:
    assert enqueue(tmp_path, "first", "profile", "gpu")
    assert not enqueue(tmp_path, "second", "profile", None)
    assert not name_job(tmp_path, "second", "7", None)
    assert name_job(tmp_path, "first", "7", 3)
    record = queued.read(tmp_path)
    assert record
    assert (record.submission, record.job_name, record.profile, record.partition) == ("first", "7_3", "profile", "gpu")
    dequeue(tmp_path, "second")
    assert queued.read(tmp_path) == record
    dequeue(tmp_path, "first")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "ended_s_ago", "is_gone"),
    [
        ("RUNNING", None, False),
        ("PENDING", None, False),
        ("FAILED", 1, True),
        # the queue may hold it again in a moment, and does no more after a minute: the rule of ``status``
        ("PREEMPTED", 5, False),
        ("PREEMPTED", 65, True),
        ("NODE_FAIL", 5, False),
        ("NODE_FAIL", 65, True),
    ],
)
def test_a_claim_is_as_alive_as_its_job(tmp_path: Path, state: str, ended_s_ago: float | None, is_gone: bool) -> None:
    enqueue(tmp_path, "first", "profile", None)
    name_job(tmp_path, "first", "7", 3)
    end = None if ended_s_ago is None else time.time() - ended_s_ago
    assert sift([tmp_path], no_jobs, says(end, _7_3=state)) == (([], [tmp_path]) if is_gone else ([tmp_path], []))


def test_a_job_that_the_scheduler_knows_no_more_is_gone_and_silence_is_no_answer(tmp_path: Path) -> None:
    enqueue(tmp_path, "first", "profile", None)
    name_job(tmp_path, "first", "7", None)
    assert sift([tmp_path], no_jobs, says()) == ([], [tmp_path])
    assert sift([tmp_path], no_jobs, lambda _: Answer()) == ([tmp_path], [])


@pytest.mark.parametrize("clock_s", [0, 7200, -7200])
@pytest.mark.parametrize(
    ("lives", "host", "age_s", "is_gone"),
    [
        (True, None, 3600, False),
        (False, None, 50, False),
        (False, None, 70, True),
        (False, "another", 70, False),
        (False, "another", 700, True),
    ],
)
def test_a_claim_without_a_job_is_as_alive_as_its_submitter(
    tmp_path: Path, lives: bool, host: str | None, age_s: float, is_gone: bool, clock_s: float
) -> None:
    """Whatever the clock of the submitter said: the age is that of the file."""
    enqueue(tmp_path, "first", "profile", None)
    path = tmp_path / queued.RECORD
    record = read_json(path)
    pid = os.getpid() if lives else dead_pid()
    write_json(path, record | {"pid": pid, "host": host or record["host"], "time": record["time"] - clock_s})
    os.utime(path, (record["time"] - age_s,) * 2)
    assert sift([tmp_path], no_jobs, says())[1] == ([tmp_path] if is_gone else [])


def test_what_a_dead_submitter_wrote_of_its_jobs_counts(tmp_path: Path) -> None:
    enqueue(tmp_path, "first", "profile", None)
    path = tmp_path / queued.RECORD
    write_json(path, read_json(path) | {"pid": dead_pid(), "time": 0.0})
    known = {tmp_path.name: ("7", 3)}
    assert sift([tmp_path], {"first": known}.__getitem__, says(_7_3="PENDING")) == ([tmp_path], [])


def test_of_two_takers_of_a_claim_one_alone_submits(tmp_path: Path) -> None:
    enqueue(tmp_path, "first", "profile", None)
    drop(tmp_path)
    assert enqueue(tmp_path, "second", "profile", None)
    # the slower taker still believes to see the first claim
    write_json(tmp_path / "copy" / "job.json", read_json(tmp_path / queued.RECORD) | {"submission": "first"})
    (tmp_path / "queued").rename(tmp_path / "of_second")
    (tmp_path / "copy").rename(tmp_path / "queued")
    drop(tmp_path)
    assert (tmp_path / "queued").exists()


def test_a_job_takes_over_what_its_own_earlier_start_has_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    for name, value in (("SLURM_JOB_ID", "9"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "3")):
        monkeypatch.setenv(name, value)
    first = store.claim("run")
    assert first
    path = tmp_path / "run" / "claim" / "owner.json"
    assert (first.job, first.restart) == ("7_3", 0)
    write_json(path, vars(first) | {"host": "another node"})
    assert store.claim("run") is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert store.claim("run") is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    second = store.claim("run")
    assert second
    assert second.restart == 1
    assert Owner(**read_json(path)) == second
