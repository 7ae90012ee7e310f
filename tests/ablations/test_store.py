"""The store: states derived from files, and claims that only one process gets."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.errors import UserError
from ablations.local import job
from ablations.local.pool import unfinished
from ablations.scheduler.holders import holders
from ablations.scheduler.jobs import Answer, Job
from ablations.slurm.submit import sort_runs
from ablations.store import processes, provenance
from ablations.store.folder import STALE_AFTER_S, Owner, RunFacts, State, Store, state
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import Progress
from simclr_core.records import read_json, write_json

NOW = 1e9
BOTH = frozenset({"linear-1", "knn-1"})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (RunFacts(), State.PLANNED),
        (RunFacts(has_result=True), State.PLANNED),
        (RunFacts(has_result=True, evaluations=frozenset({"linear-1"})), State.PLANNED),
        (RunFacts(evaluations=BOTH), State.PLANNED),
        (RunFacts(has_result=True, evaluations=BOTH), State.DONE),
        (RunFacts(has_result=True, evaluations=BOTH | {"other-1"}, has_error=True), State.DONE),
        (RunFacts(has_error=True), State.FAILED),
        (RunFacts(has_result=True, has_error=True), State.FAILED),
        (RunFacts(claimed=True, last_sign_of_life=NOW - 60, read_time=NOW), State.RUNNING),
        (
            RunFacts(claimed=True, last_sign_of_life=NOW - 60, read_time=NOW, has_result=True, has_error=True),
            State.RUNNING,
        ),
        (RunFacts(claimed=True, last_sign_of_life=NOW - STALE_AFTER_S - 1, read_time=NOW), State.STALE),
        (RunFacts(claimed=True, last_sign_of_life=NOW, read_time=NOW, owner_is_dead=True), State.STALE),
        (RunFacts(claimed=True, last_sign_of_life=0, read_time=NOW, owner_is_dead=False), State.RUNNING),
        (RunFacts(claimed=True, last_sign_of_life=0, read_time=NOW, has_result=True, evaluations=BOTH), State.DONE),
    ],
)
def test_state_is_a_function_of_facts(facts: RunFacts, expected: State) -> None:
    assert state(facts, ("linear-1", "knn-1")) is expected


@pytest.fixture
def spec(write_grid: WriteGrid) -> RunSpec:
    return expand(load_grid(str(write_grid())), "demo")[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def finish(spec: RunSpec, store: Store) -> Path:
    folder = store.run_dir(spec.run_id)
    write_records(spec.config, list(spec.evaluations), folder)
    return folder


def dead_pid() -> int:
    """The process id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_is_done_when_its_result_and_all_its_evaluations_are_there(spec: RunSpec, store: Store) -> None:
    assert store.state(spec) is State.PLANNED
    folder = finish(spec, store)
    assert store.state(spec) is State.DONE
    (folder / "evals" / f"{spec.eval_ids[1]}.json").unlink()
    assert store.state(spec) is State.PLANNED


@pytest.mark.parametrize("torn", ["", '{"schema_version": 1, "outco', "[]", "\x00\x00"])
@pytest.mark.parametrize("which", ["result", "evaluation", "spec"])
def test_torn_files_count_as_missing_and_are_told(spec: RunSpec, store: Store, which: str, torn: str) -> None:
    folder = finish(spec, store)
    name = f"evals/{spec.eval_ids[0]}.json" if which == "evaluation" else f"{which}.json"
    (folder / name).write_text(torn, encoding="utf-8")

    assert store.state(spec) is State.PLANNED
    assert store.facts(spec.run_id).torn == (name,)
    assert store.set_torn_aside(spec.run_id) == (name,)
    assert not (folder / name).exists()
    assert (folder / f"{name}.torn").read_text(encoding="utf-8") == torn
    assert store.facts(spec.run_id).torn == ()


