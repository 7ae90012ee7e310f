"""Submitting: every run once, whoever submits it, however often, and whatever ends a submission half-way."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ablations.collect.tables import collect
from ablations.slurm.submit import max_array_size
from ablations.store.folder import Store
from ablations.study.expand import load_grid
from simclr_core.records import read_json
from slurm.cluster import MAX_ARRAY_SIZE, Cluster, until
from slurm.conftest import Study

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]


@pytest.fixture
def ablate(tmp_path: Path) -> list[str]:
    """The command ``ablate``, with a fake trainer."""
    script = tmp_path / "run_ablate.py"
    code = """
        from ablations.commands import cli
        from ablations.local import pool
        if __name__ == "__main__":
            pool.EXECUTE = "fake_trainer:quick"
            cli.app()
    """
    script.write_text(textwrap.dedent(code), encoding="utf-8")
    return [sys.executable, str(script)]


def start(*command: str) -> subprocess.Popen[str]:
    """Start a process whose words can be read."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_an_array_gives_the_tables_that_the_local_executor_gives(
    cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer, ablate: list[str], tmp_path: Path
) -> None:
    fake_trainer("quick")
    little = study()
    printed = little.submit()
    assert re.search(r"submitted 10 runs in 10 tasks as job \d+; submission \S+", printed)
    little.wait(90)

    grids = [load_grid(str(little.grid))]
    collect(grids, "demo", little.store, tmp_path / "of_cluster")
    locally = ["run", str(little.grid), "--scale", "demo", "--store", str(tmp_path / "local")]
    subprocess.run([*ablate, *locally], check=True, capture_output=True)
    collect(grids, "demo", Store(tmp_path / "local"), tmp_path / "of_this_machine")
    ours, theirs = tmp_path / "of_cluster", tmp_path / "of_this_machine"
    for name in ("runs.csv", "curves.csv"):
        assert (ours / name).read_text() == (theirs / name).read_text(), name
    of_cluster, of_this_machine = (read_json(folder / "little.demo.json") for folder in (ours, theirs))
    assert of_cluster["declared"].pop("time") < of_this_machine["declared"].pop("time")
    assert of_cluster == of_this_machine

    (submission,) = little.store.root.glob(".submissions/*/submission.json")
    (job,) = read_json(submission)["jobs"]
    for number, spec in enumerate(little.specs):
        (attempt,) = read_json(little.run_dir(number) / "provenance.json")["attempts"]
        assert job["run_ids"][attempt["array_index"]] == [spec.run_id]
        assert (attempt["job_id"], attempt["restart_count"]) == (job["job_id"], 0)
        assert attempt["node"] in {"n1", "n2", "n3"}
        assert attempt["submission"] == submission.parent.name
    assert "0 runs to submit, 10 done" in little.submit()
    assert cluster.jobs()[f"{job['job_id']}_9"] == "COMPLETED"


@pytest.mark.usefixtures("cluster")
def test_no_more_tasks_at_a_time_than_asked_for(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("naps")
    little = study()
    little.submit("--max-parallel", "2")
    little.wait(120)

    naps = [read_json(little.run_dir(number) / "nap.json") for number in range(10)]
    most = max(sum(begin <= moment < end for begin, end in naps) for moment, _ in naps)
    assert most == 2


@pytest.mark.usefixtures("cluster")
def test_two_hundred_runs_in_packs_of_ten(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    little = study(
        ("references:\n  untrained: {training.epochs: 0}\n", ""),
        ("seeds: [0, 1]", f"seeds: {list(range(50))}"),
    )
    assert len(little.specs) == 200
    assert max_array_size() == MAX_ARRAY_SIZE
    assert "submitted 200 runs in 20 tasks as job" in little.submit("--pack", "10", cpus=2)
    little.wait(240)

    assert {tuple(little.outcomes(number)) for number in range(200)} == {("done",)}
    assert (
        len({read_json(little.run_dir(n) / "provenance.json")["attempts"][0]["array_index"] for n in range(200)}) == 20
    )


@pytest.mark.usefixtures("cluster")
def test_two_submitters_at_the_same_moment_run_each_cell_once(study: MakeStudy, ablate: list[str]) -> None:
    little = study()
    command = [*ablate, *little.arguments()]
    printed = [process.communicate(timeout=60)[0] for process in [start(*command), start(*command)]]
    numbers = [int(found) for text in printed for found in re.findall(r"submitted (\d+) runs", text)]
    assert sum(numbers) == 10, printed
    little.wait(90)

    assert [little.outcomes(number) for number in range(10)] == [["done"]] * 10


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_submitter_that_is_killed_loses_no_run(
    cluster: Cluster,
    study: MakeStudy,
    ablate: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    little = study(("seeds: [0, 1]", "seeds: [0]"))
    command = [*ablate, *little.arguments()]
    last = max((int(name.partition("_")[0]) for name in cluster.jobs()), default=0)
    (tmp_path / "bin").mkdir()
    real = f'{shutil.which("sbatch")} "$@"\n' if moment == "after" else ""
    (tmp_path / "bin" / "sbatch").write_text(f"#!/bin/sh\n{real}kill -9 $PPID\n", encoding="utf-8")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        process = start(*command)
        process.communicate(timeout=60)
    assert process.returncode == -9
    assert set(little.states()) == {"queued"}
    assert read_json(little.run_dir() / "queued" / "job.json")["job_id"] is None
    waiting = [name for name in cluster.jobs() if int(name.partition("_")[0]) > last]
    assert len(waiting) == (5 if moment == "after" else 0)

    # its claims may still be those of a submitter at work
    assert "0 runs to submit, 5 queued" in start(*command).communicate(timeout=60)[0]
    for number in range(5):
        path = little.run_dir(number) / "queued" / "job.json"
        os.utime(path, (time.time() - 61,) * 2)
    assert "submitted 5 runs" in start(*command).communicate(timeout=60)[0]
    little.wait(120)

    assert [little.outcomes(number) for number in range(5)] == [["done"]] * 5


def test_a_job_can_submit(cluster: Cluster, study: MakeStudy, ablate: list[str]) -> None:
    little = study()
    command = shlex.join([*ablate, *little.arguments()])
    job = cluster.tell("sbatch", "--parsable", "-o", str(little.folder / "outer"), "--array=0-1", "--wrap", command)
    until(lambda: cluster.jobs().get(f"{job}_1") == "COMPLETED", 60, "the outer job has ended")
    little.wait(90)

    assert [little.outcomes(number) for number in range(10)] == [["done"]] * 10


@pytest.mark.usefixtures("cluster")
def test_jobs_run_the_copy_of_the_commit(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("tells_where")
    little = study()
    little.submit("--snapshot", "--pack", "5")
    little.wait(90)

    (submission,) = little.store.root.glob(".submissions/*/submission.json")
    copy = submission.parent / "code"
    assert (copy / ".git").exists()
    used = {Path(read_json(little.run_dir(number) / "code.json")) for number in range(len(little.specs))}
    assert used == {copy / "ablations" / "local" / "worker.py"}
