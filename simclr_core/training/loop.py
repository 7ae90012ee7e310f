"""The pre-training loop, and its exact resumption after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simclr_core.config.runtime import OnProgress, Progress, RuntimeConfig, StopRequested, TrainingStopped
from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import Images
from simclr_core.methods import build_method
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.networks.batch_norm import set_batch_norm_extent
from simclr_core.networks.heads import z_std
from simclr_core.networks.network import Network
from simclr_core.processes.distributed import World, anywhere, average_gradients, from_main, gather
from simclr_core.seeding import derive
from simclr_core.training import checkpoint
from simclr_core.training.batches import Batches
from simclr_core.training.log import Curves
from simclr_core.training.machine import differences, environment
from simclr_core.training.optim import build_optimizer, lr_at, num_train_steps, num_warmup_steps, peak_lr, set_lr

_NUM_LOG_LINES = 20
_PROGRESS_EVERY_S = 1.0
_ASK_EVERY = 10  # steps between asking all processes whether to stop, which waits for their GPUs


KnnTop1 = Callable[[Network], float | None]
"""Returns the kNN accuracy of a network in training, in percent; None if the network's features are not finite."""

EmbedAll = Callable[[Network, Tensor], tuple[Tensor, Tensor]]
"""Returns features (n, F) and z (n, D) of the given training images, from a network in eval mode."""


@dataclass
class Training:
    """A method in training, with all that a resume restores; data and views follow from seed and step."""

    method: Method
    optimizer: torch.optim.Optimizer
    world: World
    step: int = 0
    order: Tensor | None = None  # of this epoch, where the method sets one
    final_loss: float | None = None  # the last finite one that was looked at
    diverged: bool = False
    duration_s: float = 0.0  # of all attempts up to their last checkpoint
    resumes: list[dict[str, Any]] = field(default_factory=list)

    def state(self, *, final: bool = False) -> checkpoint.State:
        """Return the checkpoint as plain values and tensors; with ``final``, only what an evaluation needs."""
        return {
            "method": (self.method.network() if final else self.method).state_dict(),
            "optimizer": None if final else self.optimizer.state_dict(),
            "order": None if final else self.order,
            "random_state": torch.get_rng_state(),
            "step": self.step,
            "final_loss": self.final_loss,
            "diverged": self.diverged,
            "duration_s": self.duration_s,
            "resumes": self.resumes,
            "environment": environment(self.world),
        }

    def restore(self, state: checkpoint.State) -> None:
        """Continue from a checkpoint; record the step, and whether this machine gives the same bits."""
        if state["optimizer"] is None:  # the last checkpoint of a run that was killed before it wrote its result
            self.method.network().load_state_dict(state["method"])
        else:
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random_state"])
        self.step, self.order, self.final_loss = state["step"], state["order"], state["final_loss"]
        self.diverged, self.duration_s = state["diverged"], state["duration_s"]
        changed = differences(state["environment"], environment(self.world))
        self.resumes = [*state["resumes"], {"step": self.step, "bit_exact": not changed, "differences": changed}]


