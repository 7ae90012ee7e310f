"""Where runs stand: a function of files, heartbeat, scheduler and time; and why runs fail."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records
from slurm_says import UNKNOWN_JOB, Says

from ablations.scheduler import jobs as scheduler
from ablations.scheduler.holders import holders
from ablations.scheduler.jobs import Answer, Job
from ablations.slurm import retry
from ablations.slurm.causes import cause_of
from ablations.slurm.status import GRACE_S, RunFiles, RunStatus, find_state, survey
from ablations.store.folder import STALE_AFTER_S, RunFacts, State, Store
from ablations.store.queued import RECORD, Queued
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import write_json

NOW = 1e9
RECORDED = Queued("s1", "120", 5, "login", "ada", NOW - 600, "gpu", "main")
SAYS_NOTHING = Answer(queue=False, accounting=False, silence=("squeue did not answer within 15 s",))
SAYS_QUEUE = Answer(queue=True)


def says(job: Job | None = None) -> Answer:
    return Answer({"120_5": job} if job else {}, queue=True, accounting=True)


QUEUED = RunFacts(queued=True, queued_time=NOW - 600, read_time=NOW)
CLAIMED = replace(QUEUED, claimed=True, last_sign_of_life=NOW - 10)
SILENT = replace(QUEUED, claimed=True, last_sign_of_life=NOW - STALE_AFTER_S - 1)
FAILED = replace(QUEUED, has_error=True, error_time=NOW - 5)
FAILED_BEFORE = replace(QUEUED, has_error=True, error_time=NOW - 900)
DONE = RunFacts(has_result=True, evaluations=frozenset({"knn"}), queued=True, queued_time=NOW - 600, read_time=NOW)
STARTED = Job("RUNNING", node="n1", start=NOW - 500)
STARTED_NOW = Job("RUNNING", node="n2", start=NOW - 20)

CASES = {
    # a result counts, whatever SLURM says
    "done while running": (DONE, says(STARTED), State.DONE, ""),
    "done, then cancelled": (DONE, says(Job("CANCELLED")), State.DONE, ""),
    "done, job forgotten": (DONE, says(), State.DONE, ""),
    "an evaluation is missing": (
        replace(DONE, evaluations=frozenset()),
        says(Job("COMPLETED")),
        State.FAILED,
        "no res",
    ),
    # in the queue
    "pending": (QUEUED, says(Job("PENDING", reason="Priority")), State.QUEUED, "Priority"),
    "requeued": (QUEUED, says(Job("REQUEUED")), State.QUEUED, "REQUEUED"),
    "pending again after its node died": (CLAIMED, says(Job("PENDING", reason="BeginTime")), State.QUEUED, "BeginTime"),
    "failed before, submitted again": (
        FAILED_BEFORE,
        says(Job("PENDING", reason="Priority")),
        State.QUEUED,
        "Priority",
    ),
    # on a node
    "running": (CLAIMED, says(STARTED), State.RUNNING, ""),
    "completing": (CLAIMED, says(Job("COMPLETING", start=NOW - 500)), State.RUNNING, ""),
    "started, not begun": (QUEUED, says(STARTED_NOW), State.RUNNING, "job 120_5 is RUNNING; the run has not begun"),
    "restarted, old claim": (SILENT, says(STARTED_NOW), State.RUNNING, ""),
    "running without a sign of life": (SILENT, says(STARTED), State.STALE, "but no sign of life for 5 min"),
    "suspended": (SILENT, says(Job("SUSPENDED", start=NOW - 500)), State.RUNNING, "SLURM has it suspended"),
    "its process died, not its job": (FAILED, says(STARTED), State.QUEUED, "its process died; job 120_5 tries again"),
    "failed, its job too": (FAILED, says(Job("COMPLETED", end=NOW - 1)), State.FAILED, ""),
    # ended
    "completed without a result": (QUEUED, says(Job("COMPLETED", end=NOW - 90)), State.FAILED, "its job COMPLETED"),
    "completed just now": (QUEUED, says(Job("COMPLETED", end=NOW - 5)), State.RUNNING, "has just ended"),
    "out of memory": (CLAIMED, says(Job("OUT_OF_MEMORY", "0:125")), State.FAILED, "its job OUT_OF_MEMORY"),
    "time limit": (SILENT, says(Job("TIMEOUT", "0:0")), State.FAILED, "its job TIMEOUT"),
    "cancelled": (CLAIMED, says(Job("CANCELLED", "0:15")), State.FAILED, "its job CANCELLED"),
    "node failure just now": (CLAIMED, says(Job("NODE_FAIL", end=NOW - 4)), State.QUEUED, "SLURM may put it back"),
    "node failure, not requeued": (CLAIMED, says(Job("NODE_FAIL", "1:0")), State.FAILED, "its job NODE_FAIL"),
    "failed with a word": (FAILED, says(Job("FAILED", "1:0")), State.FAILED, ""),
    # unknown to SLURM
    "submitted just now": (replace(QUEUED, queued_time=NOW - 5), says(), State.QUEUED, "less than a minute ago"),
    "unknown": (QUEUED, says(), State.STALE, "SLURM knows no job 120_5: cancelled while it waited, or forgotten since"),
    "unknown, with an error": (FAILED, says(), State.FAILED, ""),
    "unknown, claimed by it": (CLAIMED, says(), State.STALE, "SLURM knows no job 120_5"),
    "unknown, no accounting": (QUEUED, SAYS_QUEUE, State.STALE, "job 120_5 has left the queue"),
    "unknown to accounting, queue down": (QUEUED, Answer(accounting=True), State.QUEUED, "the queue does not answer"),
    "node failure, queue down": (
        CLAIMED,
        Answer({"120_5": Job("NODE_FAIL")}, accounting=True),
        State.QUEUED,
        "SLURM may put it back",
    ),
    # SLURM does not answer: the files alone
    "no answer": (QUEUED, SAYS_NOTHING, State.QUEUED, "SLURM does not answer"),
    "no answer, at work": (CLAIMED, SAYS_NOTHING, State.RUNNING, "SLURM does not answer"),
    "no answer, silent": (SILENT, SAYS_NOTHING, State.STALE, "no sign of life for 5 min"),
    "no answer, with an error": (FAILED, SAYS_NOTHING, State.FAILED, "SLURM does not answer"),
}


def by_job(facts: RunFacts) -> RunFiles:
    """A run that its job has claimed, if it is claimed."""
    return RunFiles(replace(facts, claim_job="120_5" if facts.claimed else ""), RECORDED)


@pytest.mark.parametrize("case", CASES)
def test_the_state_of_a_run_with_a_job(case: str) -> None:
    facts, answer, expected, why = CASES[case]
    verdict = find_state(by_job(facts), ("knn",), answer, NOW)

    assert verdict.state is expected
    assert (why in verdict.why) if why else not verdict.why


@pytest.mark.parametrize("answer", [says(Job("PENDING")), says(Job("CANCELLED")), says(), SAYS_QUEUE])
def test_a_run_that_somebody_else_works_on_is_running_whatever_became_of_the_job(answer: Answer) -> None:
    assert find_state(RunFiles(CLAIMED, RECORDED), ("knn",), answer, NOW).state is State.RUNNING


def test_a_run_without_a_job_is_as_its_files_say() -> None:
    assert find_state(RunFiles(RunFacts()), ("knn",), Answer(), NOW).state is State.PLANNED
    assert find_state(RunFiles(RunFacts(has_error=True)), ("knn",), Answer(), NOW).state is State.FAILED
    verdict = find_state(
        RunFiles(RunFacts(claimed=True, last_sign_of_life=NOW - 720, read_time=NOW)), ("knn",), Answer(), NOW
    )
    assert (verdict.state, verdict.why) == (State.STALE, "no sign of life for 12 min")


def test_a_run_of_a_packed_job_waits_for_its_turn() -> None:
    verdict = find_state(by_job(QUEUED), ("knn",), says(STARTED), NOW, busy=True)

    assert (verdict.state, verdict.why) == (State.QUEUED, "waits for its turn in job 120_5")


@pytest.mark.parametrize(("age_s", "expected"), [(30, State.QUEUED), (STALE_AFTER_S + 1, State.STALE)])
def test_a_submission_that_ends_before_it_has_a_job(age_s: float, expected: State) -> None:
    files = RunFiles(
        RunFacts(queued=True, queued_time=NOW - age_s, read_time=NOW), replace(RECORDED, job_id=None, array_index=None)
    )

    assert find_state(files, ("knn",), Answer(), NOW).state is expected


SRUN_ENDS = """\
srun: error: n[1-2]: tasks 0-1: Exited with exit code 1
srun: launch/slurm: _step_signal: Terminating StepId=29.0
slurmstepd: error: *** STEP 29.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***
srun: Job step aborted: Waiting up to 32 seconds for job step to finish.
srun: error: n1: task 1: Terminated
srun: Terminating StepId=29.0
"""
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n'


@pytest.mark.parametrize(
    ("job", "error", "log", "kind", "line"),
    [
        (Job("OUT_OF_MEMORY", "0:125"), "", "Killed\n", "out of memory", "Killed"),
        (
            None,
            TRACEBACK + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n",
            "",
            "out of memory",
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
        (None, TRACEBACK + "MemoryError\n", "", "out of memory", "MemoryError"),
        (None, "", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "out of memory", None),
        (Job("TIMEOUT", "0:0"), "", "", "time limit", ""),
        (
            None,
            "",
            "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***",
            "time limit",
            None,
        ),
        (None, "Job not requeued because: timed-out too many times\n", "", "time limit", None),
        (Job("CANCELLED", "0:15"), TRACEBACK + "RuntimeError: pipe\n", "", "cancelled", "RuntimeError: pipe"),
        (None, "", "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "cancelled", None),
        (Job("NODE_FAIL", "1:0"), "", "", "node failure", ""),
        (Job("PREEMPTED", "0:0"), "", "", "preempted", ""),
        (None, TRACEBACK + "ModuleNotFoundError: No module named 'timm'\n", "", "import error", None),
        (
            Job("FAILED", "1:0"),
            "",
            TRACEBACK + "ImportError: libGL.so.1: cannot open shared object file\n",
            "import error",
            None,
        ),
        (
            None,
            TRACEBACK + "simclr_core.data.decoding.DataError: no folder data/imagenet\nno folder data/stl10\n",
            "",
            "data missing",
            "simclr_core.data.decoding.DataError: no folder data/imagenet",
        ),
        (None, TRACEBACK + "FileNotFoundError: [Errno 2] No such file: 'data/x'\n", "", "data missing", None),
        (None, "data.name = 'stl10': no folder data/stl10; x\nanother\n", "", "data missing", None),
        (None, "given up after 3 attempts of submission s1, which ended: lost, lost, died\n", "", "given up", None),
        (None, "run-1: the code has changed since the submission and makes\n", "", "code changed", None),
        (None, TRACEBACK + "OSError: [Errno 28] No space left on device\n", "", "disk full", None),
        (
            None,
            "the worker process ended with signal 9 (SIGKILL); out of memory? fewer workers need less",
            "",
            "out of memory",
            None,
        ),
        (Job("FAILED", "0:9"), "", "", "killed", "SIGKILL, as the system sends when memory runs out"),
        (
            None,
            TRACEBACK + "ZeroDivisionError: seed 1\nand more\n",
            "",
            "ZeroDivisionError",
            "ZeroDivisionError: seed 1",
        ),
        # recorded: what srun and slurmstepd say of the end comes after what went wrong
        (
            Job("FAILED", "1:0"),
            "",
            f"python: command not found\n{SRUN_ENDS}",
            "unknown",
            "python: command not found",
        ),
        (
            Job("FAILED", "1:0"),
            "",
            f"data.name = 'stl10': no folder data/stl10; put it into data\n{SRUN_ENDS}",
            "data missing",
            "data.name = 'stl10': no folder data/stl10; put it into data",
        ),
        (Job("FAILED", "1:0"), "", "epoch 3\nsrun: error: n1: task 0: Segmentation fault\n", "unknown", None),
        (
            Job("FAILED", "1:0"),
            "",
            "srun: error: n1: task 0: Exited with exit code 1\n",
            "unknown",
            "srun: error: n1: task 0: Exited with exit code 1",
        ),
        (Job("COMPLETED", "0:0"), "", "", "no result", ""),
        (Job("FAILED", "3:0"), "", "", "unknown", "FAILED, exit code 3:0"),
        (None, "", "", "unknown", ""),
    ],
)
def test_why_a_run_failed(job: Job | None, error: str, log: str, kind: str, line: str | None) -> None:
    cause = cause_of(job, error, log)

    assert cause.kind == kind
    assert line is None or cause.line == line


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def submit(store: Store, spec: RunSpec, index: int, *, age_s: float = 600.0) -> Path:
    """A queue record as ``ablate submit`` leaves it, for element ``index`` of job 120."""
    folder = store.run_dir(spec.run_id)
    when = time.time() - age_s
    write_json(folder / RECORD, vars(replace(RECORDED, array_index=index, time=when)))
    os.utime(folder / RECORD, (when, when))
    return folder


def states(runs: list[RunStatus]) -> list[str]:
    return [str(run.state) for run in runs]


def test_a_survey_of_a_store(specs: list[RunSpec], store: Store) -> None:
    for index, spec in enumerate(specs[:5]):
        submit(store, spec, index)
    write_records(specs[0].config, list(specs[0].evaluations), store.run_dir(specs[0].run_id))
    log = store.root / ".submissions" / "s1" / "120_3_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("ModuleNotFoundError: No module named 'timm'\n", encoding="utf-8")
    client = Says(
        "120_1|RUNNING|None|n1|5|9\n120_2|PENDING|Resources||N/A|N/A\n",
        "120_0|CANCELLED by 0|0:0|n1|5|6\n120_3|FAILED|1:0|n1|5|6\n",
    )
    found = survey(specs, store, time.time(), lambda ids: scheduler.ask(ids, client))

    assert states(found.runs[:6]) == ["done", "running", "queued", "failed", "stale", "planned"]
    assert sorted(command[-1] for command in client.asked) == ["120", "120", "config"]
    failed = found.runs[3]
    assert failed.cause is not None
    assert (failed.cause.kind, failed.node) == ("import error", "n1")
    assert sum(found.counts().values()) == len(specs) == 10


def test_a_survey_of_local_runs_asks_nobody(specs: list[RunSpec], store: Store) -> None:
    write_records(specs[0].config, list(specs[0].evaluations), store.run_dir(specs[0].run_id))
    client = Says()
    found = survey(specs, store, time.time(), lambda ids: scheduler.ask(ids, client))

    assert states(found.runs) == ["done"] + ["planned"] * 9
    assert client.asked == []


def test_a_job_unknown_to_a_new_record_is_queued_until_the_grace_is_over(specs: list[RunSpec], store: Store) -> None:
    client = Says(UNKNOWN_JOB, "")

    def at(age_s: float) -> str:
        submit(store, specs[0], 0, age_s=age_s)
        return str(survey(specs[:1], store, time.time(), lambda ids: scheduler.ask(ids, client)).runs[0].state)

    assert (at(5), at(5 + GRACE_S)) == ("queued", "stale")


def test_a_folder_of_another_configuration_is_one_failure_and_no_end(specs: list[RunSpec], store: Store) -> None:
    folder = store.run_dir(specs[1].run_id)
    write_json(folder / "spec.json", {"run_id": "another"})
    found = survey(specs, store, time.time())

    assert states(found.runs)[:3] == ["planned", "failed", "planned"]
    assert found.runs[1].cause is not None
    assert found.runs[1].cause.kind == "another run's folder"


def test_the_time_left_follows_from_the_pace(specs: list[RunSpec]) -> None:
    spec = specs[0]
    size = spec.config.training.global_batch_size
    beat = {"phase": "pretrain", "step": 40, "num_steps": 100, "images_per_s": 2.0 * size * 3}  # 3 steps a second
    run = RunStatus(spec, State.RUNNING, "", RunFiles(RunFacts(heartbeat=beat)))

    assert run.left_s == pytest.approx(20.0)
    assert replace(run, state=State.STALE).left_s is None
    assert replace(run, files=RunFiles(RunFacts(heartbeat=beat | {"phase": "evaluate"}))).left_s is None


def test_the_reader_of_facts_is_never_behind_a_release(
    specs: list[RunSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends between the listing of its folder and the look at its claim is done, not planned."""
    spec = specs[0]
    owner = store.claim(spec.run_id)
    assert owner is not None
    listed = os.listdir

    def then_end(folder: Path) -> list[str]:
        names = listed(folder)
        if not (store.run_dir(spec.run_id) / "result.json").exists():
            write_records(spec.config, list(spec.evaluations), store.run_dir(spec.run_id))
            store.release(spec.run_id, owner)
        return names

    monkeypatch.setattr("ablations.store.folder.os.listdir", then_end)
    assert store.state(spec) is State.DONE


