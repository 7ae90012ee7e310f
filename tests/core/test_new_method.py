"""A method that is one dataclass and one class: it trains, goes on to the bit, is evaluated and reported."""

from __future__ import annotations

import copy
import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from conftest import Ablate, WriteGrid
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from toy import TOY, toy_config

from simclr_core.config.identity import eval_id, from_canonical
from simclr_core.config.methods import METHODS, MethodConfig, Pass
from simclr_core.config.options import option
from simclr_core.config.runtime import RuntimeConfig, TrainingStopped
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.methods.base import Batch, Embed, Method, Step
from simclr_core.records import read_json
from simclr_core.run import execute
from simclr_core.training import checkpoint


@dataclass
class QueueConfig(MethodConfig):
    """Three views, a queue of keys by a network that follows, and labels that are no negatives of one another."""

    module = f"{__name__}:Queue"
    needs_labels = True

    name: str = option("queue", choices=("queue",))
    momentum: float = option(0.9, low=0.0, high=1.0)
    length: int = option(16, low=1)

    @property
    def num_views(self) -> int:
        return 3

    def passes(self, config: RunConfig) -> tuple[Pass, ...]:  # noqa: ARG002 - whatever the configuration
        return (Pass(1), Pass(2, trains=False, predicts=False))


class Queue(Method):
    keys: Tensor
    labels: Tensor
    epoch_seen: Tensor

    def __init__(self, config: RunConfig, num_images: int) -> None:
        super().__init__(config, num_images)
        self.follower = copy.deepcopy(self.net).requires_grad_(requires_grad=False)
        self.register_buffer("keys", normalize(torch.randn(self.config.length, self.net.dim), dim=1))
        self.register_buffer("labels", torch.full((self.config.length,), -1))
        self.register_buffer("epoch_seen", torch.tensor(-1))

    def step(self, batch: Batch) -> Step:
        (z,) = self.net.project(batch.views[:1])
        with torch.no_grad():
            key = normalize(sum(self.follower.project(batch.views[1:]), torch.zeros(())), dim=1)
        logits = normalize(z, dim=1) @ torch.cat([key, self.keys]).T / 0.2
        same = batch.labels[:, None] == torch.cat([batch.labels, self.labels])[None]
        positive = torch.arange(len(z))
        logits = logits.masked_fill(same & (positive[:, None] != torch.arange(logits.shape[1])), float("-inf"))
        self.keys = torch.cat([key, self.keys])[: self.config.length]
        self.labels = torch.cat([batch.labels, self.labels])[: self.config.length]
        return Step(cross_entropy(logits, positive), [z], {"queue_labelled": (self.labels >= 0).float().mean()})

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:  # noqa: ARG002 - the follower follows, whatever the batch
        for slow, fast in zip(self.follower.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.config.momentum)

    def start_epoch(self, epoch: int, embed: Embed) -> Tensor:
        self.epoch_seen.fill_(epoch)
        return embed()[0].norm(dim=1).argsort()

    def phase(self, step: int) -> Hashable:
        return step >= 2


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "queue", QueueConfig)


COLUMNS = "role,metric,value,std,unit,epochs,dataset,arch,source,precision,reading_error,note"
LINEAR = EvalConfig(num_labels=30)


def test_it_trains_and_goes_on_to_the_bit(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    config = toy_config("simclr_mini", {"method.name": "queue", "method.length": 12, "training.epochs": 3})
    execute(config, [LINEAR], toy_runtime, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    for stop in (3, 4, 8):  # within an epoch, and between two
        with pytest.raises(TrainingStopped):
            execute(config, [LINEAR], toy_runtime, stopped, stop_requested=_after(stop, stopped))
    middle = checkpoint.read(tmp_path / "stopped" / checkpoint.NAME)
    execute(config, [LINEAR], toy_runtime, tmp_path / "stopped")

    assert middle is not None
    assert {"keys", "labels", "epoch_seen", "follower.backbone.conv1.weight"} <= middle["method"].keys()
    ends = [checkpoint.read(tmp_path / name / checkpoint.NAME) for name in ("whole", "stopped")]
    weights = [end["method"] for end in ends if end is not None]
    assert checkpoint.checksum(weights[0]) == checkpoint.checksum(weights[1])
    assert not any("keys" in name or "follower" in name for name in weights[0]), (
        "the last checkpoint has the network alone"
    )
    curves = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "stopped")]
    assert curves[0] == curves[1]
    assert json.loads(curves[0].splitlines()[-1])["queue_labelled"] == 1
    result = read_json(tmp_path / "stopped" / "result.json")
    assert [resume["step"] for resume in result["resumes"]] == [3, 4, 8]
    assert all(resume["bit_exact"] for resume in result["resumes"])
    assert read_json(tmp_path / "whole" / "evals" / f"{eval_id(LINEAR)}.json")["top1"] > 50
    assert from_canonical(RunConfig, read_json(tmp_path / "whole" / "spec.json")["config"]) == config


def _after(step: int, run_dir: Path):  # noqa: ANN202
    """Asks to stop once so many lines of the curve are written."""

    def stop_requested() -> bool:
        path = run_dir / "metrics.jsonl"
        return path.exists() and len(path.read_text().splitlines()) >= step

    return stop_requested


def test_a_grid_of_it_is_reported(ablate: Ablate, write_grid: WriteGrid, toy_runtime: RuntimeConfig) -> None:
    """In this process: a worker process would have to import this file."""
    from ablations.study.expand import expand, load_grid

    settings = "\n".join(f"  {key}: {value}" for key, value in {**TOY, "data.image_size": 32}.items())
    Path("papers").mkdir()
    Path("papers", "mine.csv").write_text(
        f"{COLUMNS},momentum\ncell,linear_top1,60,,percent,1,toy,resnet10,mine,printed,,,0.5\n"
    )
    grid = write_grid(
        ("csv: simclr_fig5_augmentation_pairs.csv", "csv: papers/mine.csv"),
        ("  views.kind: pair\n", f"  method.name: queue\n{settings}\n"),
        ("  views.first: [crop, color]\n  views.second: [crop, color]\n", "  method.momentum: [0.5, 0.9]\n"),
        ("seeds: [0, 1]", "seeds: [0]"),
        ("num_labels: 1000", "num_labels: 30"),
        ("num_labels: 1000", "num_labels: 30"),
        ("  mini: {axes: {views.first: [crop]}, seeds: [5]}\n", ""),
        ("{kind: heatmap, row: first, column: second}", "{kind: bars, x: momentum}"),
        ("group: {different: [first, second]}", "group: {momentum: 0.9}"),
        ("than: {same: [first, second]}", "than: {momentum: 0.5}"),
        ("    not_testable: {mini: one row is no matrix}\n", ""),
    )
    for spec in expand(load_grid(str(grid)), "demo"):
        execute(spec.config, list(spec.evaluations), toy_runtime, Path("runs") / spec.run_id)
    planned = ablate("plan", str(grid), "--scale", "demo")
    done = ablate("report", str(grid), "--scale", "demo")

    assert planned.exit_code == 0, planned.stderr
    assert "3 done" in planned.stdout
    assert done.exit_code == 0, done.stderr
    assert "momentum" in (Path("site") / "grids" / "little.demo.html").read_text()
