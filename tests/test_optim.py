"""LARS, parameter groups and the learning rate."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from simclr_core.config import OptimizerConfig
from simclr_core.optim import LARS, build_optimizer, lr_at, peak_lr, set_lr


def test_lars_first_step_moves_by_lr_times_trust_times_the_weights_norm() -> None:
    w = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    before = w.detach().clone()
    optimizer = LARS([w], lr=0.3, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3)
    w.grad = 100 * torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    optimizer.step()

    assert (w.detach() - before).norm().item() == pytest.approx(0.3 * 1e-3 * before.norm().item(), rel=1e-12)


def test_lars_leaves_a_zero_tensor_unadapted() -> None:
    w = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([w], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=1e-3)
    w.grad = torch.full((2, 2), 3.0)
    optimizer.step()

    torch.testing.assert_close(w.detach(), torch.full((2, 2), -1.5))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.predictor = nn.Linear(4, 4)


@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_simclr_decays_and_adapts_matrices_alone(name: str) -> None:
    optimizer = build_optimizer(OptimizerConfig(name=name, weight_decay=0.1), TwoHeads(), None)

    for group in optimizer.param_groups:
        matrices = {p.ndim > 1 for p in group["params"]}
        assert matrices == {group["weight_decay"] == 0.1}
        assert group.get("adapt", True) == (matrices == {True} or name == "sgd")


def test_simsiam_decays_everything_and_can_hold_the_predictors_rate() -> None:
    model = TwoHeads()
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.1, decay_norm_and_bias=True), model, model.predictor)
    set_lr(optimizer, 0.02, peak=0.5)

    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.1}
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    assert {rates[id(p)] for p in model.predictor.parameters()} == {0.5}
    assert {rates[id(p)] for p in model.body.parameters()} == {0.02}


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [lr_at(step, 2.0, 10, 110) for step in range(112)]

    assert rates[0] == 0
    assert rates[5] == 1
    assert rates[10] == 2
    assert rates[60] == pytest.approx(1)
    assert rates[110] == rates[111] == 0
    assert all(a > b for a, b in itertools.pairwise(rates[10:111]))
    assert lr_at(0, 2.0, 0, 10) == 2


def test_linear_and_square_root_scaling_agree_at_batch_4096() -> None:
    assert peak_lr(0.3, "linear", 4096) == pytest.approx(4.8)
    assert peak_lr(0.075, "sqrt", 4096) == pytest.approx(4.8)
    assert peak_lr(0.075, "sqrt", 256) / peak_lr(0.3, "linear", 256) == pytest.approx(math.sqrt(16))
