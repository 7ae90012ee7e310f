"""Two views of random images, as the tests of views make them."""

from __future__ import annotations

import torch
from torch import Tensor

from simclr_core.config.schema import ViewsConfig
from simclr_core.seeding import generator
from simclr_core.views.maker import ViewMaker
from simclr_core.views.transformations import CATALOGUE, Table

NUM_IMAGES = 48
SIZE = 32
SQUARES = torch.full((NUM_IMAGES, 2), SIZE)


def random_pixels() -> Tensor:
    shape = (NUM_IMAGES, 3, SIZE, SIZE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def maker(config: ViewsConfig, *, epoch: int = 0, seed: int = 0, normalization: str = "none") -> ViewMaker:
    made = ViewMaker(config, normalization, NUM_IMAGES, SIZE, seed)
    made.start_epoch(epoch)
    return made


def pair(first: str, second: str, **settings: object) -> ViewsConfig:
    return ViewsConfig(kind="pair", first=first, second=second, **settings)


def views(images: Tensor, config: ViewsConfig, *, step: int = 0, **settings: int) -> tuple[Tensor, Tensor]:
    return maker(config, **settings)(images, torch.arange(len(images)), step)


def table(name: str, config: ViewsConfig, *, branch: int, seed: int = 0, epoch: int = 0) -> Table:
    return CATALOGUE[name].draw(config, SQUARES, generator(seed, "views", epoch, branch, name))


RELEASED = ViewsConfig(
    crop_law="tensorflow",
    crop_interpolation="bicubic",
    color_definition="tensorflow",
    brightness="add",
    blur_border="zero",
)
NO_COLOUR = {"jitter_probability": 0, "gray_probability": 0, "blur_probability": 0}
