"""LARS, parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from simclr_core.config import OptimizerConfig


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017) as in SimCLR's released ``LARSOptimizer``.

    With g' = g + weight_decay * w: v <- momentum * v + lr * trust * g'; w <- w - v, where
    trust = trust_coefficient * |w| / |g'|, and 1 where a norm is 0. The learning rate is inside the momentum
    buffer, unlike torch's SGD. Groups with ``adapt=False`` take trust = 1.
    """

    def __init__(
        self, params: Any, *, lr: float, momentum: float, weight_decay: float, trust_coefficient: float
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported, as nothing here needs one."""
        assert closure is None
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._update(w, group)

    def _update(self, w: Tensor, group: dict[str, Any]) -> None:
        g = w.grad.add(w, alpha=group["weight_decay"]) if w.grad is not None else torch.zeros_like(w)
        scaled = g * group["lr"]
        if group["adapt"]:
            w_norm, g_norm = w.norm(), g.norm()
            trust = group["trust_coefficient"] * w_norm / g_norm
            scaled *= torch.where((w_norm > 0) & (g_norm > 0), trust, torch.ones_like(trust))
        state = self.state[w]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(w)
        w.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(scaled))


def build_optimizer(config: OptimizerConfig, model: nn.Module, constant_lr: nn.Module | None) -> Optimizer:
    """The optimiser with the papers' parameter groups.

    BN parameters and biases (every tensor of one dimension) take weight decay only with ``decay_norm_and_bias``
    (SimSiam) and are never adapted by LARS (SimCLR's exclusion list). Parameters of ``constant_lr`` form groups
    of their own, whose learning rate ``set_lr`` leaves at the peak (SimSiam's predictor, Sec. 4.2).
    """
    constant = {id(p) for p in constant_lr.parameters()} if constant_lr is not None else set()
    groups: list[dict[str, Any]] = []
    for is_constant in (False, True):
        for is_vector in (False, True):
            chosen = [p for p in model.parameters() if (id(p) in constant, p.ndim <= 1) == (is_constant, is_vector)]
            decay = 0.0 if is_vector and not config.decay_norm_and_bias else config.weight_decay
            group = {"params": chosen, "weight_decay": decay, "constant_lr": is_constant}
            if config.name == "lars":
                group["adapt"] = not is_vector
            if chosen:
                groups.append(group)
    if config.name == "lars":
        return LARS(
            groups,
            lr=0.0,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            trust_coefficient=config.trust_coefficient,
        )
    return SGD(groups, lr=0.0, momentum=config.momentum, fused=True)


def set_lr(optimizer: Optimizer, lr: float, peak: float) -> None:
    """Set this step's learning rate; groups with a constant one take the peak."""
    for group in optimizer.param_groups:
        group["lr"] = peak if group["constant_lr"] else lr


def peak_lr(base_lr: float, scaling: str, global_batch_size: int) -> float:
    """``linear``: base_lr * B / 256; ``sqrt``: base_lr * sqrt(B) (SimCLR App. B.1)."""
    return base_lr * (global_batch_size / 256 if scaling == "linear" else math.sqrt(global_batch_size))


def lr_at(step: int, peak: float, warmup_steps: int, num_steps: int) -> float:
    """Learning rate at a 0-based step: linear from 0 over the warm-up, then half a cosine from the peak to 0.

    SimCLR's released ``WarmUpAndCosineDecay``: the first warm-up step has rate 0, step ``warmup_steps`` the peak,
    and from ``num_steps`` on it is 0.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    if step >= num_steps:
        return 0.0
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps)))
