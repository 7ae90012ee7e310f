"""The curves that a run writes: cut at a resume, and as TensorBoard scalars."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy import toy_config

from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.run import execute
from simclr_core.training.log import Curves


def test_lines_after_the_step_and_a_torn_one_are_cut_off(tmp_path: Path) -> None:
    curves = Curves(tmp_path, 0, tensorboard=False)
    for step in (2, 4, 6):
        curves.add({"step": step, "loss": 0.5 * step}, images_per_s=10.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    before = (tmp_path / "metrics.jsonl").read_text().splitlines()

    Curves(tmp_path, 4, tensorboard=False).add({"step": 6, "loss": 3.0}, images_per_s=20.0)

    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == before[:3]
    assert [json.loads(line)["images_per_s"] for line in (tmp_path / "timing.jsonl").read_text().splitlines()] == [
        10.0,
        10.0,
        20.0,
    ]
    Curves(tmp_path, 0, tensorboard=False)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_tensorboard_has_the_numbers_of_the_files(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    config = toy_config(values={"training.knn_epochs": 1})
    execute(config, [], replace(toy_runtime, tensorboard=True), tmp_path)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("loss", "lr", "z_std"):
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [line["step"] for line in lines]
        assert [scalar.value for scalar in scalars] == pytest.approx([line[name] for line in lines], rel=1e-6)
    assert all(scalar.value > 0 for scalar in events.Scalars("images_per_s"))
    (knn,) = events.Scalars("knn_top1")
    assert (knn.step, knn.value) == (5, pytest.approx(lines[-1]["knn_top1"], rel=1e-6))


def test_a_missing_tensorboard_is_told(
    toy_runtime: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with pytest.raises(ConfigError, match=r"runtime\.tensorboard = true: needs the package"):
        execute(toy_config(), [], replace(toy_runtime, tensorboard=True), tmp_path)
