"""Whole runs on images that are decoded anew every epoch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import toy_config

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.run import execute
from simclr_core.training.loop import Progress

EVALUATIONS = [EvalConfig(num_labels=20), EvalConfig(protocol="fine_tune", num_labels=20, epochs=1, batch_size=8)]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    """A folder ``large`` of 44 + 12 images of two classes, each of its own size."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 22), ("val", 6)):
        for name, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
            folder = root / "large" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(40, 70, 2)
                pixels = np.clip(rng.normal(colour, 60, (height, width, 3)), 0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{number}.JPEG")
    return RuntimeConfig(data_dir=str(root), cache_dir=str(root / "cache"), device="cpu", checkpoint_every_s=0.0)


def config(name: str = "simclr_mini", **views: object) -> RunConfig:
    values = {f"views.{key}": value for key, value in views.items()}
    stream = {"data.name": "large", "data.reading": "stream", "training.epochs": 2}
    return toy_config(name, stream | values)


@pytest.mark.parametrize("made", [config(), config(kind="pair", first="color", second="crop"), config("simsiam_mini")])
def test_the_number_of_workers_changes_nothing(made: RunConfig, runtime: RuntimeConfig, tmp_path: Path) -> None:
    for workers in (0, 2):
        execute(made, EVALUATIONS, replace(runtime, num_workers=workers), tmp_path / str(workers))

    metrics = [(tmp_path / str(workers) / "metrics.jsonl").read_text() for workers in (0, 2)]
    assert metrics[0] == metrics[1]
    assert [json.loads(line)["step"] for line in metrics[0].splitlines()] == list(range(1, 11))
    for path in (tmp_path / "0" / "evals").glob("*.json"):
        one, other = (json.loads((tmp_path / str(w) / "evals" / path.name).read_text()) for w in (0, 2))
        assert one | {"duration_s": 0} == other | {"duration_s": 0}


class Stopped(Exception):  # noqa: N818 - it is no error
    pass


def test_a_resume_in_mid_epoch_reads_on_where_it_stopped(
    runtime: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simclr_core.training.loop._PROGRESS_EVERY_S", -1.0)

    def stop(now: Progress) -> None:
        if (now.phase, now.step) == ("pretrain", 8):
            raise Stopped

    with pytest.raises(Stopped):
        execute(config(), EVALUATIONS, runtime, tmp_path / "stopped", stop)
    execute(config(), EVALUATIONS, runtime, tmp_path / "stopped")
    execute(config(), EVALUATIONS, runtime, tmp_path / "whole")

    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("stopped", "whole")]
    assert [resume["step"] for resume in results[0]["resumes"]] == [7]
    assert results[0]["z_std"] == results[1]["z_std"]
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("stopped", "whole")]
    assert metrics[0] == metrics[1]