def pretrain(
    config: RunConfig,
    images: Images,
    world: World,
    runtime: RuntimeConfig,
    run_dir: Path,
    on_progress: OnProgress,
    stop_requested: StopRequested = lambda: False,
    knn_top1: KnnTop1 = lambda _: None,
    embed_all: EmbedAll | None = None,
) -> Training:
    """Train ``config`` from its seed on ``images``, or from the checkpoint in ``run_dir`` if there is one.

    ``knn_top1`` measures the network in process 0 after every ``training.knn_epochs`` epochs and after the last step.
    ``embed_all`` embeds all images for methods that prepare their epochs. Writes metrics.jsonl, timing.jsonl and
    checkpoints. A loss that is no longer finite ends the training; this is a result, not an error. Raises
    TrainingStopped, after a checkpoint, once ``stop_requested`` is true in any process.
    """
    start = time.perf_counter()
    batches = Batches(config, images, world, runtime.num_workers)
    training = build_training(config, batches, world)
    state = from_main(lambda: checkpoint.load(run_dir))
    if state is not None and "order" in state:  # former versions wrote other keys: their trainings begin anew
        training.restore(state)
    elapsed_before = training.duration_s
    curves = Curves(run_dir, training.step, tensorboard=runtime.tensorboard) if world.is_main else None

    size = config.training.global_batch_size
    step_count = config.training.step_count
    num_steps = num_train_steps(batches.num_images, config.training.epochs, size, step_count)
    warmup_steps = num_warmup_steps(batches.num_images, config.optimizer.warmup_epochs, size, step_count)
    peak = peak_lr(config.optimizer.base_lr, config.optimizer.lr_scaling, size)
    log_every = max(1, math.ceil(num_steps / _NUM_LOG_LINES))
    knn_every = config.training.knn_epochs * batches.steps_per_epoch
    logged, shown, saved = (_Meter(training.step) for _ in range(3))

    images_per_step = config.method.num_views * size
    for batch in _coming(training, batches, num_steps if not training.diverged else 0, embed_all):
        by_epoch = config.optimizer.lr_steps == "epoch"
        schedule_step = batch.step - batch.step % batches.steps_per_epoch if by_epoch else batch.step
        lr = lr_at(schedule_step, peak, warmup_steps, num_steps)
        set_lr(training.optimizer, lr, peak)
        output = descend(training.method, batch)
        training.optimizer.step()
        training.method.after_step(batch)
        training.step += 1

        is_last = training.step == num_steps
        measures = knn_every > 0 and (training.step % knn_every == 0 or is_last)
        if training.step % log_every == 0 or measures or is_last:
            images_per_s = images_per_step * logged.rate(training.step)
            metrics = _metrics(training, output, lr, batches.steps_per_epoch, knn_top1 if measures else None)
            if not metrics:
                training.diverged = True
                break
            training.final_loss = metrics["loss"]
            if curves is not None:
                curves.add(metrics, images_per_s)
            logged.rate(training.step)  # what measuring took is no training
        if shown.seconds() > _PROGRESS_EVERY_S or is_last:
            on_progress(Progress("pretrain", training.step, num_steps, images_per_step * shown.rate(training.step)))
        asks = world.size == 1 or training.step % _ASK_EVERY == 0
        stop = asks and anywhere(stop_requested()) and not is_last
        if stop or saved.seconds() > runtime.checkpoint_every_s:
            training.duration_s = elapsed_before + time.perf_counter() - start
            if world.is_main:
                checkpoint.save(run_dir, training.state())
            saved.rate(training.step)
            if stop:
                raise TrainingStopped
    training.duration_s = elapsed_before + time.perf_counter() - start
    return training


def build_training(config: RunConfig, batches: Batches, world: World) -> Training:
    """Build the method and the optimiser of a configuration in their state before the first step."""
    torch.manual_seed(derive(config.seed, "init"))
    method = build_method(config, batches.num_images)
    set_batch_norm_extent(method, config.training)
    method.load_state_dict(from_main(method.state_dict))  # other processors may draw other last bits
    method.to(world.device).train()
    constant_lr = method.net.predictor if config.predictor.lr_schedule == "constant" else None
    return Training(method, build_optimizer(config.optimizer, method, constant_lr), world)


def _coming(training: Training, batches: Batches, num_steps: int, embed_all: EmbedAll | None) -> Iterator[Batch]:
    """Yield the remaining batches; a method that prepares its epochs is called before the first batch of each epoch."""
    method = training.method
    if not method.prepares_epochs:
        yield from batches.steps(training.step, num_steps)
        return

    def embed() -> tuple[Tensor, Tensor]:
        assert embed_all is not None, "a method that prepares its epochs needs embed_all"
        return from_main(lambda: embed_all(method.network(), batches.rows))

    while training.step < num_steps:
        epoch, within = divmod(training.step, batches.steps_per_epoch)
        if not within:
            training.order = method.start_epoch(epoch, embed)
        batches.set_order(epoch, training.order)
        yield from batches.steps(training.step, min((epoch + 1) * batches.steps_per_epoch, num_steps))


def _metrics(
    training: Training, output: Step, lr: float, steps_per_epoch: int, knn_top1: KnnTop1 | None
) -> dict[str, Any]:
    """Return a line of metrics.jsonl, over all processes; empty if the loss is no longer finite."""
    loss = gather(output.loss.detach()[None]).mean().item()
    if not math.isfinite(loss):
        return {}
    projections = [gather(z.detach()) for z in output.projections]
    metrics = {"step": training.step, "epoch": training.step / steps_per_epoch, "loss": loss, "lr": lr}
    metrics |= {"z_std": z_std(torch.cat(projections)).item(), **training.method.diagnostics(projections)}
    metrics |= {name: gather(value.detach()[None]).mean().item() for name, value in output.logs.items()}
    return metrics | ({"knn_top1": from_main(lambda: knn_top1(training.method.network()))} if knn_top1 else {})


def descend(method: Method, batch: Batch) -> Step:
    """Compute the gradients of the mean loss over the processes; return the step, with this process's loss."""
    output = method.step(batch)
    method.zero_grad()
    output.loss.backward()
    average_gradients(method.parameters())
    return output


class _Meter:
    """Measures steps per second since the last reading."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds since the last reading."""
        return time.perf_counter() - self._time

    def rate(self, step: int) -> float:
        """Return the steps per second since the last reading, and start a new measurement."""
        now = time.perf_counter()
        rate = (step - self._step) / (now - self._time)
        self._step, self._time = step, now
        return rate
