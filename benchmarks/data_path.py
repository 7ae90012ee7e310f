"""Making views beside torchvision's and kornia's, their share of a step, and reading large images.

The views are SimCLR's: crop, flip, colour jitter with hue in an order drawn per image, gray, blur, normalised.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import kornia.augmentation as kornia
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from benchmarks import streaming
from benchmarks.step import BATCH, NETWORKS
from benchmarks.tables import Table, in_turns, speed_ratio
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import NORMALIZATIONS, ImageSet
from simclr_core.processes.distributed import World
from simclr_core.processes.malloc import keep_freed_memory
from simclr_core.training.batches import Batches
from simclr_core.training.loop import build_training, descend

SIZE = 32
ROUNDS = 3
KERNEL = 3  # of the blur: a tenth of the image's side


def run() -> list[Table]:
    """Microseconds a view, shares of two steps, images a second."""
    keep_freed_memory()
    images = ImageSet(
        torch.randint(0, 256, (2 * BATCH, 3, SIZE, SIZE), dtype=torch.uint8), torch.zeros(2 * BATCH).long()
    )
    config = recipe("simclr_mini")
    config.views.color_strength, config.views.blur_probability = 1.0, 0.5
    config.data.train_images = 0
    return [views(config, images), shares(config, images), *streaming.tables()]


def views(config: RunConfig, images: ImageSet) -> Table:
    """Ours, torchvision's image by image as in a Dataset, kornia's by the batch."""
    coming = Batches(config, images, World(), num_workers=0).steps(0, 10**9)
    batch = images.images[:BATCH]
    one, many = torchvisions(config), kornias(config)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: next(coming),
        "torchvision v2, image by image": lambda: [torch.stack([one(image) for image in batch]) for _ in range(2)],
        "kornia, by the batch": lambda: [many(batch.float() / 255) for _ in range(2)],
    }
    timings = in_turns(ways, ROUNDS)
    rows: list[tuple[str | float, ...]] = [
        (name, 1e6 * statistics.median(seconds) / (2 * BATCH), speed_ratio(timings, "ours", name))
        for name, seconds in timings.items()
    ]
    columns = ("what", "microseconds a view", "ours is x times as fast")
    note = f"{SIZE} pixels, {torch.get_num_threads()} threads, batch {BATCH}; ours with an epoch's draws."
    return Table("Making views", columns, rows, note)


def shares(config: RunConfig, images: ImageSet) -> Table:
    """Of the time that a step takes with its views."""
    rows: list[tuple[str | float, ...]] = []
    for name, backbone in NETWORKS.items():
        config.backbone = backbone
        batches = Batches(config, images, World(), num_workers=0)
        training = build_training(config, batches, World())
        coming = batches.steps(0, 10**9)
        ready = itertools.cycle([next(coming)])

        def step(training: object = training, ready: object = ready) -> None:
            descend(training.method, next(ready))  # type: ignore[attr-defined, call-overload]
            training.optimizer.step()  # type: ignore[attr-defined]

        timings = in_turns({"views": lambda coming=coming: next(coming), "step": step}, ROUNDS)  # type: ignore[misc]
        ratios = [own / (own + rest) for own, rest in zip(timings["views"], timings["step"], strict=True)]
        rows.append((name, statistics.median(timings["views"]), f"{statistics.median(ratios):.1%}"))
    return Table(f"Views in a step, batch {BATCH}", ("network", "seconds for both views", "share of the step"), rows)


def torchvisions(config: RunConfig) -> Callable[[Tensor], Tensor]:
    """The same operations, each with its own parameters for an image."""
    mean, std = NORMALIZATIONS["cifar10"]
    views = config.views
    jitter = v2.ColorJitter(views.jitter_brightness, views.jitter_contrast, views.jitter_saturation, views.jitter_hue)
    chain: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(SIZE, (views.crop_min_area, 1), antialias=True),
            v2.RandomHorizontalFlip(views.flip_probability),
            v2.RandomApply([jitter], views.jitter_probability),
            v2.RandomGrayscale(views.gray_probability),
            v2.RandomApply(
                [v2.GaussianBlur(KERNEL, (views.blur_min_sigma, views.blur_max_sigma))], views.blur_probability
            ),
            v2.Normalize(mean, std),
        ]
    )
    return chain


def kornias(config: RunConfig) -> nn.Module:
    """The same operations on a batch; its jitter takes one order for all images of a batch."""
    mean, std = (torch.tensor(values) for values in NORMALIZATIONS["cifar10"])
    views = config.views
    strengths = (views.jitter_brightness, views.jitter_contrast, views.jitter_saturation, views.jitter_hue)
    sigmas = (views.blur_min_sigma, views.blur_max_sigma)
    return nn.Sequential(
        kornia.RandomResizedCrop((SIZE, SIZE), (views.crop_min_area, 1.0), cropping_mode="resample"),
        kornia.RandomHorizontalFlip(p=views.flip_probability),
        kornia.ColorJitter(*strengths, p=views.jitter_probability),
        kornia.RandomGrayscale(p=views.gray_probability),
        kornia.RandomGaussianBlur((KERNEL, KERNEL), sigmas, p=views.blur_probability),
        kornia.Normalize(mean, std),
    )
