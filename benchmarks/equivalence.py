"""Whether the faster order of operations costs accuracy: default cells of ``mini``, trained with it and without it.

Without it: every convolution is torch's own, on maps in NCHW order. Both are float32, so that they differ by rounding,
which a training amplifies until single runs end points apart; the question is whether their means do.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from benchmarks.tables import Table
from reports.claims.stats import one_sample
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig
from simclr_core.networks.convolution import Convolution
from simclr_core.records import read_json
from simclr_core.run import execute

RECIPES = ("simclr_mini", "simsiam_mini")
SEEDS = range(8)
MARGIN = 1.0  # points
LINEAR = EvalConfig(protocol="linear", num_labels=5000)


def run() -> list[Table]:
    """Two one-sided tests (Schuirmann 1987) of the difference over seeds, each at 5 %."""
    asked = list(itertools.product(RECIPES, SEEDS, (True, False)))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as workers:
        found = dict(zip(asked, workers.map(linear_top1, *zip(*asked, strict=True)), strict=True))
    return [
        Table(
            f"Linear accuracy of {len(SEEDS)} seeds, the fast order of operations and torch's own",
            ("recipe", "fast", "torch's own", "difference", "90 % interval", f"within {MARGIN:g} point"),
            [_row(name, [[found[name, seed, fast] for seed in SEEDS] for fast in (True, False)]) for name in RECIPES],
            "Differences seed by seed; the interval lies within the margin exactly where both one-sided tests are"
            " below 5 %.",
        )
    ]


def _row(name: str, both: list[list[float]]) -> tuple[str | float, ...]:
    effect = one_sample([fast - own for fast, own in zip(*both, strict=True)])
    low, high = effect.interval(0.9)
    means = (f"{sum(values) / len(values):.2f}" for values in both)
    verdict = "yes" if low > -MARGIN and high < MARGIN else "not shown"
    return name, *means, f"{effect.estimate:+.2f}", f"[{low:+.2f}, {high:+.2f}]", verdict


def linear_top1(name: str, seed: int, fast: bool) -> float:
    """Percent, of one run."""
    torch.set_num_threads(1)
    config = replace(recipe(name), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        runtime, place = RuntimeConfig(device="cpu"), Path(folder) / "run"
        if fast:
            execute(config, [LINEAR], runtime, place)
        else:
            with (
                patch.object(torch, "channels_last", torch.contiguous_format),
                patch.object(Convolution, "forward", nn.Conv2d.forward),
            ):
                execute(config, [LINEAR], runtime, place)
        [scored] = (place / "evals").glob("*.json")
        top1: float = read_json(scored)["top1"]
    return top1
