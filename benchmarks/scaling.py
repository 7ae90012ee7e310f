"""How a step's time and memory grow with the batch, the image, the network's width and the number of processes.

``bench_small`` is the network: ResNet-10 of width 16, 3x3 stem. Views, forward, backward, optimiser: all of a step of
SimCLR, on random pixels. Two views of an image count as two images.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import clusters
from benchmarks.tables import Table
from simclr_core.config.cost import forward_multiply_adds
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import BackboneConfig, RunConfig
from simclr_core.data.datasets import ImageSet
from simclr_core.methods import losses
from simclr_core.processes.distributed import joined
from simclr_core.processes.launched import Launched
from simclr_core.processes.malloc import keep_freed_memory
from simclr_core.training.batches import Batches
from simclr_core.training.loop import build_training, descend

BATCH_SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
IMAGE_SIZES = (32, 64, 128, 224)
WIDTHS = (1, 2, 3, 4)
CORES = os.cpu_count() or 1
DIM = 128
WHOLE = 2**62  # elements: no matrix is too large
WORK = 1e11  # multiply-adds to spend on a row, where that is more than two steps and less than eight


class Measured(NamedTuple):
    """Of one process: a step, and NT-Xent in it with its gradient; MiB beyond those of libraries and images (Linux)."""

    step_s: float
    loss_s: float
    mib: float


def run() -> list[Table]:
    """Every measurement in processes of its own, one after the other; last, what decoding means for a GPU."""
    return [_batches(), _images(), _widths(), _processes(), _nt_xent(), clusters.cores()]


def _batches() -> Table:
    measured = {size: _measure(_config(batch=size)) for size in BATCH_SIZES}
    rows: list[tuple[str | float, ...]] = [
        (
            float(batch),
            2 * batch / found.step_s,
            1e3 * found.step_s,
            found.mib,
            found.mib / (2 * batch),
            f"{found.loss_s / found.step_s:.1%}",
            f"{_nt_xent_multiply_adds(batch) / (3 * 2 * batch * forward_multiply_adds(_config())):.1%}",
        )
        for batch, found in measured.items()
    ]
    columns = ("batch", "images a second", "ms a step", "MiB", "MiB an image", "NT-Xent, of the time", "by formula")
    note = (
        f"{CORES} threads, 32 pixels. NT-Xent by formula: its multiply-adds over the network's, both with their"
        " backward passes. Its exponentials and the memory that it passes over are not among them."
    )
    return Table("Batch size", columns, rows, note)


def _images() -> Table:
    return _grown("Image size", "pixels", ((size, _config(batch=32, size=size)) for size in IMAGE_SIZES))


def _widths() -> Table:
    return _grown("Width", "times 16 channels", ((width, _config(batch=128, width=width)) for width in WIDTHS))


def _grown(title: str, column: str, configs: Iterable[tuple[int, RunConfig]]) -> Table:
    """Time and multiply-adds an image as multiples of the first row's."""
    found = [(level, forward_multiply_adds(config), config, _measure(config)) for level, config in configs]
    batch = found[0][2].training.global_batch_size
    (_, first_adds, _, first), *_ = found
    rows: list[tuple[str | float, ...]] = [
        (
            float(level),
            2 * batch / measured.step_s,
            measured.mib / (2 * batch),
            adds / 1e6,
            adds / first_adds,
            measured.step_s / first.step_s,
            measured.mib / first.mib,
        )
        for level, adds, _, measured in found
    ]
    columns = (column, "images a second", "MiB an image", "million multiply-adds", "times", "time, times", "MiB, times")
    note = (
        f"{CORES} threads, batch {batch}. Multiply-adds are those of one view forward, by `simclr_core/config/cost.py`."
    )
    return Table(title, columns, rows, note)


def _processes() -> Table:
    ways = {
        "1 process of 1 thread": (1, 1),
        "1 process of 2 threads": (1, 2),
        "2 processes of 1 thread": (2, 1),
    }
    batch = 512
    found = {name: _measure(_config(batch=batch), *way) for name, way in ways.items()}
    first = found["1 process of 1 thread"]
    rows: list[tuple[str | float, ...]] = [
        (name, 2 * batch / measured.step_s, first.step_s / measured.step_s, measured.mib)
        for name, measured in found.items()
    ]
    note = f"Batch {batch} in all, 32 pixels; keys gathered, gradients averaged and BN synchronised by Gloo."
    return Table("Processes", ("what", "images a second", "times the first", "MiB a process"), rows, note)


