"""LARS, parameter groups and the learning rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import nn

from simclr_core.config.schema import OptimizerConfig, RunConfig, problems_of
from simclr_core.training.optim import LARS, build_optimizer, lr_at, num_train_steps, num_warmup_steps, peak_lr, set_lr

Array = NDArray[np.float64]
VARIANTS = ("simclr", "simclr_nesterov", "simclr_popular", "byol", "apex", "solo")


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


# LARS' variants, each against a transcription of its code's order of operations: (w, g, lr, buffer) -> (w, buffer)

ETA, MOMENTUM, DECAY = 0.02, 0.9, 0.1
RATES = (0.0, 0.3, 0.6, 0.05)


def google_trust(w: Array, direction: Array) -> float:
    w_norm, length = np.linalg.norm(w), np.linalg.norm(direction)
    return float(ETA * w_norm / length) if w_norm > 0 and length > 0 else 1.0


def simclr(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    g = g + DECAY * w
    v = MOMENTUM * v + lr * google_trust(w, g) * g
    return w - v, v


def simclr_nesterov(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    g = g + DECAY * w
    step = lr * google_trust(w, g) * g
    v = MOMENTUM * v + step
    return w - (MOMENTUM * v + step), v


def simclr_popular(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    v = MOMENTUM * v + g + DECAY * w
    return w - lr * google_trust(w, v) * v, v


def byol(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    g = g + DECAY * w
    v = MOMENTUM * v + google_trust(w, g) * g
    return w - lr * v, v


def apex(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    w_norm, g_norm = np.linalg.norm(w), np.linalg.norm(g)
    if w_norm != 0 and g_norm != 0:
        g = (g + DECAY * w) * ETA * w_norm / (g_norm + DECAY * w_norm + 1e-8)
    v = MOMENTUM * v + g
    return w - lr * v, v


def solo(w: Array, g: Array, lr: float, v: Array) -> tuple[Array, Array]:
    w_norm, g_norm = np.linalg.norm(w), np.linalg.norm(g)
    if w_norm != 0 and g_norm != 0:
        adaptive = ETA * w_norm / (g_norm + DECAY * w_norm + 1e-8)
        g = (g + DECAY * w) * (min(adaptive / lr, 1.0) if lr else 1.0)
    v = MOMENTUM * v + g
    return w - lr * v, v


SLOW: dict[str, Callable[[Array, Array, float, Array], tuple[Array, Array]]] = {
    f.__name__: f for f in (simclr, simclr_nesterov, simclr_popular, byol, apex, solo)
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["random", "zero weights", "zero gradient", "small gradient"])
def test_lars_variant_is_its_transcription(variant: str, kind: str) -> None:
    rng = np.random.default_rng(7)
    theirs = rng.normal(size=(3, 4)) * (kind != "zero weights")
    buffer = np.zeros((3, 4))
    w = nn.Parameter(torch.from_numpy(theirs.copy()))
    optimizer = LARS([w], lr=0, momentum=MOMENTUM, weight_decay=DECAY, trust_coefficient=ETA, variant=variant)
    for step, lr in enumerate(RATES):
        g = rng.normal(size=(3, 4)) * {"zero gradient": step % 2, "small gradient": 1e-3}.get(kind, 1)
        theirs, buffer = SLOW[variant](theirs, g, lr, buffer)
        w.grad = torch.from_numpy(g)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()

        assert_allclose(w.detach().numpy(), theirs, rtol=1e-12, atol=1e-15)
        assert_allclose(optimizer.state[w]["momentum_buffer"].numpy(), buffer, rtol=1e-12, atol=1e-15)


def trajectory(variant: str, rates: tuple[float, ...], scale: float = 1.0, decay: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
    optimizer = LARS([w], lr=0, momentum=MOMENTUM, weight_decay=decay, trust_coefficient=ETA, variant=variant)
    for lr in rates:
        optimizer.param_groups[0]["lr"] = lr
        w.grad = scale * torch.randn(4, 3, generator=generator, dtype=torch.float64)
        optimizer.step()
    return w.detach()


def test_google_s_and_byol_s_differ_by_the_rate_s_changes_alone() -> None:
    constant, changing = (0.5, 0.5, 0.5), (0.5, 0.1, 0.9)

    torch.testing.assert_close(trajectory("byol", constant), trajectory("simclr", constant), rtol=1e-12, atol=0)
    assert not torch.allclose(trajectory("byol", changing), trajectory("simclr", changing), rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_decay_the_loss_s_scale_does_not_matter(variant: str) -> None:
    """Above the rates at which ``solo`` is clipped to plain SGD: its first step at rate 0 would be one."""
    ours = trajectory(variant, RATES[1:], scale=100)

    torch.testing.assert_close(ours, trajectory(variant, RATES[1:]), rtol=1e-6, atol=1e-9)


def test_six_variants_are_six_optimisers() -> None:
    ends = [trajectory(variant, RATES, decay=0.1) for variant in VARIANTS]

    assert all(not torch.allclose(a, b, rtol=1e-6) for a, b in itertools.combinations(ends, 2))


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


@pytest.mark.parametrize("variant", VARIANTS)
def test_apex_alone_adapts_vectors(variant: str) -> None:
    config = OptimizerConfig(name="lars", lars_variant=variant, weight_decay=0.1, trust_coefficient=0.02)
    optimizer = build_optimizer(config, TwoHeads(), None)

    assert {group["variant"] for group in optimizer.param_groups} == {variant}
    assert {group["trust_coefficient"] for group in optimizer.param_groups} == {0.02}
    for group in optimizer.param_groups:
        assert group["adapt"] == (group["params"][0].ndim > 1 or variant == "apex")
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0)


@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_frozen_parameters_are_neither_updated_nor_decayed(name: str) -> None:
    model = TwoHeads()
    model.predictor.requires_grad_(False)
    before = model.predictor.weight.clone()
    optimizer = build_optimizer(OptimizerConfig(name=name, weight_decay=0.5, decay_norm_and_bias=True), model, None)
    set_lr(optimizer, 1.0, peak=1.0)
    model.predictor(model.body(torch.ones(2, 3, 2, 2)).mean((2, 3))).square().sum().backward()
    optimizer.step()

    assert torch.equal(model.predictor.weight, before)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in model.body.parameters()}


def test_nesterov_momentum_looks_ahead() -> None:
    model = nn.Linear(1, 1, bias=False)
    start = model.weight.item()
    optimizer = build_optimizer(OptimizerConfig(nesterov=True, weight_decay=0), model, None)
    set_lr(optimizer, 0.5, peak=0.5)
    for _step in range(2):
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()

    assert model.weight.item() == pytest.approx(start - 0.5 * (1 + 0.9) - 0.5 * (1 + 0.9 * 1.9))


def test_nesterov_without_momentum_is_refused() -> None:
    config = RunConfig(optimizer=OptimizerConfig(nesterov=True, momentum=0.0))

    assert problems_of(config) == ["optimizer.nesterov = true: expected optimizer.momentum above 0"]


@pytest.mark.parametrize(
    ("images", "epochs", "batch", "whole_epochs", "released"),
    [
        (1_281_167, 100, 4096, 31_200, 31_279),  # ImageNet: 312 whole batches an epoch
        (50_000, 1000, 512, 97_000, 97_657),
        (5120, 3, 512, 30, 31),  # one step more even where it divides
        (60, 30, 100, 0, 19),
        (5120, 0, 512, 0, 0),  # the untrained network
    ],
)
def test_number_of_steps(images: int, epochs: int, batch: int, whole_epochs: int, released: int) -> None:
    assert num_train_steps(images, epochs, batch, "whole_epochs") == whole_epochs
    assert num_train_steps(images, epochs, batch, "released") == released


def test_number_of_warmup_steps() -> None:
    assert num_warmup_steps(1_281_167, 10, 4096, "whole_epochs") == 3120
    assert num_warmup_steps(1_281_167, 10, 4096, "released") == 3127
    assert num_warmup_steps(1000, 2.5, 64, "whole_epochs") == 38  # 37.5, to the even
    assert num_warmup_steps(1000, 2.5, 64, "released") == 39  # 39.06, down
    assert num_warmup_steps(1000, 0, 64, "released") == 0


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
