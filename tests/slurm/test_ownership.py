"""Jobs that are not ours: a site's words with a number in them, a number of somebody else's, another cluster."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablations.commands.cli import app
from simclr_core.records import read_json, write_json
from slurm.cluster import Cluster, until
from slurm.conftest import Study, look, states, whole_status

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

LIVE = ("PENDING", "RUNNING", "COMPLETING")
HELD = "{hold: true}"
"""Options of sbatch with which a job waits until somebody lets it go."""


@pytest.fixture
def foreign(cluster: Cluster) -> str:
    """Somebody else's job."""
    job = cluster.tell("sbatch", "--parsable", "-J", "train-gpt", "-o", "/dev/null", "--wrap", "sleep 600")
    until(lambda: cluster.jobs().get(job) == "RUNNING", 30, "it runs")
    return job


def submission_of(study: Study) -> Path:
    (path,) = study.store.root.glob(".submissions/*/submission.json")
    return path


def rename_job(study: Study, job: str) -> None:
    """Let what a submission has written down name another job."""
    content = read_json(submission_of(study))
    for of_submission in content["jobs"]:
        of_submission["job_id"] = job
    write_json(submission_of(study), content)
    for path in study.store.root.glob("*/queued/job.json"):
        write_json(path, read_json(path) | {"job_id": job})


def cancel(study: Study) -> tuple[int, str]:
    """Exit code and words."""
    words = ["cancel", str(study.grid), "--scale", study.scale, "--store", str(study.store.root)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    return done.exit_code, done.output


def test_a_sites_greeting_is_not_taken_for_a_job(
    cluster: Cluster, study: MakeStudy, foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    greeting = f'printf "caf\\351: you have 1 running job {foreign}\\n"'
    sbatch.write_text(f'#!/bin/sh\n{greeting}\nexec {shutil.which("sbatch")} "$@"\n', encoding="utf-8")
    sbatch.chmod(0o755)
    little = study()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        patch.setenv("SBATCH_JOB_NAME", "mine")
        printed = little.submit("--pack", "10", extra=HELD)
    ours = next(name for name, state in cluster.jobs().items() if state == "PENDING")
    assert re.search(rf" as job {ours};", printed)
    name = cluster.tell("squeue", "-h", "-j", ours, "-o", "%j")
    assert name == f"little.demo.{submission_of(little).parent.name}"
    assert read_json(submission_of(little))["cluster"] == "tests"

    assert "10 runs are out of the queue" in look(little, "cancel")
    assert {job for job, state in cluster.jobs().items() if state in LIVE} == {foreign}


def test_a_job_that_is_not_ours_lives_on(cluster: Cluster, study: MakeStudy, foreign: str) -> None:
    little = study()
    little.submit("--pack", "10", extra=HELD)
    ours = little.job_of()
    rename_job(little, foreign)
    code, words = cancel(little)
    assert code == 1
    assert f"job {foreign} is 'train-gpt' of user root, none of submission" in words
    assert {foreign, ours} <= {job for job, state in cluster.jobs().items() if state in LIVE}

    rename_job(little, ours)
    write_json(submission_of(little), read_json(submission_of(little)) | {"cluster": "alps"})
    code, words = cancel(little)
    assert code == 1
    assert f"job {ours} is in the queue of cluster alps, and this is tests: not cancelled" in words
    assert states(little) == {"queued": 10}
    assert "0 runs to submit, 10 queued" in little.submit(extra=HELD)
    assert {foreign, ours} <= {job for job, state in cluster.jobs().items() if state in LIVE}

    write_json(submission_of(little), read_json(submission_of(little)) | {"cluster": "tests"})
    assert cancel(little)[0] == 0
    assert {job for job, state in cluster.jobs().items() if state in LIVE} == {foreign}
    assert states(little) == {"planned": 10}


def test_what_finished_jobs_have_used(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    little = study()
    little.submit("--pack", "5", cpus=2)
    little.wait(60)
    words = ["status", str(little.grid), "--scale", "demo", "--store", str(little.store.root), "--usage"]

    def used() -> str:
        return " ".join(CliRunner().invoke(app, words, catch_exceptions=False).stdout.split())

    # this cluster gathers nothing from processes: memory and time of processors are not known
    row = r"little demo 2 0 \d+\.\d\d 0\.00 unknown unknown unknown$"
    until(lambda: re.search(row, used()), 30, "accounting has both tasks", used)
    cluster.stop_accounting()
    assert used().endswith("usage: not known")
    assert whole_status(little)["grids"][0]["counts"]["done"] == 10
