"""Families 02 and 03: LARS and the learning rate."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from parity.comparison import Comparison, NotCovered, Outcome, compare
from parity.golden import Golden
from simclr_core.training.optim import LARS, lr_at, num_train_steps, num_warmup_steps, peak_lr

VARIANTS = {"simclr": "simclr", "nesterov": "simclr_nesterov", "popular": "simclr_popular"}
RTOL = {"float64": 1e-10, "float32": 2e-6}


def check_lars(golden: Golden) -> Iterator[Outcome]:
    """Parameters and momenta after every step."""
    hp = golden.hp
    if hp["mode"] not in VARIANTS:
        yield NotCovered(f"mode {hp['mode']}", "not a mode of the released optimiser that this project has")
        return
    excluded = re.compile("|".join(hp["exclude_regex"]) or r"(?!)")
    variables = golden["names"].tolist()
    weights = [nn.Parameter(torch.from_numpy(golden[f"p{i}_init"].copy())) for i in range(len(variables))]
    groups = [
        {"params": [w]} | ({"weight_decay": 0.0, "adapt": False} if excluded.search(variable) else {})
        for w, variable in zip(weights, variables, strict=True)
    ]
    optimizer = LARS(
        groups,
        lr=float(np.float32(hp["lr"])),  # the reference stores its learning rate as float32
        momentum=hp["momentum"],
        weight_decay=hp["weight_decay"],
        trust_coefficient=hp["eeta"],
        variant=VARIANTS[hp["mode"]],
    )
    worst: dict[str, Comparison] = {}
    for step in range(hp["steps"]):
        for i, w in enumerate(weights):
            w.grad = torch.from_numpy(golden[f"p{i}_grads"][step])
        optimizer.step()
        for i, w in enumerate(weights):
            for what, ours, theirs in (
                ("parameters", w.detach(), golden[f"p{i}_traj"][step]),
                ("momenta", optimizer.state[w]["momentum_buffer"], golden[f"p{i}_momentum"][step]),
            ):
                # What all but cancels is off by the rounding of what it was made from.
                atol = 16 * np.finfo(theirs.dtype).eps * np.abs(theirs).max()
                one = compare(what, ours, theirs, rtol=RTOL[hp["dtype"]], atol=float(atol))
                worst[what] = max(worst.get(what, one), one, key=lambda found: found.share)
    for what, one in worst.items():
        tolerance = f"{RTOL[hp['dtype']]:.0e} relative"
        yield Comparison(f"{what} after each of {hp['steps']} steps", one.error, tolerance, one.share)


def check_schedule(golden: Golden) -> Iterator[Outcome]:
    """The number of steps, and the learning rate at each that the file names, beyond the end too."""
    hp = golden.hp
    images, batch = hp["num_examples"], hp["train_batch_size"]
    peak = peak_lr(hp["base_learning_rate"], hp["learning_rate_scaling"], batch)
    warmup_steps = num_warmup_steps(images, hp["warmup_epochs"], batch, "released")
    num_steps = hp["train_steps_flag"] or num_train_steps(images, hp["train_epochs"], batch, "released")

    yield compare("number of steps", num_steps, golden["total_steps"])
    ours = [lr_at(step, peak, warmup_steps, num_steps) for step in golden["steps"].tolist()]
    yield compare("learning rate", ours, golden["lr"], rtol=2e-6, atol=2e-7 * peak)
