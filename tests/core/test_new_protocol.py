"""A protocol that is one entry and one class: it is planned, scores, keeps its network, and appears in a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ablate, WriteGrid
from torch import nn
from toy import TOY, toy_config

from simclr_core.config.identity import eval_id
from simclr_core.config.protocols import PROTOCOLS, ProtocolRules
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.evals import material, run
from simclr_core.evals.protocol import Protocol, Scored, Tell, scoring_weights
from simclr_core.records import read_json
from simclr_core.run import execute


class NearestMeanRules(ProtocolRules):
    module = f"{__name__}:NearestMean"
    leaves_classifier = True

    def problems(self, evaluation: EvalConfig, config: RunConfig) -> list[str]:  # noqa: ARG002 - whatever the run
        return ["means of z are not wanted"] if evaluation.embedding == "z" else []


class NearestMean(Protocol):
    """Each class is its images' mean; the nearest one wins, which is a linear layer."""

    def score(self, tell: Tell) -> Scored:
        tell(1, 1)
        train, embedding = self.material.train, self.evaluation.embedding
        x = train.of(embedding)
        means = torch.stack([x[train.labels == label].mean(0) for label in range(self.material.num_classes)])
        layer = nn.Linear(x.shape[1], len(means))
        with torch.no_grad():
            layer.weight.copy_(means)
            layer.bias.copy_(-means.square().sum(1) / 2)
            scores = layer(self.material.test.of(embedding))
        weights = scoring_weights(self.material.network, embedding, layer)
        return Scored(scores, {"spread": means.std().item()}, weights=weights)


@pytest.fixture(autouse=True)
def nearest_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "nearest_mean", NearestMeanRules())


def test_it_scores_and_keeps_its_network(toy_runtime: RuntimeConfig, tmp_path: Path) -> None:
    evaluation = EvalConfig(protocol="nearest_mean", embedding="head_1", num_labels=30, keep=True)
    execute(toy_config(), [evaluation], toy_runtime, tmp_path)
    result = read_json(tmp_path / "evals" / f"{eval_id(evaluation)}.json")

    assert result["metric"] == "nearest_mean_head_1_top1"
    assert result["top1"] > 50
    assert result["spread"] > 0
    assert np.load(tmp_path / "evals" / f"{eval_id(evaluation)}.npy").shape == (24,)
    kept = torch.load(tmp_path / "evals" / f"{eval_id(evaluation)}.pt", weights_only=True)["method"]
    assert kept["classifier.weight"].shape == (2, kept["projector.0.weight"].shape[0])


def test_a_grid_of_it_is_reported(ablate: Ablate, write_grid: WriteGrid, toy_runtime: RuntimeConfig) -> None:
    """In this process: a worker process would have to import this file."""
    from ablations.study.expand import expand, load_grid

    settings = "".join(f"  {key}: {value}\n" for key, value in {**TOY, "data.image_size": 32}.items())
    changes = [
        ("  views.kind: pair\n", f"  views.kind: pair\n{settings}"),
        ("metric: linear_top1", "metric: nearest_mean_top1"),
        ("{protocol: linear, num_labels: 1000}", "{protocol: nearest_mean, num_labels: 30}"),
        ("num_labels: 1000", "num_labels: 30"),
        ("seeds: [0, 1]", "seeds: [0]"),
    ]
    grid = write_grid(*changes)
    for spec in expand(load_grid(str(grid)), "demo"):
        execute(spec.config, list(spec.evaluations), toy_runtime, Path("runs") / spec.run_id)
    done = ablate("report", str(grid), "--scale", "demo")

    assert done.exit_code == 0, done.stderr
    assert "nearest_mean_top1" in (Path("site") / "grids" / "little.demo.html").read_text()
    on_z = [("metric: nearest_mean", "metric: nearest_mean_z"), ("nearest_mean,", "nearest_mean, embedding: z,")]
    wrong = write_grid(*changes, *on_z, name="wrong")
    refused = ablate("plan", str(wrong), "--scale", "demo")
    assert refused.exit_code == 2
    assert "evaluation nearest_mean_z_top1: means of z are not wanted" in refused.stderr.replace("\n", " ")


@pytest.mark.parametrize("module", [run, material])
def test_what_runs_protocols_knows_none_by_name(module: object) -> None:
    text = Path(str(getattr(module, "__file__", ""))).read_text()
    assert len(text) > 1000
    for name in PROTOCOLS:
        assert f'protocol == "{name}"' not in text
        assert f"simclr_core.evals.{name} import" not in text