def test_a_queue_record_of_another_version_is_read_by_what_is_known(specs: list[RunSpec], store: Store) -> None:
    folder = submit(store, specs[0], 3)
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    write_json(folder / RECORD, content | {"account": "vision"})
    client = Says("120_3|PENDING|Priority||N/A|N/A\n", "")
    (run,) = survey(specs[:1], store, time.time(), lambda ids: scheduler.ask(ids, client)).runs

    assert (run.state, run.why) == (State.QUEUED, "Priority")


@pytest.mark.parametrize(
    ("queue", "state", "why"),
    [
        ("130|SUSPENDED|None|n1|5|9\n", State.RUNNING, "but SLURM still has its job 130, SUSPENDED"),
        ("130|PENDING|BeginTime||N/A|N/A\n", State.RUNNING, "but SLURM still has its job 130, PENDING"),
        ("", State.STALE, "no sign of life for 10 min"),
        (None, State.STALE, "no sign of life for 10 min; SLURM does not answer"),
    ],
)
def test_a_silent_claim_of_a_job_that_no_submission_has_made(
    specs: list[RunSpec],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    queue: str | None,
    state: State,
    why: str,
) -> None:
    """``ablate run`` in a script of one's own, beside a run of a submission: SLURM is asked about both."""
    submit(store, specs[1], 1)
    folder = store.run_dir(specs[0].run_id)
    write_json(folder / "claim" / "owner.json", {"host": "n1", "pid": 1, "token": "t", "time": 0.0, "job": "130"})
    silent = time.time() - 600
    os.utime(folder / "claim", (silent, silent))

    def ask(ids: Iterable[str]) -> Answer:
        wanted = list(ids)
        of_submission = Says("120_1|PENDING|Priority||N/A|N/A\n")
        return scheduler.ask(wanted, Says(queue, queue and "") if wanted == ["130"] else of_submission)

    monkeypatch.setattr(holders, "__defaults__", (ask,))
    found = survey(specs[:2], store, time.time(), ask)
    assert found.runs[0].state is state
    assert why in found.runs[0].why
    assert found.runs[1].state is State.QUEUED
    cleared = retry.clear([run for run in found.runs if run.state is State.STALE], store)
    held = {specs[0].run_id: "SLURM does not answer, and may still have its job 130"}
    assert cleared.kept == (held if queue is None else {})
    assert store.facts(specs[0].run_id).claimed == (queue != "")
