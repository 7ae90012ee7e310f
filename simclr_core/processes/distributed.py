"""Several processes train one run: they share every batch and compute what one process would compute.

Each process draws the same order of images and the same view parameters, and takes its slice of the global batch
(``World.slice_of``). Values that depend on the images of other processes are exchanged here: the keys of a contrastive
loss (``gather``), gradients (``average_gradients``), batch statistics (``batch_norm``). A lone process exchanges
nothing.

Process 0 alone writes files, shows progress and evaluates; the other processes end after the training.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import device_problem, slurm_gave_gpus
from simclr_core.processes.launched import Launched

T = TypeVar("T")

_TIMEOUT = timedelta(minutes=30)  # process 0 may decode a data set for its cache while the others wait
_CPU = torch.device("cpu")
_BUCKET = 2**23  # gradients summed at a time: 32 MiB in float32


@dataclass(frozen=True)
class World:
    """The processes that train one run, as seen by one of them, and the device of this process."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, shows progress and evaluates."""
        return self.rank == 0

    def slice_of(self, global_batch_size: int) -> slice:
        """Return this process's slice of a batch; the slices of all ranks in order make up the batch.

        Raises ConfigError if the processes cannot share the batch equally.
        """
        share, rest = divmod(global_batch_size, self.size)
        if rest:
            nearest = ", ".join(str(size) for size in (share * self.size, (share + 1) * self.size) if size)
            problem = (
                f"training.global_batch_size = {global_batch_size}: {self.size} processes cannot share it equally;"
                f" the nearest that they can: {nearest}"
            )
            raise ConfigError([problem])
        return slice(self.rank * share, (self.rank + 1) * share)


_joined: list[World] = []
_meetings = itertools.count()


def world() -> World:
    """Return the processes that ``joined`` has connected, or this process alone."""
    return _joined[-1] if _joined else World()


@contextlib.contextmanager
def joined(device: str, launched: Launched | None = None) -> Iterator[World]:
    """Connect the processes that a launcher started, and disconnect them at the end of the block.

    ``device`` is the device of the runtime configuration. GPUs are connected by NCCL, CPUs by Gloo. An exception that
    leaves the block disconnects too, so that no process waits for this one: with Gloo the connections of the others
    break at once. NCCL notices after half an hour, unless the launcher ends the others before, as torchrun does, and
    srun with ``--kill-on-bad-exit``. Raises ConfigError if the launcher's variables or the device are invalid.
    """
    launched = Launched.from_environment() if launched is None else launched
    new = World(launched.rank, launched.size, _pick_device(device, launched))
    with _connected(launched, new.device) if new.size > 1 else contextlib.nullcontext():
        _joined.append(new)
        try:
            yield new
        except BaseException as error:
            if new.size > 1:
                error.add_note(
                    f"This is process {new.rank} of {new.size}. If it lost a connection, then another process has"
                    " ended before it, whose own message says why."
                )
            raise
        finally:
            _joined.pop()


@contextlib.contextmanager
def _connected(launched: Launched, device: torch.device) -> Iterator[None]:
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=PrefixStore(f"meeting {next(_meetings)}", _store(launched)),
        rank=launched.rank,
        world_size=launched.size,
        timeout=_TIMEOUT,
        device_id=device if on_gpu else None,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def device_of(name: str) -> torch.device:
    """Return the device that ``RuntimeConfig.device`` names.

    ``auto`` takes a GPU if torch sees one or if SLURM gave this job one, so that an allocated GPU never stays idle
    unnoticed. Raises ConfigError for a name that is no device's, and for a device that torch does not see.
    """
    if problem := device_problem(name):
        raise ConfigError([f"runtime.device = {problem}"])
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() or slurm_gave_gpus() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "has no driver for one here" if torch.version.cuda else "was built without CUDA"
        raise ConfigError([f"runtime.device = {name!r}: torch sees no GPU; torch {torch.__version__} {why}"])
    if device.type == "cuda" and (device.index or 0) >= (seen := torch.cuda.device_count()):
        raise ConfigError([f"runtime.device = {name!r}: torch sees {seen} GPUs here, numbered from 0"])
    if device.type not in ("cpu", "cuda"):
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise ConfigError([f"runtime.device = {name!r}: cannot be used here ({why})"]) from None
    return device


