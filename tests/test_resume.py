"""A run that is killed and resumed ends as one that was not: bit for bit."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import toy_config

from simclr_core import checkpoint
from simclr_core.config import EvalConfig
from simclr_core.data import load_dataset
from simclr_core.distributed import World
from simclr_core.pretrain import Progress, pretrain
from simclr_core.run import execute
from simclr_core.runtime import RuntimeConfig, TrainingStopped

EVALUATIONS = [EvalConfig(num_labels=30), EvalConfig(protocol="knn", num_labels=30, k=5)]
TINY = {"training.epochs": 6, "optimizer.warmup_epochs": 1}
SPAWN = multiprocessing.get_context("forkserver")
StopAt = Callable[[int], Callable[[Progress], None]]


def outcome(run_dir: Path) -> dict[str, Any]:
    """All that a run leaves, without the times: final weights by checksum, curves, result, evaluations."""
    state = checkpoint.read(run_dir / checkpoint.NAME)
    assert state is not None
    files: dict[str, Any] = {"metrics": (run_dir / "metrics.jsonl").read_text()}
    for path in [run_dir / "result.json", *sorted((run_dir / "evals").glob("*.json"))]:
        content = json.loads(path.read_text())
        files[path.name] = {key: value for key, value in content.items() if key not in {"duration_s", "resumes"}}
    return files | {"weights": checkpoint.checksum(state["method"]), "step": state["step"]}


def damage(path: Path, source: random.Random) -> None:
    """Tear a file at a random byte, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = source.randrange(len(content))
    if source.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << source.randrange(8)
    path.write_bytes(content)


def test_twenty_kills_at_random_moments_leave_no_trace(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    SPAWN.set_forkserver_preload(["simclr_core.run"])
    config = toy_config(values=TINY)
    runtime = replace(toy_runtime, checkpoint_every_s=0.0)

    def start(run_dir: Path) -> Any:
        process = SPAWN.Process(target=execute, args=(config, EVALUATIONS, runtime, run_dir))
        process.start()
        return process

    start(tmp_path / "warm").join()
    begun = time.perf_counter()
    start(tmp_path / "reference").join()
    duration_s = time.perf_counter() - begun
    expected = outcome(tmp_path / "reference")
    assert expected["step"] == 30
    assert expected == outcome(tmp_path / "warm")

    source = random.Random(0)  # noqa: S311 - no secret
    resumed_at: list[int] = []
    num_kills, num_damaged, number = 0, 0, 0
    while num_kills < 20 or num_damaged < 3:
        run_dir = tmp_path / str(number)
        number += 1
        while True:
            process = start(run_dir)
            process.join(source.uniform(0, duration_s))
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            num_kills += 1
            newest = run_dir / checkpoint.NAME
            if num_kills % 3 == 0 and newest.exists() and not (run_dir / "result.json").exists():
                damage(newest, source)
                num_damaged += 1
        assert process.exitcode == 0
        assert outcome(run_dir) == expected
        resumes = json.loads((run_dir / "result.json").read_text())["resumes"]
        assert all(resume["bit_exact"] for resume in resumes)
        resumed_at += [resume["step"] for resume in resumes]
    assert any(step % 5 for step in resumed_at), "no resume in mid-epoch"


class Stopped(Exception):  # noqa: N818 - it is no error
    pass


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> StopAt:
    """Something to pass as ``on_progress`` that ends the training after a step."""
    monkeypatch.setattr("simclr_core.pretrain._PROGRESS_EVERY_S", -1.0)

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
    assert checkpoint.checksum(resumed.state()["targets"]) == checkpoint.checksum(whole.state()["targets"])
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
