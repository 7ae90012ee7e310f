"""LARS, parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from simclr_core.config.schema import OptimizerConfig


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017), in the variants of several released codes.

    With g' = g + weight_decay * w, eta the trust coefficient and mu the momentum, and trust = 1 if one of its norms is
    0, or in groups with ``adapt=False``:

    ``simclr``: trust = eta |w| / |g'|; v <- mu v + lr trust g'; w <- w - v (SimCLR ``lars_optimizer.py``).
    ``simclr_nesterov``: the same; w <- w - (mu v + lr trust g').
    ``simclr_popular``: v <- mu v + g'; trust = eta |w| / |v|; w <- w - lr trust v (the same file).
    ``byol``: trust as in ``simclr``; v <- mu v + trust g'; w <- w - lr v (BYOL's released code).
    ``apex``: trust = eta |w| / (|g| + weight_decay |w| + 1e-8); where a norm is 0, g replaces g';
    then as ``byol`` (apex ``LARC(clip=False)``, for SimSiam's linear evaluation and SwAV).
    ``solo``: as ``apex``, with trust / lr, at most 1, in place of trust (solo-learn's ``clip_lr``): a rate below
    the trust, such as 0, leaves the gradient unchanged in the buffer.

    In the first two variants the learning rate is inside the momentum buffer, unlike torch's SGD: a new rate applies to
    the new gradient only.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        trust_coefficient: float,
        variant: str = "simclr",
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "variant": variant,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported, because nothing here needs one."""
        assert closure is None
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._update(w, w.grad, group)

    def _update(self, w: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        if "momentum_buffer" not in self.state[w]:
            self.state[w]["momentum_buffer"] = torch.zeros_like(w)
        v: Tensor = self.state[w]["momentum_buffer"]
        decayed = gradient.add(w, alpha=group["weight_decay"])
        match group["variant"]:
            case "simclr":
                scaled = decayed * lr * _trust(w, decayed, group)
                w.sub_(v.mul_(momentum).add_(scaled))
            case "simclr_nesterov":
                scaled = decayed * lr * _trust(w, decayed, group)
                v.mul_(momentum).add_(scaled)
                w.sub_(v * momentum + scaled)
            case "simclr_popular":
                v.mul_(momentum).add_(decayed)
                w.sub_(v * lr * _trust(w, v, group))
            case "byol":
                v.mul_(momentum).add_(decayed * _trust(w, decayed, group))
                w.sub_(v, alpha=lr)
            case "apex" | "solo":
                v.mul_(momentum).add_(_adapted_by_parts(w, gradient, decayed, group))
                w.sub_(v, alpha=lr)


def _trust(w: Tensor, direction: Tensor, group: dict[str, Any]) -> Tensor | float:
    """Return trust coefficient times |w| over |direction|; 1 if either is 0, and in groups that are not adapted."""
    if not group["adapt"]:
        return 1.0
    w_norm, length = w.norm(), direction.norm()
    trust = group["trust_coefficient"] * w_norm / length
    return torch.where((w_norm > 0) & (length > 0), trust, torch.ones_like(trust))


def _adapted_by_parts(w: Tensor, gradient: Tensor, decayed: Tensor, group: dict[str, Any]) -> Tensor:
    """Return trust * g' with the trust of the two variants that add the norms of gradient and decay."""
    if not group["adapt"]:
        return decayed
    w_norm, g_norm = w.norm(), gradient.norm()
    trust = group["trust_coefficient"] * w_norm / (g_norm + group["weight_decay"] * w_norm + 1e-8)
    if group["variant"] == "solo":
        trust = (trust / group["lr"]).clamp(max=1) if group["lr"] else torch.ones_like(trust)
    return torch.where((w_norm > 0) & (g_norm > 0), trust * decayed, gradient)


def build_optimizer(config: OptimizerConfig, model: nn.Module, constant_lr: nn.Module | None) -> Optimizer:
    """Build the optimiser with the papers' parameter groups, over the parameters that take a gradient.

    BN parameters and biases (all tensors of one dimension) take weight decay only with ``decay_norm_and_bias``
    (SimSiam). LARS does not adapt them (SimCLR's exclusion list), except in the variant ``apex``, which excludes
    nothing. The parameters of ``constant_lr`` form separate groups whose learning rate ``set_lr`` keeps at the peak
    (SimSiam's predictor, Sec. 4.2).
    """
    constant = {id(p) for p in constant_lr.parameters()} if constant_lr is not None else set()
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for is_constant in (False, True):
        for is_vector in (False, True):
            chosen = [p for p in trained if (id(p) in constant, p.ndim <= 1) == (is_constant, is_vector)]
            decay = 0.0 if is_vector and not config.decay_norm_and_bias else config.weight_decay
            group = {"params": chosen, "weight_decay": decay, "constant_lr": is_constant}
            if config.name == "lars":
                group["adapt"] = not is_vector or config.lars_variant == "apex"
            if chosen:
                groups.append(group)
    if config.name == "lars":
        return LARS(
            groups,
            lr=0.0,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            trust_coefficient=config.trust_coefficient,
            variant=config.lars_variant,
        )
    return SGD(groups, lr=0.0, momentum=config.momentum, nesterov=config.nesterov, fused=True)


def set_lr(optimizer: Optimizer, lr: float, peak: float) -> None:
    """Set the learning rate of this step; groups with a constant rate get the peak."""
    for group in optimizer.param_groups:
        group["lr"] = peak if group["constant_lr"] else lr


def peak_lr(base_lr: float, scaling: str, global_batch_size: int) -> float:
    """Return the peak learning rate: base_lr * B / 256 (``linear``), base_lr * sqrt(B) (``sqrt``; SimCLR App. B.1)."""
    return base_lr * (global_batch_size / 256 if scaling == "linear" else math.sqrt(global_batch_size))


def num_train_steps(num_images: int, epochs: int, global_batch_size: int, step_count: str) -> int:
    """Return the number of optimiser steps of a run; 0 for the untrained network of 0 epochs.

    ``whole_epochs``: every epoch drops its last incomplete batch. ``released``: images * epochs // batch + 1, one step
    more even if the division is exact (SimCLR ``model.py``, ``get_train_steps``).
    """
    if step_count == "whole_epochs" or epochs == 0:
        return epochs * (num_images // global_batch_size)
    return num_images * epochs // global_batch_size + 1


def num_warmup_steps(num_images: int, warmup_epochs: float, global_batch_size: int, step_count: str) -> int:
    """Return the steps of the warm-up, rounded (whole epochs), or warmup_epochs * images // batch (``released``)."""
    if step_count == "whole_epochs":
        return round(warmup_epochs * (num_images // global_batch_size))
    return int(warmup_epochs * num_images // global_batch_size)


def lr_at(step: int, peak: float, warmup_steps: int, num_steps: int) -> float:
    """Return the learning rate at a 0-based step: linear from 0 over the warm-up, then half a cosine to 0.

    As in SimCLR's released ``WarmUpAndCosineDecay``, the first warm-up step has rate 0, step ``warmup_steps`` has the
    peak, and from ``num_steps`` on the rate is 0.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    if step >= num_steps:
        return 0.0
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps)))
