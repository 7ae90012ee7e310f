"""What the ImageNet grids would cost on a cluster, on paper: by formula from stated speeds, none of them measured here.

A cluster is nodes of eight A100. Its speeds are others' measurements, each with its source below. The model adds up the
parts of a step, since ours overlap nothing: gradients are averaged after the backward pass (``distributed.py``), and
synchronised BN waits for every message (``batch_norm.py``). What it leaves out makes a step slower: kernels that are
too small to fill a GPU, the making of views, the optimiser, stragglers. Evaluations are left out too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablations.plan.demand import demand
from ablations.study.expand import find_grids, load_grid
from benchmarks import streaming
from benchmarks.tables import Table
from simclr_core.config.cost import NUM_IMAGES, forward_multiply_adds, num_parameters, training_multiply_adds
from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import RunConfig
from simclr_core.methods import build_network

GPUS_PER_NODE = 8
NUM_GPUS = (8, 16, 32, 64, 128, 256, 512)
IMAGES_PER_S = 2470
"""Supervised ResNet-50 on one A100 in mixed precision: NVIDIA DeepLearningExamples, PyTorch, resnet50v1.5, README."""
PEAK_TFLOPS = 312
"""bfloat16 in dense matrix products: NVIDIA's A100 data sheet."""
IN_NODE_GB_S = 232.0
"""What 8 A100 reach in an all-reduce over NVLink, as nccl-tests counts (busbw): NVIDIA/nccl, issue 1048."""
CARDS = {"four 200 Gb/s cards a node": 86.0, "one card a node": 24.0}
"""The same between nodes, in GB/s: NVIDIA/nccl, issue 1048, with four InfiniBand cards and with one of them."""
BASE_US = {"gather": 3.6, "reduce": 4.4}
NVLINK_US = {"gather": 0.47, "reduce": 0.52}
NETWORK_US = {"gather": 2.7, "reduce": 5.0}
BETWEEN_NODES = 1.8
"""Latencies by which NCCL 2.11 chooses (``src/graph/tuning.cc``, protocol LL; a ring for gathers, a tree for sums, and
the factor for NVLink's where there are several nodes). Issue 652 measures 63 us for a sum over 256 A100 in 32 nodes;
this gives 67."""
SCALE = "imagenet"


class Step(NamedTuple):
    """Seconds of a step, by part."""

    compute: float
    gradients: float
    keys: float
    batch_norm: float

    @property
    def communication(self) -> float:
        """All but computing."""
        return self.gradients + self.keys + self.batch_norm

    @property
    def total(self) -> float:
        """One part after the other."""
        return self.compute + self.communication

    @property
    def share(self) -> float:
        """Of communication."""
        return self.communication / self.total


@dataclass(frozen=True)
class Cluster:
    """So many GPUs of one run, and GB/s between nodes."""

    num_gpus: int
    between_gb_s: float

    @property
    def num_nodes(self) -> int:
        """Nodes are filled."""
        return math.ceil(self.num_gpus / GPUS_PER_NODE)

    def all_reduce_s(self, num_bytes: float) -> float:
        """Everyone has the sum of everyone's ``num_bytes``."""
        others = min(self.num_gpus, GPUS_PER_NODE) - 1
        hops_us = 2 * (others * self._nvlink_us("reduce") + math.log2(self.num_nodes) * NETWORK_US["reduce"])
        return 2 * self._others_share * num_bytes / self._bytes_per_s + (BASE_US["reduce"] + hops_us) / 1e6

    def all_gather_s(self, num_bytes: float) -> float:
        """Everyone has ``num_bytes``, an equal part of them from each."""
        in_nodes, between = self.num_gpus - self.num_nodes, self.num_nodes - 1
        hops_us = in_nodes * self._nvlink_us("gather") + between * NETWORK_US["gather"]
        return self._others_share * num_bytes / self._bytes_per_s + (BASE_US["gather"] + hops_us) / 1e6

    @property
    def _others_share(self) -> float:
        return (self.num_gpus - 1) / self.num_gpus

    @property
    def _bytes_per_s(self) -> float:
        return 1e9 * (IN_NODE_GB_S if self.num_nodes == 1 else self.between_gb_s)

    def _nvlink_us(self, kind: str) -> float:
        return NVLINK_US[kind] * (BETWEEN_NODES if self.num_nodes > 1 else 1)


