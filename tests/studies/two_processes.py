"""Two Gloo processes side by side, and by how much their training differs from that of one process.

``nox -s fidelity`` writes the differences into docs/fidelity.md.
"""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import RunConfig
from simclr_core.methods import build_method
from simclr_core.methods.base import Batch
from simclr_core.networks.batch_norm import set_batch_norm_extent
from simclr_core.processes.distributed import average_gradients, gather, joined, world
from simclr_core.processes.launched import Launched
from simclr_core.training.optim import build_optimizer, set_lr

TIMEOUT_S = 120  # seconds suffice on a machine that has nothing else to do
STEPS = 5
SMALL = {
    "data.image_size": 16,
    "backbone.width_multiplier": 0.125,
    "backbone.zero_init_residual": False,  # else every block's first gradients are zero
    "projector.dim": 16,
    "projector.hidden_dim": 16,
    "training.global_batch_size": 8,
}
LARS = {"optimizer.name": "lars", "optimizer.base_lr": 32.0}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "SimCLR, joint, SGD": ("simclr_mini", {}),
    "SimCLR, joint, LARS": ("simclr_mini", LARS),
    "SimSiam, separate, SGD": ("simsiam_mini", {"projector.output_batch_norm": "no_affine"}),
    "SimSiam, separate, LARS": ("simsiam_mini", LARS),
}

State = dict[str, dict[str, Tensor]]
"""``loss`` of every step, ``gradients`` and ``statistics`` after the first, ``parameters`` after the last; by name."""


class WorkerError(Exception):
    """The traceback of a process that failed."""


class Pair:
    """Two processes that have joined each other and run the functions that they are told."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["simclr_core.methods"])  # torch and torchvision are loaded once for all
        port = free_port()
        self._ends = []
        self._processes = []
        for rank in range(2):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(Launched(rank, 2, rank, "127.0.0.1", port), theirs))
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(TIMEOUT_S)
            process.kill()

    def run(self, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """What an importable function returns in process 0 and in process 1; WorkerError if it fails in one."""
        answers = self.attempt(function, *arguments)
        for rank, (failed, answer) in enumerate(answers):
            if failed:
                raise WorkerError(f"process {rank}: {answer}")
        return [answer for _, answer in answers]

    def attempt(self, function: Callable[..., Any], *arguments: object) -> list[tuple[bool, Any]]:
        """Whether each process failed, and its traceback then; after a failure the pair has ended."""
        for end in self._ends:
            end.send((function, arguments))
        answers = []
        for end in self._ends:
            if not end.poll(TIMEOUT_S):
                raise WorkerError(f"no answer within {TIMEOUT_S} s")
            answers.append(end.recv())
        return answers


def _serve(launched: Launched, end: Any) -> None:
    torch.set_num_threads(1)
    try:
        with joined("cpu", launched):
            while True:
                function, arguments = end.recv()
                end.send((False, function(*arguments)))
    except EOFError:
        return
    except Exception:  # noqa: BLE001  the parent reports whatever it was
        end.send((True, traceback.format_exc()))


def free_port() -> int:
    """A port of this machine that nobody listens to now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def config_of(case: str, **values: object) -> RunConfig:
    """The configuration of one of ``CASES``, with settings changed: ``training__batch_norm`` and the like."""
    name, changes = CASES[case]
    return override(recipe(name), SMALL | changes | {key.replace("__", "."): value for key, value in values.items()})


def train(config: RunConfig, *, float64: bool) -> State:
    """A few steps on random views, as process of a pair or alone; the mean loss over processes.

    In float64 the two ways differ by rounding alone, however the steps amplify it.
    """
    torch.manual_seed(0)
    method = build_method(config, num_images=0).train()
    set_batch_norm_extent(method, config.training)
    if float64:
        method.double()
        method.net.features = method.net.backbone.forward  # without the rounding to float32 between backbone and heads
    constant_lr = method.net.predictor if config.predictor.lr_schedule == "constant" else None
    optimizer = build_optimizer(config.optimizer, method, constant_lr)
    set_lr(optimizer, config.optimizer.base_lr * config.training.global_batch_size / 256, config.optimizer.base_lr)
    own = world().slice_of(config.training.global_batch_size)
    shape = (2, config.training.global_batch_size, 3, config.data.image_size, config.data.image_size)
    source = torch.Generator().manual_seed(1)
    state: State = {"loss": {}}
    for step in range(STEPS):
        view_1, view_2 = torch.rand(shape, generator=source, dtype=torch.float64).to(next(method.parameters()))
        batch = Batch(step, torch.arange(0), torch.arange(0), [view_1[own], view_2[own]])
        loss = method.step(batch).loss
        optimizer.zero_grad()
        loss.backward()
        average_gradients(method.parameters())
        state["loss"][str(step)] = gather(loss.detach()[None]).mean()
        if step == 0:
            state["gradients"] = {k: p.grad.clone() for k, p in method.named_parameters() if p.grad is not None}
            state["statistics"] = {k: b.clone() for k, b in method.named_buffers() if b.is_floating_point()}
        optimizer.step()
    state["parameters"] = {k: p.detach().clone() for k, p in method.named_parameters()}
    return state


def largest_differences(one: State, two: State) -> dict[str, float]:
    """Of every kind, the largest difference of a tensor, over the largest value in it.

    Values below a thousandth of the kind's largest count as that: some are zero but for rounding, such as the
    gradient of a bias before BN.
    """
    largest = {}
    for kind, tensors in one.items():
        assert tensors.keys() == two[kind].keys()
        scales = {name: tensor.abs().max().item() for name, tensor in tensors.items()}
        least = max(scales.values()) / 1000
        largest[kind] = max(
            (two[kind][name] - tensor).abs().max().item() / max(scales[name], least) for name, tensor in tensors.items()
        )
    return largest


def differences(pair: Pair, *, float64: bool) -> dict[str, dict[str, float]]:
    """Of each case: the largest relative differences between two processes and one on the joined batch."""
    table = {}
    for case in CASES:
        config = config_of(case)
        both = pair.run(_train, config, float64)
        table[case] = largest_differences(train(config, float64=float64), both[0])
    return table


def _train(config: RunConfig, float64: bool) -> State:
    return train(config, float64=float64)


def markdown() -> str:
    """The differences of all cases as a table for docs/fidelity.md."""
    torch.set_num_threads(1)
    kinds = ("loss", "gradients", "statistics", "parameters")
    headings = ("loss", "gradients, step 1", "BN statistics, step 1", f"parameters, step {STEPS}")
    lines = [f"| case | precision | {' | '.join(headings)} |", f"| --- | --- |{' --- |' * len(kinds)}"]
    with Pair() as pair:
        for precision in ("float64", "float32"):
            for case, largest in differences(pair, float64=precision == "float64").items():
                cells = " | ".join(f"{largest[kind]:.0e}" for kind in kinds)
                lines.append(f"| {case} | {precision} | {cells} |")
    return "\n".join(lines)