def test_a_folder_of_another_configuration_is_an_error(spec: RunSpec, store: Store) -> None:
    folder = finish(spec, store)
    content = read_json(folder / "spec.json")
    content["config"]["training"]["epochs"] += 1
    write_json(folder / "spec.json", content)

    with pytest.raises(UserError, match=f"holds another configuration than run {spec.run_id}; move the folder away"):
        store.state(spec)


def test_a_claim_is_given_once_and_again_after_release(spec: RunSpec, store: Store) -> None:
    owner = store.claim(spec.run_id)
    assert owner is not None
    assert (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
    assert store.state(spec) is State.RUNNING
    assert store.claim(spec.run_id) is None

    store.release(spec.run_id, owner)
    assert store.state(spec) is State.PLANNED
    assert list(store.run_dir(spec.run_id).iterdir()) == []
    assert store.claim(spec.run_id) is not None


def abandon(store: Store, run_id: str, *, host: str, pid: int, age_s: float) -> Owner:
    """A claim and heartbeat as a process leaves them that ended without a word."""
    owner = Owner(host, pid, "f" * 32, time.time() - age_s)
    write_json(store.run_dir(run_id) / "claim" / "owner.json", vars(owner))
    write_json(store.run_dir(run_id) / "heartbeat.json", {"time": owner.time})
    for name in ("heartbeat.json", "claim"):
        os.utime(store.run_dir(run_id) / name, (owner.time, owner.time))
    return owner


def test_a_claim_of_a_dead_process_is_taken_over(spec: RunSpec, store: Store) -> None:
    old = abandon(store, spec.run_id, host=socket.gethostname(), pid=dead_pid(), age_s=1)
    assert store.state(spec) is State.STALE

    owner = store.claim(spec.run_id)
    assert owner is not None
    assert store.state(spec) is State.RUNNING
    store.release(spec.run_id, old)  # the old owner, should it wake up, takes nothing away
    assert store.state(spec) is State.RUNNING
    store.release(spec.run_id, owner)
    assert list(store.run_dir(spec.run_id).iterdir()) == []


def test_a_claim_of_another_machine_is_taken_over_once_its_heart_has_stopped(spec: RunSpec, store: Store) -> None:
    pid = dead_pid()
    abandon(store, spec.run_id, host="elsewhere", pid=pid, age_s=STALE_AFTER_S / 2)
    assert store.state(spec) is State.RUNNING
    assert store.claim(spec.run_id) is None

    abandon(store, spec.run_id, host="elsewhere", pid=pid, age_s=STALE_AFTER_S + 1)
    assert store.state(spec) is State.STALE
    assert store.claim(spec.run_id) is not None


def claim_each(root: Path, run_ids: list[str], together: Barrier, answer: Connection) -> None:
    """Claim the runs one after the other, each at the same moment as the other processes."""
    for run_id in run_ids:
        together.wait()
        answer.send(Store(root).claim(run_id) is not None)
    answer.recv()  # stays alive, and so holds its claims, until told


@pytest.mark.parametrize("stale", [False, True])
def test_of_processes_that_claim_at_once_one_gets_it(store: Store, *, stale: bool) -> None:
    run_ids = [f"run-{number}" for number in range(20)]
    for run_id in run_ids if stale else []:
        abandon(store, run_id, host="elsewhere", pid=1, age_s=STALE_AFTER_S + 1)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    pipes = [context.Pipe() for _ in range(3)]
    workers = [context.Process(target=claim_each, args=(store.root, run_ids, together, child)) for _, child in pipes]
    for worker in workers:
        worker.start()
    won = [sum(parent.recv() for parent, _ in pipes) for _ in run_ids]
    for parent, _ in pipes:
        parent.send("done")
    for worker in workers:
        worker.join()

    assert won == [1] * len(run_ids)


def test_provenance_has_an_entry_per_attempt(tmp_path: Path) -> None:
    assert provenance.begin(tmp_path, "python -m simclr_core", 1) == 1
    assert provenance.begin(tmp_path, "python -m simclr_core", 2) == 2
    provenance.end(tmp_path, 2, "done", 1.5)
    first, second = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))["attempts"]

    assert (first["outcome"], first["end"]) == ("lost", None)
    assert (second["outcome"], second["duration_s"], second["num_threads"]) == ("done", 1.5, 2)
    assert second["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "torchvision", "numpy"} <= second["versions"].keys()
    assert second["host"] == socket.gethostname()


def test_the_commit_is_that_of_the_code_and_not_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package inside another project's repository has no commit, whatever the working directory's."""
    package = tmp_path / "project" / "venv" / "simclr_core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "config.py").write_text("1", encoding="utf-8")
    git = ["git", "-C", str(tmp_path / "project"), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("simclr_core.__file__", str(package / "__init__.py"))
    provenance.source.cache_clear()
    installed = provenance.source()
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m"], check=True)
    provenance.source.cache_clear()
    tracked = provenance.source()
    (package / "config.py").write_text("2", encoding="utf-8")
    provenance.source.cache_clear()
    edited = provenance.source()
    provenance.source.cache_clear()

    assert (installed["commit"], installed["dirty"]) == (None, None)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert (tracked["commit"], tracked["dirty"]) == (head, False)
    assert (edited["commit"], edited["dirty"]) == (head, True)
    assert installed["sha256"] == tracked["sha256"] != edited["sha256"]


# clocks, process numbers, and jobs that say nothing


@pytest.mark.parametrize("clock_s", [-7200.0, 7200.0])
def test_no_other_machines_clock_says_whether_a_run_is_abandoned(spec: RunSpec, store: Store, clock_s: float) -> None:
    """A node two hours behind writes old times into new files, and one that is ahead new times into old files."""
    owner = abandon(store, spec.run_id, host="elsewhere", pid=1, age_s=clock_s)
    for name in ("heartbeat.json", "claim"):
        os.utime(store.run_dir(spec.run_id) / name)
    assert store.state(spec) is State.RUNNING
    assert store.claim(spec.run_id) is None

    silent = store.clock.now() - STALE_AFTER_S - 10
    for name in ("heartbeat.json", "claim"):
        os.utime(store.run_dir(spec.run_id) / name, (silent, silent))
    assert store.state(spec) is State.STALE
    taken = store.claim(spec.run_id)
    assert taken is not None
    assert taken.token != owner.token


def test_the_observers_own_clock_does_not_say_it_either(
    spec: RunSpec, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandon(store, spec.run_id, host="elsewhere", pid=1, age_s=0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    assert store.state(spec) is State.RUNNING


def test_a_process_number_that_was_given_out_again_is_another_process(spec: RunSpec, store: Store) -> None:
    owner = store.claim(spec.run_id)
    assert owner is not None
    if not owner.started:
        pytest.skip("this system does not tell when a process started")
    path = store.run_dir(spec.run_id) / "claim" / "owner.json"
    write_json(path, vars(owner) | {"started": f"{owner.started}1"})
    assert store.state(spec) is State.STALE
    write_json(path, vars(owner))
    assert store.state(spec) is State.RUNNING


def test_a_process_that_is_there_is_alive_however_long_it_is_silent(spec: RunSpec, store: Store) -> None:
    """It may have been stopped, and go on."""
    owner = store.claim(spec.run_id)
    assert owner is not None
    if not owner.started:
        pytest.skip("this system does not tell when a process started")
    os.utime(store.run_dir(spec.run_id) / "claim", (1.0, 1.0))
    assert store.state(spec) is State.RUNNING


def test_a_process_that_cannot_be_seen_from_here_is_judged_by_its_heartbeat(spec: RunSpec, store: Store) -> None:
    """Two containers of one host, each with processes of its own."""
    folder = store.run_dir(spec.run_id)
    content = {"host": socket.gethostname(), "pid": dead_pid(), "token": "t", "time": 0.0, "namespace": "pid:[1]"}
    write_json(folder / "claim" / "owner.json", content)
    assert store.state(spec) is State.RUNNING
    os.utime(folder / "claim", (1.0, 1.0))
    assert store.state(spec) is State.STALE


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer({"120_5": Job("SUSPENDED")}, queue=True), "SLURM still has its job 120_5, SUSPENDED"),
        (Answer({"120_5": Job("RUNNING")}, queue=True), "SLURM still has its job 120_5, RUNNING"),
        (Answer({"120_5": Job("PENDING")}, queue=True), "SLURM still has its job 120_5, PENDING"),
        (Answer(accounting=True), "SLURM does not answer, and may still have its job 120_5"),
        (Answer(queue=True, cluster="other"), "job 120_5 is of cluster here, and this is other"),
        (Answer(queue=True, cluster="here"), None),
        (Answer({"120_5": Job("CANCELLED")}, queue=True), None),
        (Answer(queue=True), None),
    ],
)
def test_a_silent_run_whose_job_slurm_still_has_is_left_alone(
    spec: RunSpec, store: Store, monkeypatch: pytest.MonkeyPatch, answer: Answer, why: str | None
) -> None:
    """By what starts runs here, by what submits them, and by the process that would take the claim."""
    asked: list[list[str]] = []

    def ask(job_ids: Iterable[str]) -> Answer:
        asked.append(list(job_ids))
        return answer if asked[-1] else Answer()

    monkeypatch.setattr(holders, "__defaults__", (ask,))
    owner = abandon(store, spec.run_id, host="elsewhere", pid=1, age_s=STALE_AFTER_S + 10)
    path = store.run_dir(spec.run_id) / "claim" / "owner.json"
    write_json(path, vars(owner) | {"job": "120_5", "cluster": "here"})
    os.utime(path.parent, (owner.time, owner.time))
    assert store.state(spec) is State.STALE

    expected = ([], {spec.run_id: why}) if why else ([spec], {})
    assert unfinished([spec], store) == expected
    assert asked == [["120_5"]]
    found = sort_runs([spec], store)
    assert (found.todo, found.left) == expected
    assert (store.claim(spec.run_id) is None) == bool(why)


class FullDisk:
    """``write_json`` on a disk that is full, or whose server forgot the file, for a while."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    def __call__(self, path: Path, content: object) -> None:
        self.calls += 1
        if 1 < self.calls <= 1 + self.failures:
            raise OSError(errno.ENOSPC if self.calls % 2 else errno.ESTALE, "no")
        write_json(path, content)


def test_a_heart_goes_on_beating_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(failures=3)
    monkeypatch.setattr(job, "write_json", disk)
    monkeypatch.setattr(job, "HEARTBEAT_S", 0.01)
    path = tmp_path / "heartbeat.json"
    with job.Heartbeat(tmp_path, lambda _: None) as beat:
        beat.progress(Progress("pretrain", 3, 7, 1.0))
        deadline = time.monotonic() + 30
        while disk.calls < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert read_json(path)["step"] == 3


def test_where_nothing_can_be_written_the_heartbeat_still_gets_a_new_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = job.Heartbeat(tmp_path, lambda _: None)
    with beat:
        pass
    path = tmp_path / "heartbeat.json"
    os.utime(path, (1.0, 1.0))
    monkeypatch.setattr(job, "write_json", FullDisk(failures=9))
    job.write_json(tmp_path / "other.json", {})
    beat._write()
    assert path.stat().st_mtime > 1.0


def test_a_process_that_has_ended_and_was_not_asked_how_is_gone() -> None:
    """A killed worker whose parent died too stays in the list of processes where nobody reaps it."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        record = processes.this_process() | {"pid": child.pid, "started": processes._started(child.pid)}
        assert processes.is_gone(record) is False
        child.kill()
        until = time.monotonic() + 30
        while processes.is_gone(record) is not True and time.monotonic() < until:
            time.sleep(0.01)
        assert processes.is_gone(record) is True
