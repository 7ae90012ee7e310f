"""Training with labels, as linear evaluation by SGD and fine-tuning share it: views, schedule, optimiser.

SimCLR App. B.5 and B.6, with what its released code adds: random crop and flip and no other augmentation, Nesterov
momentum, half a cosine without warm-up that advances with every step, a layer on top that begins at zero.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from simclr_core.config.schema import EvalConfig
from simclr_core.data.datasets import Images, normalise, to_float
from simclr_core.evals.embed import Reading
from simclr_core.evals.protocol import Tell
from simclr_core.imaging.boxes import draw_boxes, uniform
from simclr_core.imaging.crops import crop_resize
from simclr_core.imaging.geometry import hflip
from simclr_core.seeding import generator
from simclr_core.training.optim import LARS, lr_at, peak_lr

MOMENTUM = 0.9
TRUST_COEFFICIENT = 1e-3
"""Of LARS, as in SimSiam's linear evaluation."""


def zero_layer(num_features: int, num_classes: int, device: torch.device) -> nn.Linear:
    """Features (B, F) -> logits (B, C), all 0 at first, so that the first loss is ln C."""
    layer = nn.Linear(num_features, num_classes, device=device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def train_with_labels(
    evaluation: EvalConfig,
    images: Images,
    rows: Tensor,
    reading: Reading,
    logits: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    tell: Tell,
) -> dict[str, Any]:
    """Descend the cross entropy of ``logits``: normalised images (B, 3, S, S) -> (B, C), by ``parameters``.

    ``rows`` (n,) are the labelled images. Each epoch drops its last incomplete batch; images that fill no batch are
    one. The result holds ``num_steps`` and the first and the last training loss, None where it is not finite; an
    epoch that ends with such a loss is the last one.
    """
    batch_size = min(evaluation.batch_size, len(rows))
    num_steps = evaluation.epochs * (len(rows) // batch_size)
    peak = peak_lr(evaluation.base_lr, "linear", batch_size)
    optimizer = _optimizer(evaluation, parameters)
    losses: list[float] = []
    step = 0
    for epoch in range(evaluation.epochs):
        loss = torch.zeros(())
        with contextlib.closing(_views(evaluation, images, rows, reading, batch_size, epoch)) as batches:
            for views, labels in batches:
                for group in optimizer.param_groups:
                    group["lr"] = lr_at(step, peak, 0, num_steps)
                loss = functional.cross_entropy(logits(normalise(views, reading.normalization)), labels)
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


def _views(
    evaluation: EvalConfig, images: Images, rows: Tensor, reading: Reading, batch_size: int, epoch: int
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Batches of an epoch: float32 (B, 3, S, S) in [0, 1] and labels (B,), cropped and flipped, on the device.

    Crop and flip belong to the image and the epoch, whatever batch it comes in. Images in memory are cropped on the
    device, without antialiasing; a stream is cropped by those that decode it, with antialiasing.
    """

    def source(name: str) -> torch.Generator:
        return generator(evaluation.seed, evaluation.protocol, epoch, name)

    order = torch.randperm(len(rows), generator=source("order"))[: len(rows) // batch_size * batch_size]
    flips = uniform(len(rows), source("flip")) < 0.5
    in_memory = images.sizes is None
    sizes = torch.full((len(rows), 2), reading.image_size) if images.sizes is None else images.sizes[rows]
    boxes = draw_boxes(sizes, evaluation.crop_min_area, source("crop"))
    picks = order.split(batch_size)
    if in_memory:
        read = images.whole(rows[order], batch_size, reading.num_workers)
    else:
        read = _single(images.crops(((rows[pick], boxes[pick, None]) for pick in picks), reading.num_workers))
    with contextlib.closing(read):
        for pick, pixels in zip(picks, read, strict=True):
            batch = to_float(pixels.to(reading.device))
            views = crop_resize(batch, boxes[pick], reading.image_size) if in_memory else batch
            yield hflip(views, flips[pick]), images.labels[rows[pick]].to(reading.device)


def _single(read: Generator[list[Tensor], None, None]) -> Generator[Tensor, None, None]:
    """Batches of one crop an image; worker processes end with it."""
    with contextlib.closing(read):
        for (crop,) in read:
            yield crop


def _optimizer(evaluation: EvalConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    weight_decay = evaluation.weight_decay
    if evaluation.optimizer == "sgd":
        return SGD(parameters, lr=0.0, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay)
    return LARS(
        parameters,
        lr=0.0,
        momentum=MOMENTUM,
        weight_decay=weight_decay,
        trust_coefficient=TRUST_COEFFICIENT,
        variant="apex",
    )
