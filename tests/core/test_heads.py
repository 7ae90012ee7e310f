"""Projector, predictor and the collapse diagnostic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simclr_core.config.layers import projection_dim
from simclr_core.config.schema import PredictorConfig, ProjectorConfig
from simclr_core.networks.heads import build_predictor, build_projector, z_std


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


@pytest.mark.parametrize(
    ("row", "num_batch_norms"),
    [
        ((False, "none", False, "none"), (0, 0)),  # (a) none
        ((True, "none", True, "none"), (2, 1)),  # (b) hidden layers alone
        ((True, "affine", True, "none"), (3, 1)),  # (c) the default
        ((True, "affine", True, "affine"), (3, 2)),  # (d) all
    ],
)
def test_rows_of_simsiam_table_3_have_their_batch_norms(
    row: tuple[bool, str, bool, str], num_batch_norms: tuple[int, int]
) -> None:
    projector = build_projector(
        ProjectorConfig(num_layers=3, dim=16, hidden_batch_norm=row[0], output_batch_norm=row[1]), 16
    )
    predictor = build_predictor(
        PredictorConfig(kind="mlp", hidden_dim=4, hidden_batch_norm=row[2], output_batch_norm=row[3]), 16
    )

    for head, number in zip((projector, predictor), num_batch_norms, strict=True):
        norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm1d)]
        biases = [m.bias is not None for m in head.modules() if isinstance(m, nn.Linear)]
        assert len(norms) == number
        assert biases.count(False) == number  # a bias where no BN follows


def test_a_fixed_predictor_keeps_its_parameters_and_follows_its_batches() -> None:
    predictor = build_predictor(PredictorConfig(kind="mlp", hidden_dim=4, trained=False), 8)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    predictor(z).sum().backward()

    assert not any(p.requires_grad for p in predictor.parameters())
    assert all(p.grad is None for p in predictor.parameters())
    assert z.grad is not None
    assert z.grad.any()
    assert isinstance(predictor, nn.Sequential)
    assert predictor[1].running_mean.any()


@pytest.mark.parametrize("output_batch_norm", ["scale_only", "none"])
def test_normal_initialisation_has_standard_deviation_a_hundredth(output_batch_norm: str) -> None:
    torch.manual_seed(0)
    config = ProjectorConfig(num_layers=2, dim=128, init="normal", output_batch_norm=output_batch_norm)
    linears = [m for m in build_projector(config, 256).modules() if isinstance(m, nn.Linear)]

    assert [layer.weight.std().item() for layer in linears] == pytest.approx([0.01, 0.01], rel=0.02)
    assert all(layer.bias is None or not layer.bias.any() for layer in linears)


def test_the_new_settings_at_their_neutral_values_draw_what_was_drawn_before() -> None:
    """Torch's own initialisation, layer by layer, from the same random state."""
    torch.manual_seed(3)
    projector = build_projector(ProjectorConfig(num_layers=2, dim=8), 12)
    predictor = build_predictor(PredictorConfig(kind="mlp", hidden_dim=4), 8)
    torch.manual_seed(3)
    layers = [nn.Linear(12, 12, bias=False), nn.Linear(12, 8, bias=False), nn.Linear(8, 4, bias=False), nn.Linear(4, 8)]

    drawn = [m.weight for head in (projector, predictor) for m in head.modules() if isinstance(m, nn.Linear)]
    assert all(torch.equal(ours, layer.weight) for ours, layer in zip(drawn, layers, strict=True))
