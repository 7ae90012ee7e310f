"""Training with labels, as linear evaluation by SGD and fine-tuning share it: views, schedule, optimiser.

SimCLR App. B.5 and B.6, with what its released code adds: random crop and flip and no other augmentation, Nesterov
momentum, half a cosine without warm-up that advances with every step, a layer on top that begins at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from simclr_core import transforms
from simclr_core.config import EvalConfig
from simclr_core.data import ImageSet, normalise, to_float
from simclr_core.optim import lr_at, peak_lr
from simclr_core.seeding import generator
from simclr_core.views import draw_boxes

MOMENTUM = 0.9

Tell = Callable[[int, int], None]
"""Called with the epochs done and the epochs in all."""


def zero_layer(num_features: int, num_classes: int, device: torch.device) -> nn.Linear:
    """Features (B, F) -> logits (B, C), all 0 at first, so that the first loss is ln C."""
    layer = nn.Linear(num_features, num_classes, device=device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def train_with_labels(
    evaluation: EvalConfig,
    train: ImageSet,
    normalization: str,
    device: torch.device,
    logits: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    tell: Tell,
) -> dict[str, Any]:
    """Descend the cross entropy of ``logits``: normalised images (B, 3, S, S) -> (B, C), by ``parameters``.

    Each epoch drops its last incomplete batch; images that fill no batch are one. The result holds ``num_steps`` and
    the first and the last training loss; an epoch that ends with a loss that is not finite is the last one.
    """
    batch_size = min(evaluation.batch_size, len(train.labels))
    steps_per_epoch = len(train.labels) // batch_size
    num_steps = evaluation.epochs * steps_per_epoch
    peak = peak_lr(evaluation.base_lr, "linear", batch_size)
    optimizer = _optimizer(evaluation, parameters)
    losses: list[float] = []
    step = 0
    for epoch in range(evaluation.epochs):
        loss = torch.zeros(())
        for images, labels in _batches(evaluation, train, batch_size, epoch, device):
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step, peak, 0, num_steps)
            loss = functional.cross_entropy(logits(normalise(images, normalization)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                losses.append(loss.item())
            step += 1
        losses.append(loss.item())
        tell(epoch + 1, evaluation.epochs)
        if not math.isfinite(losses[-1]):
            break
    first, final = (loss if math.isfinite(loss) else None for loss in (losses[0], losses[-1]))
    return {"num_steps": step, "first_loss": first, "final_loss": final}


def _batches(
    evaluation: EvalConfig, train: ImageSet, batch_size: int, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Views (B, 3, S, S) in [0, 1], cropped and flipped by parameters that belong to the image, and labels (B,)."""
    count, size = len(train.labels), train.images.shape[3]

    def source(name: str) -> torch.Generator:
        return generator(evaluation.seed, evaluation.protocol, epoch, name)

    order = torch.randperm(count, generator=source("order"))
    boxes = draw_boxes(count, size, evaluation.crop_min_area, source("crop"))
    flips = torch.rand(count, generator=source("flip"), dtype=torch.float64) < 0.5
    for rows in order[: count // batch_size * batch_size].split(batch_size):
        images = transforms.crop_resize(to_float(train.images[rows].to(device)), boxes[rows], size)
        yield transforms.hflip(images, flips[rows]), train.labels[rows].to(device)


def _optimizer(evaluation: EvalConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.0, momentum=MOMENTUM, nesterov=True, weight_decay=evaluation.weight_decay)
