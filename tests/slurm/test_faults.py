"""What clusters do to jobs: no run is lost, and none computes a step that an earlier attempt has saved."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import GRID
from killed_runs import outcome

from ablations.local.job import load_execute
from ablations.local.pool import EXECUTE
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.records import read_json
from slurm.cluster import Cluster, until
from slurm.conftest import Study

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

NO_CLAIMS = GRID[GRID.index("claims:") :], ""
ONE_RUN = (
    NO_CLAIMS,
    ("  views.first: [crop, color]\n  views.second: [crop, color]", "  views.first: [crop]\n  views.second: [crop]"),
    ("references:\n  untrained: {training.epochs: 0}\n", ""),
    ("seeds: [0, 1]", "seeds: [0]"),
    ("mini: {axes: {views.first: [crop]}, seeds: [5]}", "mini: {}"),
)
TWO_RUNS = tuple(pair for pair in ONE_RUN if pair[0] != "seeds: [0, 1]")
FEW_LABELS = (
    ("{protocol: linear, num_labels: 1000}", "{protocol: linear, num_labels: 30}"),
    ("{protocol: knn, num_labels: 1000}", "{protocol: knn, num_labels: 30, k: 5}"),
)


def steps_of(number: int) -> tuple[str, str]:
    """The fake trainer ``steps`` makes as many steps, ten a second."""
    return ("set:\n", f"set:\n  training.epochs: {number}\n")


def made(study: Study) -> list[int]:
    """The steps that the fake trainer has made, in order, over all attempts."""
    path = study.run_dir() / "made.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [int(line.partition(": ")[2].rstrip("}")) for line in lines]


def test_a_signal_before_the_end_costs_no_step(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(100))
    little.submit()
    until(lambda: len(made(little)) > 10, 60, "ten steps")
    cluster.tell("scancel", "--signal=USR2", little.job_of())
    until(lambda: little.outcomes() == ["stopped"], 30, "the run has stopped")
    little.wait(90)

    assert made(little) == list(range(100))
    assert little.outcomes() == ["stopped", "done"]
    attempts = read_json(little.run_dir() / "provenance.json")["attempts"]
    assert [attempt["restart_count"] for attempt in attempts] == [0, 1]


def test_a_time_limit_costs_no_step(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(550))
    little.submit(time_min=1)
    job = little.job_of()
    little.wait(170)

    assert made(little) == list(range(550))
    assert set(little.outcomes()[:-1]) == {"stopped"}
    assert len(little.outcomes()) >= 2
    until(lambda: cluster.jobs()[job] == "COMPLETED", 20, "the job is completed")


def test_packed_runs_all_stop_with_a_checkpoint(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*TWO_RUNS, ("seeds: [0, 1]", "seeds: [0, 1, 2]"), steps_of(60))
    little.submit("--pack", "3", cpus=2)
    until(lambda: len(made(little)) > 10 and (little.run_dir(1) / "made.jsonl").exists(), 60, "two runs are under way")
    cluster.tell("scancel", "--signal=USR2", little.job_of())
    little.wait(120)

    assert [little.outcomes(number) for number in range(3)] == [["stopped", "done"], ["stopped", "done"], ["done"]]
    assert made(little) == list(range(60))


def test_preemption_changes_no_bit(
    cluster: Cluster, study: MakeStudy, toy_runtime: RuntimeConfig, tmp_path: Path
) -> None:
    settings = (
        "set:\n  data.name: toy\n  data.train_images: 40\n  backbone.width_multiplier: 0.125\n"
        "  training.global_batch_size: 8\n  training.epochs: 60\n  optimizer.warmup_epochs: 1\n"
    )
    toy = study(*ONE_RUN, ("set:\n", settings), *FEW_LABELS, scale="mini")
    toy.submit("--data-dir", toy_runtime.data_dir, partition="low", time_min=60)
    heartbeat = toy.run_dir() / "heartbeat.json"
    until((toy.run_dir() / "metrics.jsonl").exists, 90, "the training has begun", toy.logs)
    cluster.tell("sbatch", "-p", "high", "--exclusive", "-N3", "-o", "/dev/null", "--wrap", "sleep 3")
    until(lambda: "stopped" in toy.outcomes(), 60, "the run was preempted", toy.logs)
    until(lambda: not heartbeat.exists(), 10, "the run was given back")
    toy.wait(150)
    assert toy.outcomes() == ["stopped", "done"]
    (resume,) = read_json(toy.run_dir() / "result.json")["resumes"]
    assert 0 < resume["step"] < 300

    (spec,) = toy.specs
    runtime = replace(toy_runtime, num_threads=1, store=str(tmp_path / "whole"))
    load_execute(EXECUTE)(spec.config, list(spec.evaluations), runtime, tmp_path / "whole")
    assert outcome(toy.run_dir()) == outcome(tmp_path / "whole")


@pytest.mark.usefixtures("cluster")
def test_a_killed_process_is_replaced(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("dies_once")
    little = study(*TWO_RUNS)
    little.submit("--pack", "2")
    little.wait(90)

    assert [little.outcomes(number) for number in range(2)] == [["done"], ["lost", "done"]]
    assert not (little.run_dir(1) / "error.txt").exists()


@pytest.mark.usefixtures("cluster")
def test_attempts_are_bounded(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("dies")
    little = study(*TWO_RUNS)
    little.submit("--max-attempts", "2")
    until(lambda: little.states() == ["done", "failed"], 90, "one run has failed", little.states)
    until(lambda: not (little.run_dir(1) / "queued").exists(), 60, "the run has left the queue")

    assert little.outcomes(1)[0] == "lost"
    assert len(little.outcomes(1)) == 2
    error = (little.run_dir(1) / "error.txt").read_text(encoding="utf-8")
    assert error.startswith("given up after 2 attempts of submission ")
    fake_trainer("quick")
    assert "1 runs to submit, 1 done" in little.submit("--max-attempts", "2")
    little.wait(60)


def test_a_job_that_is_killed_is_submitted_again(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(50))
    little.submit()
    until(lambda: len(made(little)) > 10, 60, "ten steps")
    assert "0 runs to submit, 1 queued" in little.submit()
    job = little.job_of()
    worker = read_json(little.run_dir() / "claim" / "owner.json")["pid"]
    task = int(Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").split()[3])  # its parent
    for pid in (task, worker):
        os.kill(pid, signal.SIGKILL)
    until(lambda: cluster.jobs()[job] == "FAILED", 60, "the job has failed", cluster.jobs)

    assert "1 runs to submit" in little.submit()
    little.wait(90)
    assert little.outcomes() == ["lost", "done"]


def test_a_cancelled_element_alone_is_left(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*TWO_RUNS, steps_of(80))
    little.submit()
    until(lambda: len(made(little)) > 10, 60, "ten steps")
    job = little.job_of()
    cluster.tell("scancel", job)
    until(lambda: little.states()[1] == "done", 90, "the other run is done")
    until(lambda: cluster.jobs()[job] == "CANCELLED", 60, "the job was cancelled")

    assert little.outcomes() == ["stopped"]
    assert "1 runs to submit, 1 done" in little.submit()
    little.wait(90)
    assert made(little) == list(range(80))


def test_a_node_that_goes_down_loses_an_attempt_and_no_run(
    cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer
) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(50))
    little.submit()
    until(lambda: len(made(little)) > 10, 60, "ten steps")
    first = read_json(little.run_dir() / "provenance.json")["attempts"][0]
    cluster.crash(first["node"])
    little.wait(120)

    attempts = read_json(little.run_dir() / "provenance.json")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["lost", "done"]
    assert attempts[1]["node"] != first["node"]
    assert attempts[1]["job_id"] == first["job_id"]


def test_jobs_do_not_need_the_controller(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("naps")
    little = study()
    little.submit("--max-parallel", "3")
    until(lambda: "done" in little.states(), 60, "a first run is done")
    cluster.stop_controller()
    time.sleep(3)
    cluster.start_controller()
    little.wait(120)

    assert [little.outcomes(number) for number in range(10)] == [["done"]] * 10


@pytest.mark.usefixtures("cluster")
def test_two_processes_on_two_nodes_train_as_one(study: MakeStudy, toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    settings = (
        "set:\n  data.name: toy\n  data.train_images: 40\n  backbone.width_multiplier: 0.125\n"
        "  backbone.zero_init_residual: false\n"
        "  training.global_batch_size: 8\n  training.epochs: 1\n  optimizer.warmup_epochs: 0\n"
    )
    toy = study(*ONE_RUN, ("set:\n", settings), *FEW_LABELS, scale="mini")
    toy.submit("--data-dir", toy_runtime.data_dir, time_min=60, nodes=2, cpus=1, env="{MASTER_ADDR: 127.0.0.1}")
    toy.wait(150)
    assert toy.outcomes() == ["done"]
    result = read_json(toy.run_dir() / "result.json")
    assert result["num_processes"] == 2

    (spec,) = toy.specs
    runtime = replace(toy_runtime, num_threads=1, store=str(tmp_path / "whole"))
    load_execute(EXECUTE)(spec.config, list(spec.evaluations), runtime, tmp_path / "whole")
    alone = read_json(tmp_path / "whole" / "result.json")
    assert result["final_loss"] == pytest.approx(alone["final_loss"], rel=1e-4)
    assert result["z_std"] == pytest.approx(alone["z_std"], rel=1e-3)
