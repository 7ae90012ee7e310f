"""Two views of every image of a batch: which transformations, and each image's own parameters.

Parameters are drawn once an epoch into tables with one row an image of the pre-training set, from generators named
by (seed, epoch, branch, transformation). A view depends on its row and on nothing else: not on the batch that the
image comes in, nor on its place there. The one exception is pixel noise, which is drawn by (seed, step, branch).

``standard``: both branches draw crop, color and blur and apply them in this order. ``pair``: ``first`` then
``second`` (once if they are equal); before them, with ``base_crop: shared``, one crop and resize without flip, the
same for both branches; with ``branches: one``, branch 2 stops there (SimCLR Sec. 3.1, Fig. 5).

The transformations, with their columns in the order in which they are drawn:

- ``crop``: box, then flip by ``flip_probability``
- ``color``: jitter by ``jitter_probability``, order, factors; then gray by ``gray_probability``
- ``blur``: by ``blur_probability``, then sigma
- ``cutout``: centre; ``noise``: sigma; ``rotate``: turns, 0-3; ``sobel`` draws nothing

Coins keep their probabilities in a pair; the transformations without a coin are always applied.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simclr_core import transforms
from simclr_core.config import ViewsConfig
from simclr_core.data import normalise, to_float
from simclr_core.seeding import generator

CROP_TRIES = 10
CROP_ASPECTS = (3 / 4, 4 / 3)

Table = dict[str, Tensor]
"""Column name -> parameters on the CPU, one row an image."""
AddNoise = Callable[[Tensor, Tensor], Tensor]
"""From images and sigma (B,), with the noise of the step."""


@dataclass(frozen=True)
class Transformation:
    """How the parameters of all images are drawn, and how a batch is changed by its rows of them.

    ``draw`` takes the configuration, the number of images, their side in pixels and a generator; ``apply`` the
    images, their rows and, for pixel noise, what adds it with a given sigma.
    """

    draw: Callable[[ViewsConfig, int, int, torch.Generator], Table]
    apply: Callable[[Tensor, Table, AddNoise], Tensor]


def draw_boxes(num_images: int, size: int, min_area: float, source: torch.Generator) -> Tensor:
    """Crop boxes, integers (num_images, 4) of top, left, height, width, by torchvision's law on square images.

    Area uniform in [min_area, 1] of the image, aspect log-uniform in [3/4, 4/3], sides rounded to whole pixels, the
    first of ten tries that fits, else the whole image; then the place, uniform over all where the box fits.
    """
    area, aspect = _uniform(2 * num_images * CROP_TRIES, source).view(2, num_images, CROP_TRIES)
    area = size * size * (min_area + (1 - min_area) * area)
    low, high = map(math.log, CROP_ASPECTS)
    aspect = torch.exp(low + (high - low) * aspect)
    sides = torch.stack([(area / aspect).sqrt().round(), (area * aspect).sqrt().round()], dim=2)
    fits = ((sides >= 1) & (sides <= size)).all(2)
    first = fits.int().argmax(1)
    rows = torch.arange(num_images)
    sides = torch.where(fits.any(1)[:, None], sides[rows, first], float(size))
    corners = (_uniform(2 * num_images, source).view(2, num_images).T * (size - sides + 1)).floor()
    return torch.cat([corners, sides], dim=1).long()


def _uniform(count: int, source: torch.Generator) -> Tensor:
    return torch.rand(count, generator=source, dtype=torch.float64)


def _coins(count: int, probability: float, source: torch.Generator) -> Tensor:
    return _uniform(count, source) < probability


def _draw_crop(config: ViewsConfig, count: int, size: int, source: torch.Generator) -> Table:
    boxes = draw_boxes(count, size, config.crop_min_area, source)
    return {"box": boxes, "flip": _coins(count, config.flip_probability, source)}


def _apply_crop(images: Tensor, rows: Table, _: AddNoise) -> Tensor:
    return transforms.hflip(transforms.crop_resize(images, rows["box"], images.shape[3]), rows["flip"])


def _draw_color(config: ViewsConfig, count: int, _: int, source: torch.Generator) -> Table:
    jitter = _coins(count, config.jitter_probability, source)
    order = _uniform(4 * count, source).view(count, 4).argsort(dim=1)
    ranges = (config.jitter_brightness, config.jitter_contrast, config.jitter_saturation)
    widths = [config.color_strength * width for width in ranges]
    turn = config.color_strength * config.jitter_hue
    low = torch.tensor([*(max(0.0, 1 - width) for width in widths), -turn], dtype=torch.float64)
    high = torch.tensor([*(1 + width for width in widths), turn], dtype=torch.float64)
    factors = low + (high - low) * _uniform(4 * count, source).view(count, 4)
    gray = _coins(count, config.gray_probability, source)
    return {"jitter": jitter, "order": order, "factors": factors.float(), "gray": gray}


def _apply_color(images: Tensor, rows: Table, _: AddNoise) -> Tensor:
    images = transforms.on_some(images, rows["jitter"], transforms.color_jitter, rows["order"], rows["factors"])
    return transforms.on_some(images, rows["gray"], transforms.grayscale)


def _draw_blur(config: ViewsConfig, count: int, _: int, source: torch.Generator) -> Table:
    blur = _coins(count, config.blur_probability, source)
    width = config.blur_max_sigma - config.blur_min_sigma
    return {"blur": blur, "sigma": (config.blur_min_sigma + width * _uniform(count, source)).float()}


def _apply_blur(images: Tensor, rows: Table, _: AddNoise) -> Tensor:
    radius = transforms.blur_radius(images.shape[3])
    return transforms.on_some(
        images, rows["blur"], lambda chosen, sigma: transforms.gaussian_blur(chosen, sigma, radius), rows["sigma"]
    )


def _draw_cutout(config: ViewsConfig, count: int, size: int, source: torch.Generator) -> Table:
    side = round(config.cutout_size * size)
    centre = (_uniform(2 * count, source).view(count, 2) * size).long()
    start = centre - side // 2
    return {"box": torch.cat([start, start + side], dim=1).clamp_(0, size)}


def _draw_noise(config: ViewsConfig, count: int, _: int, source: torch.Generator) -> Table:
    return {"sigma": (config.noise_max_sigma * _uniform(count, source)).float()}


def _draw_rotate(_: ViewsConfig, count: int, __: int, source: torch.Generator) -> Table:
    return {"turns": (4 * _uniform(count, source)).long()}


CATALOGUE = {
    "crop": Transformation(_draw_crop, _apply_crop),
    "cutout": Transformation(_draw_cutout, lambda images, rows, _: transforms.cutout(images, rows["box"])),
    "color": Transformation(_draw_color, _apply_color),
    "sobel": Transformation(lambda *_: {}, lambda images, *_: transforms.sobel(images)),
    "noise": Transformation(_draw_noise, lambda images, rows, add_noise: add_noise(images, rows["sigma"])),
    "blur": Transformation(_draw_blur, _apply_blur),
    "rotate": Transformation(_draw_rotate, lambda images, rows, _: transforms.rotate(images, rows["turns"])),
}


class ViewMaker:
    """Makes the views of a pre-training run of ``num_images`` square images, ``image_size`` pixels a side."""

    def __init__(self, config: ViewsConfig, normalization: str, num_images: int, image_size: int, seed: int) -> None:
        self._config = config
        self._normalization = normalization
        self._num_images = num_images
        self._image_size = image_size
        self._seed = seed
        self._chains = _chains(config)
        self._base_boxes: Tensor | None = None
        self._tables: list[dict[str, Table]] = []

    def start_epoch(self, epoch: int) -> None:
        """Draws the parameters of every image for this epoch; epochs can come in any order."""
        config, count, size = self._config, self._num_images, self._image_size
        if config.kind == "pair" and config.base_crop == "shared":
            source = generator(self._seed, "views", epoch, "both", "crop")
            self._base_boxes = draw_boxes(count, size, config.crop_min_area, source)
        self._tables = [
            {
                name: CATALOGUE[name].draw(config, count, size, generator(self._seed, "views", epoch, branch, name))
                for name in chain
            }
            for branch, chain in enumerate(self._chains, start=1)
        ]

    @torch.no_grad()
    def __call__(
        self, images_u8: Tensor, indices: Tensor, step: int, own: slice | None = None
    ) -> tuple[Tensor, Tensor]:
        """Two views, each float32 (b, 3, S, S), normalised, on the images' device.

        ``indices`` (B,) are the positions of a batch in the pre-training set; ``images_u8``, uint8 (b, 3, S, S), are
        its images, or the part ``own`` of them where several processes share a batch; ``step`` counts over the whole
        run. ``start_epoch`` comes first.
        """
        own = slice(0, len(indices)) if own is None else own
        rows = indices.cpu()[own]
        others = (own.start, len(indices) - own.stop)
        images = to_float(images_u8)
        if self._base_boxes is not None:
            images = transforms.crop_resize(images, self._base_boxes[rows], self._image_size)
        view_1, view_2 = (self._view(images, rows, step, branch, others) for branch in (1, 2))
        return view_1, view_2

    def _view(self, images: Tensor, indices: Tensor, step: int, branch: int, others: tuple[int, int]) -> Tensor:
        pixels = generator(self._seed, "noise", step, branch, device=images.device)
        add_noise = functools.partial(transforms.add_noise, generator=pixels, others=others)
        for name in self._chains[branch - 1]:
            rows = {column: values[indices] for column, values in self._tables[branch - 1][name].items()}
            images = CATALOGUE[name].apply(images, rows, add_noise)
        return normalise(images, self._normalization)


def _chains(config: ViewsConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the transformations of branch 1 and of branch 2, in order."""
    if config.kind == "standard":
        chain: tuple[str, ...] = ("crop", "color", "blur")
        return chain, chain
    chain = (config.first,) if config.first == config.second else (config.first, config.second)
    return chain, chain if config.branches == "both" else ()