def run() -> list[Table]:
    """Speeds, steps by the number of GPUs, where communication takes over, and grids."""
    recipes = {name: recipe(name) for name in ("simclr_imagenet", "simsiam_imagenet")}
    return [
        _speeds(),
        *(_steps(name, config) for name, config in recipes.items()),
        _crossings(recipes),
        _grids(),
    ]


def sustained_flops() -> float:
    """Of a GPU: the published images a second times what a supervised image takes, forward and backward."""
    supervised = override(recipe("simclr_imagenet"), {"projector.kind": "none"})
    return IMAGES_PER_S * 6.0 * forward_multiply_adds(supervised)


def step(config: RunConfig, channels: Sequence[int], cluster: Cluster) -> Step:
    """One optimiser step; ``channels`` of every BN layer."""
    training = config.training
    batch = training.global_batch_size
    num_passes = 1 if training.views_forward == "joint" or config.method.num_views == 1 else 2
    compute = _step_flops(config) / cluster.num_gpus / sustained_flops()
    keys = 0.0
    if config.method.name == "simclr":
        size = 4.0 * batch * config.projector.dim  # of one view's
        keys = 2 * (cluster.all_gather_s(size) + cluster.all_reduce_s(size))
    batch_norm = 0.0
    if training.batch_norm == "global":
        for count in channels:
            gathered = cluster.all_gather_s(4.0 * (2 * count + 1) * cluster.num_gpus)
            batch_norm += num_passes * (gathered + cluster.all_reduce_s(4.0 * 2 * count))
    return Step(compute, cluster.all_reduce_s(4.0 * num_parameters(config)), keys, batch_norm)


def _step_flops(config: RunConfig) -> float:
    """Of all GPUs together."""
    one_epoch = override(config, {"training.epochs": 1, "data.train_images": config.training.global_batch_size})
    multiply_adds = training_multiply_adds(one_epoch)
    assert multiply_adds is not None
    return 2 * multiply_adds


def batch_norm_channels(config: RunConfig) -> list[int]:
    """Of every BN layer of the network."""
    with torch.device("meta"):
        return [layer.num_features for layer in build_network(config).modules() if isinstance(layer, _BatchNorm)]


def activation_bytes(config: RunConfig) -> float:
    """What convolutions and BN make of one view and the backward pass needs, in float32; in bfloat16 it is half."""
    sizes: list[int] = []
    with torch.device("meta"):
        backbone = build_network(config).backbone
        for layer in backbone.modules():
            if isinstance(layer, nn.Conv2d | _BatchNorm):
                layer.register_forward_hook(lambda _layer, _inputs, output: sizes.append(output.nbytes))
        backbone(torch.zeros(2, 3, config.data.image_size, config.data.image_size))
    return sum(sizes) / 2


def _speeds() -> Table:
    """What the assumptions amount to."""
    simclr = recipe("simclr_imagenet")
    work = training_multiply_adds(simclr)
    assert work is not None
    square = 2 * simclr.training.global_batch_size * simclr.projector.dim / forward_multiply_adds(simclr)
    rows: list[tuple[str | float, ...]] = [
        ("TFLOP/s of one GPU", sustained_flops() / 1e12),
        ("its share of the peak", f"{sustained_flops() / 1e12 / PEAK_TFLOPS:.0%}"),
        ("TFLOP/s of one of SimCLR's 128 TPU v3 cores, by its 1.5 hours for 100 epochs", 2 * work / 5400 / 128 / 1e12),
        ("NT-Xent's multiply-adds over the network's, `simclr_imagenet`", f"{square:.2%}"),
        ("microseconds of a sum over 256 GPUs", 1e6 * Cluster(256, 86.0).all_reduce_s(8)),
        ("microseconds of a gather from 256 GPUs", 1e6 * Cluster(256, 86.0).all_gather_s(8)),
    ]
    return Table("Computed: speeds", ("what", "value"), rows)


