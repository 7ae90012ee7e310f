"""Projector, predictor and the collapse diagnostic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simclr_core.config import PredictorConfig, ProjectorConfig
from simclr_core.heads import build_predictor, build_projector, projection_dim, z_std


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_none_returns_the_features_themselves() -> None:
    config = ProjectorConfig(kind="none")
    features = torch.randn(4, 12)

    assert build_projector(config, 12)(features) is features
    assert projection_dim(config, 12) == 12


def test_linear_is_one_weight_and_its_batch_norm() -> None:
    head = build_projector(ProjectorConfig(kind="linear", dim=8), 12)
    shapes = {name: tuple(p.shape) for name, p in head.named_parameters()}

    assert shapes == {"0.weight": (8, 12), "1.weight": (8,)}


def test_released_simclr_head_has_no_beta_on_its_output() -> None:
    head = build_projector(ProjectorConfig(num_layers=2, dim=8), 12)

    names = [name for name, _ in head.named_parameters()]
    assert names == ["0.weight", "1.weight", "1.bias", "3.weight", "4.weight"]
    assert num_parameters(head) == (12 * 12 + 2 * 12) + 12 * 8 + 8


def test_head_of_the_formula_has_biases_and_no_batch_norm() -> None:
    config = ProjectorConfig(num_layers=2, dim=8, hidden_batch_norm=False, output_batch_norm="none")

    names = [name for name, _ in build_projector(config, 12).named_parameters()]
    assert names == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_simsiam_heads_have_the_papers_parameter_counts() -> None:
    projector = build_projector(ProjectorConfig(num_layers=3, dim=2048, output_batch_norm="no_affine"), 2048)
    predictor = build_predictor(PredictorConfig(kind="mlp", hidden_dim=512), 2048)

    assert num_parameters(projector) == 3 * 2048**2 + 2 * 2 * 2048
    assert num_parameters(predictor) == 2048 * 512 + 2 * 512 + 512 * 2048 + 2048


@pytest.mark.parametrize("dim", [16, 512])
def test_z_std_of_even_directions_and_of_a_point(dim: int) -> None:
    z = torch.randn(4000, dim, generator=torch.Generator().manual_seed(0))

    assert z_std(z).item() * math.sqrt(dim) == pytest.approx(1, abs=0.01)
    assert z_std(z[:1].expand(100, dim)).item() == pytest.approx(0, abs=1e-6)
