"""The store: states derived from files, and claims that only one process gets."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations import provenance
from ablations.errors import UserError
from ablations.grid import expand, load_grid
from ablations.spec import RunSpec
from ablations.store import STALE_AFTER_S, Owner, RunFacts, State, Store, state
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