def _nt_xent() -> Table:
    """Whole matrices beside blocks, where a batch has both."""
    rows: list[tuple[str | float, ...]] = []
    for batch in (1024, 2048, 4096):
        whole, blocks = _apart(_loss_alone, [(batch, WHOLE)]), _apart(_loss_alone, [(batch, losses.LARGEST_MATRIX)])
        cells = [1e3 * whole.loss_s, 1e3 * blocks.loss_s, 3 * (2 * batch) ** 2 * 4 / 2**20, whole.mib, blocks.mib]
        rows.append((float(2 * batch), *cells))
    columns = ("N", "ms, whole", "ms, blocks", "3 matrices, MiB", "MiB, whole", "MiB, blocks")
    note = (
        f"The loss and its gradient alone, {DIM} channels, {CORES} threads. A matrix of up to"
        f" {losses.LARGEST_MATRIX:,} elements is never divided. The process keeps what it frees (`memory.py`) and"
        " holds more than its tensors do at any time."
    )
    return Table("NT-Xent, whole and in blocks of rows", columns, rows, note)


def _nt_xent_multiply_adds(batch: int) -> int:
    """Forward, and twice as many backward."""
    return 3 * (2 * batch) ** 2 * DIM


def _config(batch: int = 256, size: int = 32, width: int = 1) -> RunConfig:
    config = recipe("simclr_mini")
    config.backbone = BackboneConfig(depth=10, width_multiplier=0.25 * width, stem="cifar")
    config.data.train_images, config.data.image_size = 0, size
    config.training.global_batch_size = batch
    config.projector.dim = DIM
    return config


def _measure(config: RunConfig, num_processes: int = 1, num_threads: int = CORES) -> Measured:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = range(num_processes)
    return _apart(
        _steps, [(config, Launched(rank, num_processes, rank, "127.0.0.1", port), num_threads) for rank in ranks]
    )


def _apart(function: Callable[..., Measured], arguments: list[tuple[object, ...]]) -> Measured:
    """What the first of as many fresh processes as there are arguments has measured."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is loaded once for all; nothing has run there
    with context.Pool(len(arguments)) as pool:
        return pool.starmap(function, arguments, chunksize=1)[0]


def _steps(config: RunConfig, launched: Launched, num_threads: int) -> Measured:
    torch.set_num_threads(num_threads)
    keep_freed_memory()
    batch, size = config.training.global_batch_size, config.data.image_size
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    with joined("cpu", launched) as world:
        batches = Batches(config, ImageSet(pixels, torch.zeros(batch).long()), world, num_workers=0)
        training = build_training(config, batches, world)
        before = _mib("VmRSS")
        num_steps = min(8, max(2, int(WORK / (6 * batch * forward_multiply_adds(config)))))
        coming = batches.steps(0, num_steps + 1)

        def step() -> None:
            descend(training.method, next(coming))
            training.optimizer.step()

        step_s = _median_s(step, num_steps)
        after = _mib("VmHWM")
        loss_s = _median_s(_loss(batch, config.method.temperature), num_steps)
    return Measured(step_s, loss_s, after - before)


def _loss_alone(batch: int, largest_matrix: int) -> Measured:
    torch.set_num_threads(CORES)
    keep_freed_memory()
    losses.LARGEST_MATRIX = largest_matrix
    _loss(8, 0.2)()
    before = _mib("VmRSS")
    loss_s = _median_s(_loss(batch, 0.2), 3)
    return Measured(loss_s, loss_s, _mib("VmHWM") - before)


def _loss(batch: int, temperature: float) -> Callable[[], object]:
    z_1, z_2 = (torch.randn(batch, DIM, requires_grad=True) for _ in range(2))
    return lambda: losses.nt_xent(z_1, z_2, temperature).backward()


def _median_s(task: Callable[[], object], rounds: int) -> float:
    """Of the rounds after the first."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _mib(what: str) -> float:
    """VmRSS, what this process holds, or VmHWM, the most that it held. (``ru_maxrss`` begins with its parent's.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1024
