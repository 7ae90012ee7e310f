"""The training step of SimCLR beside lightly's, and beside what the machine's matrix products could do at most.

CIFAR-10 at 32 pixels, batch 256, two networks with the 3x3 stem: ResNet-18, and ``bench_small`` (width 16, one block a
stage). Reading images, making views, forward, backward, optimiser: all of a step, for lightly as its documentation
shows it (its transform in a torch DataLoader, its loss and head). Two views of an image count as two images.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import statistics
from collections.abc import Callable, Iterator

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import to_pil_image

from benchmarks.tables import Apart, Table, Timings, in_turns, speed_ratio
from simclr_core.config.cost import forward_multiply_adds
from simclr_core.config.layers import num_features
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import BackboneConfig, RunConfig
from simclr_core.data.datasets import ImageSet, load_dataset
from simclr_core.data.errors import DataError
from simclr_core.networks.resnet import ResNet
from simclr_core.processes.distributed import World
from simclr_core.processes.malloc import keep_freed_memory
from simclr_core.training.batches import Batches
from simclr_core.training.loop import build_training, descend

BATCH = 256
NETWORKS = {
    "ResNet-18": BackboneConfig(depth=18, stem="cifar"),
    "bench_small": BackboneConfig(depth=10, width_multiplier=0.25, stem="cifar"),
}
STEPS = {"ResNet-18": 1, "bench_small": 4}  # a turn; a DataLoader's workers have one step ready when theirs begins
ROUNDS = {"ResNet-18": 2, "bench_small": 5}
Step = Callable[[], object]


def run() -> list[Table]:
    """Images a second, the share of the matrix products' limit, and where the time of our step goes."""
    limits = {dtype: _matrix_product_gflops(dtype) for dtype in (torch.float32, torch.bfloat16)}
    speeds, profiles = [], []
    for network in NETWORKS:
        contenders = {
            "ours": functools.partial(_ours, network),
            "lightly": functools.partial(_lightly, network),
            "lightly, channels last": functools.partial(_lightly, network, channels_last=True),
        }
        if limits[torch.bfloat16] > limits[torch.float32]:  # otherwise bfloat16 is emulated, tens of times slower
            both = functools.partial(_lightly, network, channels_last=True, bfloat16=True)
            contenders["lightly, channels last, bfloat16 autocast"] = both
        with contextlib.ExitStack() as stack:
            tasks = {what: stack.enter_context(contextlib.closing(Apart(make))) for what, make in contenders.items()}
            timings = in_turns(tasks, ROUNDS[network])
            profiled = stack.enter_context(contextlib.closing(Apart(functools.partial(_profiled, network))))
            columns = ("operator", "calls", "share of the step")
            profiles.append(Table(f"Where the time of our step goes: {network}", columns, profiled()))
        speeds += [_row(network, what, timings, limits) for what in tasks]
    return [
        Table(
            f"Training steps of SimCLR, batch {BATCH}, 32 pixels, {torch.get_num_threads()} threads",
            ("network", "what", "images a second", "ours is x times as fast", "GFLOP/s of multiply-adds", "share"),
            speeds,
            "Median step of the rounds, each contender in a process of its own. Two views of an image are two images; a"
            " backward pass counts as two forward passes. Share: of the best float32 matrix product of this machine in"
            f" the same run, {limits[torch.float32]:.0f} GFLOP/s (bfloat16: {limits[torch.bfloat16]:.0f}).",
        ),
        *profiles,
    ]


def _row(network: str, what: str, timings: Timings, limits: dict[torch.dtype, float]) -> tuple[str | float, ...]:
    images_per_s = 2 * BATCH * STEPS[network] / statistics.median(timings[what])
    gflops = 6 * forward_multiply_adds(_config(network)) * images_per_s / 1e9
    share = f"{gflops / limits[torch.float32]:.0%}"
    return network, what, images_per_s, speed_ratio(timings, "ours", what), gflops, share


def _config(network: str) -> RunConfig:
    config = recipe("simclr_mini")
    config.backbone = NETWORKS[network]
    config.data.train_images = 0
    return config


def _images() -> ImageSet:
    """CIFAR-10 where its files are; otherwise random pixels, which cost as much."""
    runtime = RuntimeConfig()
    try:
        found = load_dataset(recipe("simclr_mini").data, runtime.data_path, runtime.cache_path).pretrain
    except DataError:
        found = ImageSet(torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8), torch.zeros(10_000).long())
    assert isinstance(found, ImageSet)
    return ImageSet(found.images[:10_000], found.labels[:10_000])


def _matrix_product_gflops(dtype: torch.dtype) -> float:
    """The best of some products of square matrices; smaller ones show as well that a CPU has no bfloat16 units."""
    size = 1024 if dtype is torch.float32 else 256
    a, b = torch.randn(2, size, size).to(dtype)
    seconds = in_turns({"product": lambda: a @ b}, 20)["product"]
    return 2 * size**3 / min(seconds) / 1e9


def _step_of_ours(network: str) -> Step:
    keep_freed_memory()
    config, world = _config(network), World()
    batches = Batches(config, _images(), world, num_workers=0)
    training = build_training(config, batches, world)
    coming = batches.steps(0, 10**9)

    def step() -> None:
        descend(training.method, next(coming))
        training.optimizer.step()

    return step


def _ours(network: str) -> Step:
    return _turn(network, _step_of_ours(network))


def _turn(network: str, step: Step) -> Step:
    def turn() -> None:
        for _ in range(STEPS[network]):
            step()

    return turn


def _profiled(network: str) -> Callable[[], list[tuple[str | float, ...]]]:
    """Operators of one step by the time spent in themselves, those above 2 %."""
    step = _step_of_ours(network)
    step()

    def rows() -> list[tuple[str | float, ...]]:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step()
        events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        shares = [(f"`{event.key}`", float(event.count), event.self_cpu_time_total / total) for event in events]
        return [(name, count, f"{share:.1%}") for name, count, share in shares if share > 0.02]

    return rows


class _Pictures(Dataset[tuple[list[Tensor], int]]):
    """What torchvision's CIFAR10 gives to lightly's transform: PIL images."""

    def __init__(self, images: ImageSet) -> None:
        self._pictures = [to_pil_image(image) for image in images.images]
        self._transform = SimCLRTransform(input_size=32, gaussian_blur=0.0)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        return self._transform(self._pictures[index]), 0


class _LightlySimCLR(nn.Module):
    """The model of lightly's SimCLR example, with a backbone for CIFAR-10."""

    def __init__(self, backbone: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(features, features, 128)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.projection_head(self.backbone(x).flatten(start_dim=1))
        return z


def _lightly(network: str, *, channels_last: bool = False, bfloat16: bool = False) -> Step:
    config, workers = NETWORKS[network], torch.get_num_threads()
    model = _LightlySimCLR(_torchs_own(config), num_features(config))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=memory_format)
    criterion = NTXentLoss(temperature=0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    pictures = _Pictures(_images())
    loader = DataLoader(pictures, BATCH, shuffle=True, drop_last=True, num_workers=workers, prefetch_factor=1)
    coming: Iterator[tuple[list[Tensor], Tensor]] = itertools.chain.from_iterable(itertools.repeat(loader))

    def step() -> None:
        (x0, x1), _ = next(coming)
        x0, x1 = (x.contiguous(memory_format=memory_format) for x in (x0, x1))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = criterion(model(x0), model(x1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return _turn(network, step)


def _torchs_own(config: BackboneConfig) -> nn.Module:
    """The same backbone of torch's own layers alone."""
    network = ResNet(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return network.to(memory_format=torch.contiguous_format)
