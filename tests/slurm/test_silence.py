"""Jobs that give no sign of life, or a wrong one: what SLURM still has is not run a second time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from ablations.commands.cli import app
from simclr_core.records import read_json, write_json
from slurm.cluster import Cluster, until
from slurm.conftest import Study, look, runs_of
from slurm.test_faults import ONE_RUN, made, steps_of

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]
HOUR = 3600.0


def seen_from_another_node(study: Study, *, silent_s: float) -> None:
    """Claim and heartbeat as a node has written them whose clock is an hour behind, the last time so long ago."""
    folder = study.run_dir()
    owner = read_json(folder / "claim" / "owner.json")
    write_json(folder / "claim" / "owner.json", owner | {"host": "elsewhere", "time": time.time() - HOUR})
    write_json(folder / "heartbeat.json", {"time": time.time() - HOUR})
    written = time.time() - silent_s
    for name in ("claim", "heartbeat.json"):
        os.utime(folder / name, (written, written))


def run(study: Study) -> str:
    """What ``ablate run`` says of a study in which there is nothing to do."""
    words = ["run", str(study.grid), "--scale", study.scale, "--store", str(study.store.root), "--workers", "1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "nothing to do: 1 runs" in done.output
    return done.output


def test_a_suspended_job_is_not_run_a_second_time(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(60))
    little.submit()
    job = little.job_of()
    until(lambda: len(made(little)) > 5, 60, "five steps", little.logs)
    cluster.tell("scontrol", "suspend", job)
    until(lambda: cluster.jobs()[job] == "SUSPENDED", 10, "the job is suspended")
    seen_from_another_node(little, silent_s=HOUR)
    steps = made(little)

    assert f"left as it is: {little.specs[0].run_id}: SLURM still has its job {job}, SUSPENDED" in run(little)
    assert "0 runs to submit, 1 queued" in little.submit()
    assert [(each["state"], each["why"]) for each in runs_of(little)] == [("running", "SLURM has it suspended")]
    assert "nothing to do" in look(little, "retry")
    assert made(little) == steps
    cluster.tell("scontrol", "resume", job)
    little.wait(60)
    assert made(little) == list(range(60))
    assert little.outcomes() == ["done"]


@pytest.mark.usefixtures("cluster")
def test_a_job_whose_clock_is_behind_or_whose_heart_has_stopped_is_not_run_a_second_time(
    study: MakeStudy, fake_trainer: UseTrainer
) -> None:
    fake_trainer("steps")
    little = study(*ONE_RUN, steps_of(120))
    little.submit()
    until(lambda: len(made(little)) > 5, 60, "five steps", little.logs)
    seen_from_another_node(little, silent_s=0)
    assert "1 running" in run(little)
    assert [each["state"] for each in runs_of(little)] == ["running"]

    seen_from_another_node(little, silent_s=HOUR)
    run(little)
    assert "0 runs to submit, 1 queued" in little.submit()
    little.wait(60)
    assert made(little) == list(range(120))
    assert little.outcomes() == ["done"]
