"""A run that is killed and resumed ends as one that was not: bit for bit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_runs import STEPS_PER_EPOCH, kill_and_resume, outcome
from toy import toy_config

from simclr_core.config.runtime import RuntimeConfig, TrainingStopped
from simclr_core.data.datasets import load_dataset
from simclr_core.processes.distributed import World
from simclr_core.run import execute
from simclr_core.training import checkpoint
from simclr_core.training.loop import Progress, pretrain

StopAt = Callable[[int], Callable[[Progress], None]]


def test_twenty_kills_at_random_moments_leave_no_trace(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    tally = kill_and_resume(tmp_path, toy_runtime, num_kills=20)

    assert tally.num_kills >= 20
    assert tally.num_damaged >= 2
    assert any(step % STEPS_PER_EPOCH for step in tally.resumed_at), "no resume in mid-epoch"
    assert tally.num_different == 0


class Stopped(Exception):  # noqa: N818 - it is no error
    pass


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> StopAt:
    """Something to pass as ``on_progress`` that ends the training after a step."""
    monkeypatch.setattr("simclr_core.training.loop._PROGRESS_EVERY_S", -1.0)

    def build(step: int) -> Callable[[Progress], None]:
        def on_progress(now: Progress) -> None:
            if (now.phase, now.step) == ("pretrain", step):
                raise Stopped

        return on_progress

    return build


@pytest.mark.parametrize(
    "values",
    [
        {"method.target": "moving_average", "predictor.kind": "none"},
        {"method.alternation_steps": 3},
        {"method.alternation_steps": 0},
        {"method.symmetry": "asymmetric_2x"},
        {"predictor.trained": False},
        {"optimizer.name": "lars", "training.step_count": "released"},
    ],
    ids=lambda values: " ".join(f"{key.split('.')[1]}={value}" for key, value in values.items()),
)
def test_every_kind_of_state_is_restored(
    values: dict[str, object], stop_at: StopAt, toy_runtime: RuntimeConfig, tmp_path: Path
) -> None:
    config = toy_config("simsiam_mini", {"training.epochs": 3, **values})
    runtime = replace(toy_runtime, checkpoint_every_s=0.0)
    images = load_dataset(config.data, runtime.data_path, runtime.cache_path).pretrain
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()

    whole = pretrain(config, images, World(), runtime, tmp_path / "whole", lambda _: None)
    with pytest.raises(Stopped):
        pretrain(config, images, World(), runtime, tmp_path / "stopped", stop_at(8))
    resumed = pretrain(config, images, World(), runtime, tmp_path / "stopped", lambda _: None)

    assert [0 < resume["step"] <= 8 for resume in resumed.resumes] == [True]
    assert resumed.step == whole.step
    assert checkpoint.checksum(resumed.state()["method"]) == checkpoint.checksum(whole.state()["method"])
    assert checkpoint.checksum(resumed.state()["optimizer"]) == checkpoint.checksum(whole.state()["optimizer"])
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "stopped")]
    assert metrics[0] == metrics[1]


def test_a_resume_elsewhere_is_marked_and_its_curves_are_cut_at_the_checkpoint(
    stop_at: StopAt, toy_runtime: RuntimeConfig, tmp_path: Path
) -> None:
    config = toy_config(values={"training.epochs": 2})
    execute(config, [], replace(toy_runtime, checkpoint_every_s=0.0), tmp_path)
    (tmp_path / "result.json").unlink()
    state = checkpoint.read(tmp_path / checkpoint.PREVIOUS)
    assert state is None, "the previous checkpoint outlived its run"
    (tmp_path / checkpoint.NAME).unlink()

    with pytest.raises(Stopped):
        execute(config, [], replace(toy_runtime, checkpoint_every_s=0.0), tmp_path, stop_at(8))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # what a kill may leave
    execute(config, [], replace(toy_runtime, num_threads=2), tmp_path)
    torch.set_num_threads(1)

    (resume,) = json.loads((tmp_path / "result.json").read_text())["resumes"]
    assert resume == {"step": 7, "bit_exact": False, "differences": ["num_threads: 1 -> 2"]}
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, 11))


def test_a_training_that_is_asked_to_stop_leaves_a_checkpoint_of_that_step(
    toy_runtime: RuntimeConfig, tmp_path: Path
) -> None:
    config = toy_config(values={"training.epochs": 2})
    asked = itertools.count(1)
    with pytest.raises(TrainingStopped):
        execute(config, [], toy_runtime, tmp_path / "stopped", stop_requested=lambda: next(asked) == 3)
    assert [line["step"] for line in metrics(tmp_path / "stopped")] == [1, 2, 3]
    execute(config, [], toy_runtime, tmp_path / "stopped")
    execute(config, [], toy_runtime, tmp_path / "whole")

    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")
    (resume,) = json.loads((tmp_path / "stopped" / "result.json").read_text())["resumes"]
    assert (resume["step"], resume["bit_exact"]) == (3, True)


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
