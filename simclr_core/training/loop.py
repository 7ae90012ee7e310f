"""The pre-training loop, and how it goes on after an interruption as if there had been none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from simclr_core.config.runtime import RuntimeConfig, TrainingStopped
from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import Images
from simclr_core.evals.monitor import Monitor
from simclr_core.methods import build_method
from simclr_core.methods.base import Method, StepOutput, Targets
from simclr_core.methods.supervised import Supervised
from simclr_core.methods.targets import Alternation, MovingAverage
from simclr_core.networks.batch_norm import set_batch_norm_extent
from simclr_core.networks.heads import z_std
from simclr_core.processes.distributed import World, anywhere, average_gradients, from_main, gather
from simclr_core.seeding import derive
from simclr_core.training import checkpoint
from simclr_core.training.batches import Batch, Batches
from simclr_core.training.log import Curves
from simclr_core.training.machine import differences, environment
from simclr_core.training.optim import build_optimizer, lr_at, num_train_steps, num_warmup_steps, peak_lr, set_lr

_NUM_LOG_LINES = 20
_PROGRESS_EVERY_S = 1.0
_ASK_EVERY = 10  # steps between asking all processes whether to stop, which waits for their GPUs


@dataclass(frozen=True)
class Progress:
    """Where a run is: ``phase`` is load, pretrain or evaluate; images_per_s counts two views of an image as two."""

    phase: str
    step: int
    num_steps: int
    images_per_s: float = 0.0


OnProgress = Callable[[Progress], None]
StopRequested = Callable[[], bool]


@dataclass
class Training:
    """A network in training, and all that a resume restores. Data and views follow from the seed and the step."""

    method: Method
    optimizer: torch.optim.Optimizer
    targets: Alternation | MovingAverage | None
    world: World
    step: int = 0
    final_loss: float | None = None  # the last finite one that was looked at
    diverged: bool = False
    duration_s: float = 0.0  # of all attempts up to their last checkpoint
    resumes: list[dict[str, Any]] = field(default_factory=list)

    def state(self, *, final: bool = False) -> checkpoint.State:
        """Plain values and tensors; ``final`` leaves out what only more steps would need."""
        memory = self.targets.state_dict() if isinstance(self.targets, MovingAverage) else None
        return {
            "method": self.method.state_dict(),
            "optimizer": None if final else self.optimizer.state_dict(),
            "targets": None if final else memory,
            "random_state": torch.get_rng_state(),
            "step": self.step,
            "final_loss": self.final_loss,
            "diverged": self.diverged,
            "duration_s": self.duration_s,
            "resumes": self.resumes,
            "environment": environment(self.world),
        }

    def restore(self, state: checkpoint.State) -> None:
        """Go on from a checkpoint; notes where, and whether this machine gives the same bits."""
        self.method.load_state_dict(state["method"])
        if state["optimizer"] is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        if isinstance(self.targets, MovingAverage) and state["targets"] is not None:
            self.targets.load_state_dict(state["targets"])
        torch.set_rng_state(state["random_state"])
        self.step, self.final_loss = state["step"], state["final_loss"]
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
    knn_top1: Monitor = lambda _: None,
) -> Training:
    """Train ``config`` from its seed on ``images``, or from the checkpoint in ``run_dir`` if there is one.

    ``knn_top1`` measures the network after every ``training.knn_epochs`` epochs and after the last step, in process 0.
    Writes metrics.jsonl, timing.jsonl and checkpoints. A loss that is no longer finite ends the training and is a
    result, not an error. Raises TrainingStopped, after a checkpoint, once ``stop_requested`` is true in any process.
    """
    start = time.perf_counter()
    batches = Batches(config, images, world, runtime.num_workers)
    training = build_training(config, batches, world)
    if (state := from_main(lambda: checkpoint.load(run_dir))) is not None:
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

    for batch in batches.steps(training.step, num_steps if not training.diverged else 0):
        by_epoch = config.optimizer.lr_steps == "epoch"
        schedule_step = batch.step - batch.step % batches.steps_per_epoch if by_epoch else batch.step
        lr = lr_at(schedule_step, peak, warmup_steps, num_steps)
        set_lr(training.optimizer, lr, peak)
        output = descend(training.method, batch, _targets_of(batch, batches, training, num_steps))
        training.optimizer.step()
        training.step += 1

        is_last = training.step == num_steps
        measures = knn_every > 0 and (training.step % knn_every == 0 or is_last)
        if training.step % log_every == 0 or measures or is_last:
            images_per_s = 2 * size * logged.rate(training.step)
            metrics = _metrics(training, output, lr, batches.steps_per_epoch, knn_top1 if measures else None)
            if not metrics:
                training.diverged = True
                break
            training.final_loss = metrics["loss"]
            if curves is not None:
                curves.add(metrics, images_per_s)
            logged.rate(training.step)  # what measuring took is no training
        if shown.seconds() > _PROGRESS_EVERY_S or is_last:
            on_progress(Progress("pretrain", training.step, num_steps, 2 * size * shown.rate(training.step)))
        asks = world.size == 1 or training.step % _ASK_EVERY == 0
        stop = asks and anywhere(stop_requested()) and not is_last
        if _can_resume(training) and (stop or saved.seconds() > runtime.checkpoint_every_s):
            training.duration_s = elapsed_before + time.perf_counter() - start
            if world.is_main:
                checkpoint.save(run_dir, training.state())
            saved.rate(training.step)
            if stop:
                raise TrainingStopped
    training.duration_s = elapsed_before + time.perf_counter() - start
    return training


def build_training(config: RunConfig, batches: Batches, world: World) -> Training:
    """The network and the optimiser of a configuration as they stand before the first step."""
    torch.manual_seed(derive(config.seed, "init"))
    method = build_method(config)
    set_batch_norm_extent(method, config.training)
    method.load_state_dict(from_main(method.state_dict))  # other processors may draw other last bits
    method.to(world.device).train()
    constant_lr = method.predictor if config.predictor.lr_schedule == "constant" else None
    optimizer = build_optimizer(config.optimizer, method, constant_lr)
    targets: Alternation | MovingAverage | None = None
    if config.method.name == "simsiam" and config.method.target == "moving_average":
        targets = MovingAverage(batches.num_images, method.dim, config.method.target_momentum).to(world.device)
    elif config.method.name == "simsiam" and config.method.alternation_steps != 1:
        targets = Alternation(config.method.alternation_steps or batches.steps_per_epoch)
    return Training(method, optimizer, targets, world)


def _targets_of(batch: Batch, batches: Batches, training: Training, num_steps: int) -> Targets | None:
    """What this step's predictions are compared with, where it is not the batch's own projections."""
    targets = training.targets
    if isinstance(training.method, Supervised):
        return lambda _z_1, _z_2: (batch.labels, batch.labels)
    if isinstance(targets, MovingAverage):
        return lambda z_1, z_2: targets.update(batch.indices, z_1, z_2)
    if isinstance(targets, Alternation):
        if batch.step % targets.num_steps == 0:
            coming = batches.steps(batch.step, min(batch.step + targets.num_steps, num_steps))
            targets.compute(training.method, (ahead.pairs[0] for ahead in coming))
        return lambda _z_1, _z_2: targets.of_step(batch.step)
    return None


def _metrics(
    training: Training, output: StepOutput, lr: float, steps_per_epoch: int, knn_top1: Monitor | None
) -> dict[str, Any]:
    """A line of metrics.jsonl, over all processes; empty if the loss is no longer finite."""
    loss = gather(output.loss.detach()[None]).mean().item()
    if not math.isfinite(loss):
        return {}
    z_1, z_2 = gather(output.z_1.detach()), gather(output.z_2.detach())
    metrics = {"step": training.step, "epoch": training.step / steps_per_epoch, "loss": loss, "lr": lr}
    metrics |= {"z_std": z_std(torch.cat([z_1, z_2])).item(), **training.method.agreement(z_1, z_2)}
    return metrics | ({"knn_top1": from_main(lambda: knn_top1(training.method))} if knn_top1 else {})


def descend(method: Method, batch: Batch, targets: Targets | None) -> StepOutput:
    """Gradients of the mean loss over the pairs and processes; the last pair's output, with this process's mean."""
    outputs: list[StepOutput] = [method(view_1, view_2, targets) for view_1, view_2 in batch.pairs]
    loss = outputs[0].loss if len(outputs) == 1 else torch.stack([output.loss for output in outputs]).mean()
    method.zero_grad()
    loss.backward()
    average_gradients(method.parameters())
    return outputs[-1]._replace(loss=loss)


def _can_resume(training: Training) -> bool:
    """Targets computed in advance are not in checkpoints: these wait for the step at which new ones are computed."""
    return not isinstance(training.targets, Alternation) or training.step % training.targets.num_steps == 0


class _Meter:
    """Steps per second since it was last read."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def seconds(self) -> float:
        """Since the last reading."""
        return time.perf_counter() - self._time

    def rate(self, step: int) -> float:
        """Steps per second since the last reading, which this one replaces."""
        now = time.perf_counter()
        rate = (step - self._step) / (now - self._time)
        self._step, self._time = step, now
        return rate
