"""What ``ablate status`` and ``cancel`` make of a real cluster: its queue, its failures, its silence."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from ablations.commands.cli import app
from ablations.store.queued import RECORD
from slurm.cluster import NODES, Cluster, until
from slurm.conftest import Study, look, runs_of, states, whole_status

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]


@pytest.fixture
def long(study: MakeStudy, fake_trainer: UseTrainer) -> Study:
    """Ten runs of five minutes."""
    fake_trainer("steps")
    return study(
        ("views.kind: pair", "views.kind: pair\n  training.epochs: 3000"),
        ("{training.epochs: 0}", "{training.epochs: 3001}"),
    )


def test_an_array_that_waits_and_runs_and_is_cancelled(cluster: Cluster, long: Study) -> None:
    long.submit("--max-parallel", "2")
    until(lambda: states(long)["running"] == 2, 30, "two run")
    until(lambda: sum(bool(run["phase"]) for run in runs_of(long)) == 2, 40, "both tell how far they are")
    runs = runs_of(long)
    assert states(long) == {"running": 2, "queued": 8}
    assert {run["why"] for run in runs if run["state"] == "queued"} == {"JobArrayTaskLimit"}
    assert {run["node"] for run in runs if run["state"] == "running"} <= set(NODES)
    assert "8 JobArrayTaskLimit" in look(long)

    waiting = next(run for run in runs if run["state"] == "queued")
    cluster.tell("scancel", str(waiting["job"]))
    number = [spec.run_id for spec in long.specs].index(str(waiting["run_id"]))
    until(lambda: str(waiting["job"]) not in cluster.jobs(), 10, "the queue has forgotten the element")
    os.utime(long.run_dir(number) / RECORD, (1, 1))  # submitted long ago
    assert states(long) == {"running": 2, "queued": 7, "stale": 1}

    begin = time.monotonic()
    printed = look(long, "cancel")
    assert time.monotonic() - begin < 40
    assert "10 runs are out of the queue" in printed
    assert states(long) == {"planned": 10}
    assert not [state for state in cluster.jobs().values() if state in ("PENDING", "RUNNING", "COMPLETING")]
    assert long.outcomes(0) == ["stopped"]


def test_a_job_whose_node_goes_down_is_queued_again(cluster: Cluster, long: Study) -> None:
    long.submit("--max-parallel", "1")
    until(lambda: states(long)["running"] == 1, 30, "one runs")
    until(lambda: any(run["phase"] for run in runs_of(long)), 40, "it tells how far it is")
    (before,) = [run for run in runs_of(long) if run["state"] == "running"]
    cluster.crash(str(before["node"]))

    for _ in range(8):  # SLURM says NODE_FAIL, COMPLETING, PENDING in turn
        (again,) = [run for run in runs_of(long) if run["run_id"] == before["run_id"]]
        assert again["state"] in ("queued", "running"), again
        time.sleep(0.25)
    assert cluster.jobs()[str(before["job"])] == "PENDING"
    assert (again["state"], again["attempts"]) == ("queued", 1)
    look(long, "cancel")


def test_a_controller_that_is_down_is_said_and_nothing_is_made_up(cluster: Cluster, long: Study) -> None:
    long.submit("--max-parallel", "1")
    until(lambda: any(run["phase"] for run in runs_of(long)), 60, "one runs")
    cluster.stop_controller()
    begin = time.monotonic()
    said = whole_status(long)
    assert time.monotonic() - begin < 30
    assert [line.split()[0] for line in said["scheduler_silence"]] == ["squeue"]
    assert Counter(run["state"] for run in said["grids"][0]["runs"]) == {"running": 1, "queued": 9}

    cluster.stop_accounting()
    begin = time.monotonic()
    shown = look(long)
    assert time.monotonic() - begin < 30
    assert "SLURM does not answer: states are those of the files alone" in shown
    assert states(long) == {"running": 1, "queued": 9}
    cluster.start_accounting()
    cluster.start_controller()
    assert "SLURM:" not in look(long)
    look(long, "cancel")


@pytest.mark.usefixtures("cluster")
def test_failures_on_a_cluster_have_a_cause(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("raises")
    little = study()
    little.submit()
    until(lambda: states(little) == {"done": 5, "failed": 5}, 90, f"five fail; now {states(little)}")

    assert {run["cause"] for run in runs_of(little) if run["state"] == "failed"} == {"ZeroDivisionError"}
    failed = next(number for number, spec in enumerate(little.specs) if spec.seed == 1)
    words = ["logs", little.specs[failed].run_id, "--store", str(little.store.root)]
    assert "ZeroDivisionError: seed 1" in CliRunner().invoke(app, words, catch_exceptions=False).stdout


def test_a_hundred_elements_are_surveyed_in_a_moment(
    cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    many = study(("seeds: [0, 1]", f"seeds: {list(range(20))}"))
    many.submit("--max-parallel", "1")
    begin = time.monotonic()
    counted = states(many)

    assert time.monotonic() - begin < 5
    assert sum(counted.values()) == 100
    assert counted["queued"] > 80
    assert cluster.jobs()
    look(many, "cancel")
