"""The supervised baseline, and the contrastive accuracy that runs with negatives report."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from toy import toy_config

from simclr_core.config.identity import canonical
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig
from simclr_core.data.errors import DataError
from simclr_core.methods import build_method
from simclr_core.methods.base import Batch
from simclr_core.methods.supervised import ClassifyingNetwork
from simclr_core.run import execute
from simclr_core.training.log import late_mean


def test_the_loss_is_the_cross_entropy_of_a_linear_layer_on_the_features() -> None:
    torch.manual_seed(0)
    method = build_method(toy_config("supervised_mini"), num_images=40).eval()
    view = torch.rand(4, 3, 32, 32)
    labels = torch.tensor([0, 1, 9, 1])
    output = method.step(Batch(0, torch.arange(4), labels, [view]))

    network = method.network()
    assert isinstance(network, ClassifyingNetwork)
    features = network.features(view)
    logits = features @ network.classifier.weight.T + network.classifier.bias
    by_hand = torch.stack([row.exp().sum().log() - row[label] for row, label in zip(logits, labels, strict=True)])
    torch.testing.assert_close(output.loss, by_hand.mean())
    assert torch.equal(output.projections[0], features)


def test_a_supervised_run_learns_the_labels(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    values = {"method.num_classes": 2, "training.epochs": 8, "optimizer.base_lr": 3.2}
    values |= {"views.jitter_probability": 0, "views.gray_probability": 0}
    config = toy_config("supervised_mini", values)
    execute(config, [EvalConfig(num_labels=30)], toy_runtime, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((tmp_path / "result.json").read_text())

    assert losses[-1] < 0.3 < math.log(2)
    assert result["outcome"] == "trained"
    assert result["contrastive_top1"] is None


def test_classes_that_the_data_do_not_have_are_an_error(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"method\.num_classes = 10: toy has 2 classes"):
        execute(toy_config("supervised_mini"), [], toy_runtime, tmp_path)


def test_a_supervised_run_has_no_setting_of_the_other_methods() -> None:
    assert canonical(toy_config("supervised_mini"))["method"] == {"name": "supervised", "num_classes": 10}


def test_contrastive_accuracy_is_the_mean_of_the_last_logged_lines(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(toy_config(values={"training.epochs": 2}), [], toy_runtime, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((tmp_path / "result.json").read_text())

    for name in ("contrastive_top1", "contrastive_entropy"):
        assert result[name] == pytest.approx(sum(line[name] for line in lines[5:]) / 5)
    assert len(lines) == 10
    assert late_mean(tmp_path, "nothing") is None


def test_untrained_runs_have_no_contrastive_accuracy(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(toy_config(values={"training.epochs": 0}), [], toy_runtime, tmp_path)

    assert json.loads((tmp_path / "result.json").read_text())["contrastive_entropy"] is None