def _steps(name: str, config: RunConfig) -> Table:
    batch, kept = config.training.global_batch_size, activation_bytes(config) / 2
    channels = batch_norm_channels(config)
    hours = NUM_IMAGES["imagenet"] // batch * config.training.epochs / 3600
    rows: list[tuple[str | float, ...]] = []
    for num_gpus in NUM_GPUS:
        fast, slow = (step(config, channels, Cluster(num_gpus, speed)) for speed in CARDS.values())
        parts = [1e3 * seconds for seconds in fast]
        rows.append(
            (
                float(num_gpus),
                float(batch // num_gpus),
                2 * batch / num_gpus * kept / 2**30,
                *parts,
                f"{fast.share:.0%}",
                f"{slow.share:.0%}",
                hours * fast.total,
            )
        )
    parts_ms = ("compute, ms", "gradients, ms", "keys, ms", "BN, ms")
    columns = ("GPUs", "images each", "activations, GiB each", *parts_ms, "communication", "with one card", "hours")
    note = (
        f"ResNet-50, {len(channels)} synchronised BN layers, {num_parameters(config) / 1e6:.1f}"
        f" million parameters, {config.training.epochs} epochs. Communication is its share of the step with"
        f" {next(iter(CARDS))}, and with one card."
    )
    return Table(f"Computed: `{name}`, batch {batch}", columns, rows, note)


def _crossings(recipes: dict[str, RunConfig]) -> Table:
    """The first number of GPUs at which a part takes longer than computing."""
    parts: dict[str, Callable[[Step], float]] = {
        "all communication": lambda found: found.communication,
        "synchronised BN alone": lambda found: found.batch_norm,
        "gradients alone": lambda found: found.gradients,
        "keys alone": lambda found: found.keys,
    }
    rows: list[tuple[str | float, ...]] = []
    for name, config in recipes.items():
        batch, channels = config.training.global_batch_size, batch_norm_channels(config)
        sizes = [size for size in range(GPUS_PER_NODE, batch + 1, GPUS_PER_NODE) if batch % size == 0]
        steps = [{size: step(config, channels, Cluster(size, speed)) for size in sizes} for speed in CARDS.values()]
        for part, seconds in parts.items():
            firsts = [next((n for n, found in by_n.items() if seconds(found) > found.compute), None) for by_n in steps]
            rows.append((name, part, *(f"{first}" if first else f"never, up to {batch}" for first in firsts)))
    title = "Computed: GPUs, of the powers of two, from which a part takes longer than computing"
    return Table(title, ("recipe", "part", *CARDS), rows)


def _grids() -> Table:
    """GPU-hours by multiply-adds, a shared run counted once in the total."""
    hours_of: dict[str, float] = {}
    rows: list[tuple[str | float, ...]] = []
    for path in find_grids().values():
        grid = load_grid(str(path))
        if SCALE not in grid.scales:
            continue
        runs = {spec.run_id: spec.config for spec in demand(grid, SCALE, None).every}
        found = {run_id: _gpu_hours(config) for run_id, config in runs.items()}
        hours_of |= found
        rows.append((grid.name, float(len(found)), *_walls(list(found.values()))))
    rows.append(("all, shared runs once", float(len(hours_of)), *_walls(list(hours_of.values()))))
    columns = ("grid", "runs", "GPU-hours", "longest run, hours on 8", *(f"days on {n}" for n in (8, 64, 512)))
    note = "Pre-training alone, 8 GPUs a run and as many runs at a time as there are nodes; no communication counted."
    return Table(f"Computed: the grids at scale {SCALE}", columns, rows, note)


def _gpu_hours(config: RunConfig) -> float:
    multiply_adds = training_multiply_adds(config)
    assert multiply_adds is not None
    return 2 * multiply_adds / sustained_flops() / 3600


def _walls(hours: list[float]) -> tuple[float, ...]:
    """Their sum, the longest on a node, and days on 8, 64 and 512 GPUs."""
    longest = max(hours) / GPUS_PER_NODE
    return sum(hours), longest, *(max(sum(hours) / num_gpus, longest) / 24 for num_gpus in (8, 64, 512))


def cores() -> Table:
    """Cores that decode for one GPU, from what ``streaming`` measures here; one decoding serves both views."""
    (reading,) = streaming.tables()
    speeds = {str(what): speed for what, speed, _ in reading.rows if isinstance(speed, float)}
    rows: list[tuple[str | float, ...]] = []
    for width in (1, 2, 4):
        config = override(recipe("simclr_imagenet"), {"backbone.width_multiplier": width})
        images_per_s = sustained_flops() / (2 * 6.0 * forward_multiply_adds(config))
        rows.append((f"ResNet-50 ({width}x)", images_per_s, *(images_per_s / speed for speed in speeds.values())))
    columns = ("network", "images a second and GPU", *(f"cores, {what}" for what in speeds))
    measured = ", ".join(f"{what} {speed:.0f}" for what, speed in speeds.items())
    return Table("Cores for one GPU, from measured decoding", columns, rows, f"Measured, images a second: {measured}.")
