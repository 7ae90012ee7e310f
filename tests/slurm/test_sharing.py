"""Grids that share runs: what one has queued the other waits for, asks more of, and keeps from being cancelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import WriteGrid
from typer.testing import CliRunner

from ablations.commands.cli import app
from simclr_core.records import read_json
from slurm.cluster import Cluster, until
from slurm.conftest import Study, look, states

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

ONE_MORE = (
    "num_labels: 1000}\nscales",
    "num_labels: 1000}\n  - {protocol: linear, embedding: z, num_labels: 1000}\nscales",
)


@pytest.mark.usefixtures("cluster")
def test_a_queued_run_makes_the_evaluations_of_another_grid_too(
    study: MakeStudy, write_grid: WriteGrid, fake_trainer: UseTrainer, tmp_path: Path
) -> None:
    fake_trainer("naps")
    little = study()
    second = Study(write_grid(ONE_MORE, name="second"), "demo", tmp_path)
    little.submit("--max-parallel", "2")
    until(lambda: states(little)["running"], 60, "one runs")
    printed = second.submit()
    assert "0 runs to submit, 10 queued" in printed
    assert "10 queued runs were asked for more evaluations" in printed
    assert "more evaluations" not in second.submit()
    second.wait(120)

    assert little.all_done()
    ends = Counter(outcome for number in range(10) for outcome in second.outcomes(number))
    assert set(ends) == {"done"}
    assert ends["done"] <= 12  # those that wait when they are asked do it all at once
    jobs = [read_json(path)["jobs"] for path in little.store.root.glob(".submissions/*/submission.json")]
    assert sorted(len(of_submission) for of_submission in jobs) == [0, 1]


def test_a_run_that_another_grid_waits_for_is_not_cancelled(
    cluster: Cluster, study: MakeStudy, write_grid: WriteGrid, fake_trainer: UseTrainer, tmp_path: Path
) -> None:
    fake_trainer("steps")
    settings = (
        ("views.kind: pair", "views.kind: pair\n  training.epochs: 600"),
        ("{training.epochs: 0}", "{training.epochs: 601}"),
    )
    little = study(*settings)
    part = ("seeds: [0, 1]", "seeds: [1]")
    second = Study(write_grid(*settings, part, name="second"), "demo", tmp_path)
    little.submit("--max-parallel", "1")
    second.submit()

    assert "5 runs are out of the queue" in look(little, "cancel")
    left = states(second)  # once: a run may start between two looks
    assert left["queued"] + left["running"] == 5
    assert "5 runs are out of the queue" in look(second, "cancel")
    assert states(little) == {"planned": 10}
    assert not [state for state in cluster.jobs().values() if state in ("PENDING", "RUNNING", "COMPLETING")]


@pytest.mark.usefixtures("cluster")
def test_retry_submits_what_it_has_cleared_and_no_more(study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("raises")
    little = study()
    little.submit("--seeds", "1")
    until(lambda: states(little) == {"failed": 5, "planned": 5}, 90, "all that were submitted have failed")
    fake_trainer("quick")
    words = ["retry", str(little.grid), "--scale", "demo", "--store", str(little.store.root), "--allow-dirty"]
    done = CliRunner().invoke(app, [*words, "--profile", str(little.folder / "profile.yaml")], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    assert "5 runs are planned again: 5 ZeroDivisionError" in done.output
    assert re.search(r"submitted 5 runs in 5 tasks as job \d+", done.output)
    until(lambda: states(little) == {"done": 5, "planned": 5}, 60, "those are done")
