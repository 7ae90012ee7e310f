"""Family 01: NT-Xent, in one process and spread over several.

The reference adds the means over either view: its loss and gradient are twice the paper's mean over all 2B views.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from parity.comparison import Outcome, compare
from parity.golden import Golden
from simclr_core.config.methods import SimCLRConfig
from simclr_core.methods.losses import contrastive_accuracy_and_entropy, cross_view_logits, simclr_loss

RTOL, ATOL = 2e-5, 2e-6
ATOL_GRADIENT_SHARP = 1e-4  # of a low temperature, or of views that resemble each other
SHARP = 10  # a logit from which softmax is as sharp as that of unit vectors at temperature .1
FLOAT64 = {"rtol": 1e-10, "atol": 1e-12}
FLOAT32_RESOLUTION = 1e-6  # relative gap below which the reference's argmax is a matter of rounding


def check(golden: Golden) -> Iterator[Outcome]:
    """Loss, gradient by the raw embeddings, similarities, accuracy and entropy."""
    if "loss_per_replica_google" in golden:
        yield from _check_replicas(golden)
        return
    config = _config(golden)
    z = golden.tensor("z").requires_grad_()
    z_1, z_2 = z.chunk(2)
    loss = simclr_loss(config, z_1, z_2)
    (gradient,) = torch.autograd.grad(loss, z, retain_graph=True)
    logits = cross_view_logits(z_1, z_2, config.temperature, normalize=config.normalize).detach()
    accuracy, entropy = contrastive_accuracy_and_entropy(z_1, z_2, config.temperature, normalize=config.normalize)

    yield compare("loss, twice ours", 2 * loss.item(), golden["loss_google"], rtol=RTOL, atol=ATOL)
    atol = _atol_of_gradient(golden, logits)
    yield compare("gradient, twice ours", 2 * gradient, golden["grad_z_google"], rtol=RTOL, atol=atol)
    yield compare("logits between views", logits, golden["logits_ab"], rtol=RTOL, atol=_atol_of(logits))
    ties = _undecided(logits)
    what = "contrastive accuracy, percent" + f" ({ties} of {len(logits)} rows tie in float32)" * bool(ties)
    yield compare(what, accuracy, 100 * golden["contrast_acc"], atol=100 * ties / len(logits) + 1e-4)
    yield compare("contrastive entropy, nats", entropy, golden["contrast_entropy"], rtol=RTOL, atol=_atol_of(logits))

    # These two normalise whatever they are given.
    loss = simclr_loss(SimCLRConfig(temperature=config.temperature), z_1, z_2)
    for source in ("lightly", "solo"):
        if f"loss_{source}" in golden:
            yield compare(f"loss, {source}", loss.item(), golden[f"loss_{source}"], **FLOAT64)
    if "grad_z_lightly" in golden:
        (gradient,) = torch.autograd.grad(loss, z)
        yield compare("gradient, lightly", gradient, golden["grad_z_lightly"], **FLOAT64)


def _check_replicas(golden: Golden) -> Iterator[Outcome]:
    """Each replica has its own anchors and everyone's keys; gradients are those of the mean over replicas."""
    config = _config(golden)
    z = golden.tensor("z").requires_grad_()  # (replicas, 2b, D)
    views_1, views_2 = z.chunk(2, dim=1)
    keys = views_1.flatten(0, 1), views_2.flatten(0, 1)
    own = views_1.shape[1]
    losses = torch.stack(
        [
            simclr_loss(config, view_1, view_2, keys, first_key=replica * own)
            for replica, (view_1, view_2) in enumerate(zip(views_1, views_2, strict=True))
        ]
    )
    (gradient,) = torch.autograd.grad(losses.mean(), z)
    joined = simclr_loss(config, keys[0].detach(), keys[1].detach())
    logits = torch.stack(
        [cross_view_logits(view, keys[1], config.temperature, normalize=config.normalize) for view in views_1]
    ).detach()

    theirs = golden["loss_per_replica_google"]
    yield compare("loss of each replica, twice ours", 2 * losses.detach(), theirs, rtol=RTOL, atol=ATOL)
    yield compare("loss of the joined batch, twice ours", 2 * joined.item(), theirs.mean(), rtol=RTOL, atol=ATOL)
    atol = _atol_of_gradient(golden, logits)
    yield compare("gradient, twice ours", 2 * gradient, golden["grad_z_per_replica_google"], rtol=RTOL, atol=atol)
    yield compare("logits between views", logits, golden["logits_ab_per_replica"], rtol=RTOL, atol=_atol_of(logits))


def _config(golden: Golden) -> SimCLRConfig:
    return SimCLRConfig(temperature=float(golden.scalar("temperature")), normalize=bool(golden.scalar("hidden_norm")))


def _atol_of(logits: Tensor) -> float:
    """A float32 dot product is off by the rounding of its largest terms, however small it is itself."""
    return ATOL * max(1.0, logits.abs().max().item())


def _atol_of_gradient(golden: Golden, logits: Tensor) -> float:
    is_sharp = golden.hp.get("input_kind") == "correlated" or logits.abs().max().item() >= SHARP
    return ATOL_GRADIENT_SHARP if is_sharp else ATOL


def _undecided(logits: Tensor) -> int:
    """Rows whose two largest entries are one number in float32."""
    first, second = logits.topk(min(2, logits.shape[1]), dim=1).values[:, [0, -1]].unbind(1)
    return int((first - second <= FLOAT32_RESOLUTION * logits.abs().amax(1)).sum()) if logits.shape[1] > 1 else 0