@functools.cache
def _store(launched: Launched) -> Store:
    """Return the store through which the processes exchange their addresses; it lives as long as this process.

    A process may train several runs in turn. torchrun's store outlives them, so that the processes of the second run
    would find the addresses of the first; each run therefore has its own prefix.
    """
    host = f"[{launched.address}]" if ":" in launched.address else launched.address
    url = f"tcp://{host}:{launched.port}"
    store, _, _ = next(rendezvous(url, launched.rank, launched.size, timeout=_TIMEOUT))
    found: Store = store
    return found


def _pick_device(name: str, launched: Launched) -> torch.device:
    """Of several processes on a machine, each takes the GPU of its local rank, or the only one that it sees, where the
    launcher shows each process its own.
    """
    device = device_of(name)
    if device.type != "cuda" or launched.size == 1:
        return device
    if device.index is not None:
        raise ConfigError([f"runtime.device = {name!r}: one GPU for {launched.size} processes; expected 'cuda'"])
    num_gpus = torch.cuda.device_count()
    index = launched.local_rank if num_gpus > 1 else 0
    if index >= num_gpus:
        raise ConfigError([f"runtime.device = {name!r}: process {index + 1} of a machine with {num_gpus} GPUs"])
    return torch.device("cuda", index)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.num_rows = len(tensor)
        parts = [torch.empty_like(tensor) for _ in range(world().size)]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        first = world().rank * ctx.num_rows
        return total[first : first + ctx.num_rows]


def gather(tensor: Tensor) -> Tensor:
    """Return the rows of all processes in rank order: (B, ...) -> (processes * B, ...), as many from each process.

    The gradient of the rows of a process is the sum of what all processes pass back for them. If the loss of each
    process is the mean over its own anchors, with the keys of all processes, then the mean of the gradients over the
    processes is the gradient of the mean over all anchors.
    """
    if world().size == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor.contiguous())
    return gathered


def anywhere(condition: bool) -> bool:
    """Whether the condition holds in any process; all processes get the same answer."""
    if world().size == 1:
        return condition
    return bool(gather(torch.tensor([condition], device=world().device)).any())


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; parameters without a gradient are skipped.

    The sum runs after the backward pass and in a fixed order. DistributedDataParallel changes the order of its buckets
    after the first step, so that a resumed run would sum in another order than a run that was never interrupted.
    """
    if world().size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        flat /= world().size
        for gradient, mean in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Group consecutive tensors into lists of about ``_BUCKET`` elements in all."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(t.numel() for t in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def agree(settings: Mapping[str, object]) -> None:
    """Compare ``settings`` over the processes; raises ConfigError in all of them, naming every setting that differs."""
    if world().size == 1:
        return
    everyone: list[Any] = [None] * world().size
    dist.all_gather_object(everyone, dict(settings))
    problems: list[str] = []
    for key in dict.fromkeys(key for told in everyone for key in told):
        ranks: dict[str, list[str]] = {}
        for rank, told in enumerate(everyone):
            ranks.setdefault(repr(told[key]) if key in told else "missing", []).append(str(rank))
        if len(ranks) > 1:
            values = "; ".join(f"{value} in process {', '.join(who)}" for value, who in ranks.items())
            problems.append(f"{key}: {values}; expected the same in all")
    if problems:
        raise ConfigError(problems)


def from_main(function: Callable[[], T]) -> T:
    """Return in every process what ``function`` returns in process 0; an exception there is raised in all processes.

    Use this for anything that one process must read for all, such as files that other hosts may see later or not at
    all.
    """
    if world().size == 1:
        return function()
    told: list[Any] = [None, None]
    if world().is_main:
        try:
            told[0] = function()
        except Exception as error:
            # problems and not args: args are the one text made from them
            told[1] = (type(error), (error.problems,) if hasattr(error, "problems") else error.args)
            dist.broadcast_object_list(told)
            raise
    dist.broadcast_object_list(told)
    if told[1] is not None:
        kind, arguments = told[1]
        raise kind(*arguments)
    returned: T = told[0]
    return returned
