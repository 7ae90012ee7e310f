"""The pre-training loop."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from simclr_core.batch_norm import set_batch_norm_extent
from simclr_core.config import RunConfig
from simclr_core.data import ImageSet, pretrain_indices
from simclr_core.distributed import World, average_gradients, from_main, gather
from simclr_core.heads import z_std
from simclr_core.methods import build_method
from simclr_core.methods.base import Method
from simclr_core.optim import build_optimizer, lr_at, peak_lr, set_lr
from simclr_core.records import append_jsonl
from simclr_core.seeding import derive, generator
from simclr_core.views import ViewMaker

_NUM_LOG_LINES = 20


@dataclass(frozen=True)
class Progress:
    """Where a run is: ``phase`` is load, pretrain or evaluate; images_per_s counts two views of an image as two."""

    phase: str
    step: int
    num_steps: int
    images_per_s: float = 0.0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Pretrained:
    """The network after its last step, and the last finite training loss (None if there was none)."""

    method: Method
    num_steps: int
    final_loss: float | None
    diverged: bool
    duration_s: float


def pretrain(config: RunConfig, train: ImageSet, world: World, run_dir: Path, on_progress: OnProgress) -> Pretrained:
    """Train ``config`` from its seed on ``train``; writes metrics.jsonl and timing.jsonl into ``run_dir``.

    metrics.jsonl holds functions of the run alone, timing.jsonl what depends on the machine. A loss that is no
    longer finite ends the training and is a result, not an error. The last incomplete batch of an epoch is dropped.
    """
    start = time.perf_counter()
    rows = pretrain_indices(config.data, len(train.labels))
    images = train.images[rows].to(world.device)
    torch.manual_seed(derive(config.seed, "init"))
    method = build_method(config)
    set_batch_norm_extent(method, config.training)
    method.load_state_dict(from_main(method.state_dict))  # other processors may draw other last bits
    method.to(world.device).train()
    constant_lr = method.predictor if config.predictor.lr_schedule == "constant" else None
    optimizer = build_optimizer(config.optimizer, method, constant_lr)
    make_views = ViewMaker(config.views, config.data.normalization, len(images), config.data.image_size, config.seed)

    batch = config.training.global_batch_size
    own = world.slice_of(batch)
    steps_per_epoch = len(images) // batch
    num_steps = config.training.epochs * steps_per_epoch
    warmup_steps = round(config.optimizer.warmup_epochs * steps_per_epoch)
    peak = peak_lr(config.optimizer.base_lr, config.optimizer.lr_scaling, batch)
    log_every = max(1, math.ceil(num_steps / _NUM_LOG_LINES))
    if world.is_main:
        for name in ("metrics.jsonl", "timing.jsonl"):
            (run_dir / name).unlink(missing_ok=True)

    step, final_loss, last_log = 0, None, time.perf_counter()
    for epoch in range(config.training.epochs):
        make_views.start_epoch(epoch)
        order = torch.randperm(len(images), generator=generator(config.seed, "order", epoch))
        for indices in order[: steps_per_epoch * batch].split(batch):
            schedule_step = epoch * steps_per_epoch if config.optimizer.lr_steps == "epoch" else step
            lr = lr_at(schedule_step, peak, warmup_steps, num_steps)
            set_lr(optimizer, lr, peak)
            view_1, view_2 = make_views(images[indices[own].to(world.device)], indices, step, own)
            output = method(view_1, view_2)
            optimizer.zero_grad()
            output.loss.backward()
            average_gradients(method.parameters())
            optimizer.step()
            step += 1
            if step % log_every and step != num_steps:
                continue
            loss = gather(output.loss.detach()[None]).mean().item()
            spread = z_std(gather(output.z.detach())).item()
            if not math.isfinite(loss):
                return Pretrained(method, step, final_loss, diverged=True, duration_s=time.perf_counter() - start)
            final_loss = loss
            now = time.perf_counter()
            images_per_s = 2 * batch * ((step - 1) % log_every + 1) / (now - last_log)
            last_log = now
            if not world.is_main:
                continue
            metrics = {"step": step, "epoch": step / steps_per_epoch, "loss": loss, "lr": lr}
            append_jsonl(run_dir / "metrics.jsonl", metrics | {"z_std": spread})
            timing = {"step": step, "time": time.time(), "images_per_s": images_per_s, "host": socket.gethostname()}
            append_jsonl(run_dir / "timing.jsonl", timing)
            on_progress(Progress("pretrain", step, num_steps, images_per_s))
    return Pretrained(method, step, final_loss, diverged=False, duration_s=time.perf_counter() - start)
