"""The transformations of the views: how the parameters of all images are drawn, and how a batch is changed by them.

With their columns in the order in which they are drawn:

- ``crop``: box, then flip by ``flip_probability``; the box has been cut and resized before the rest is applied
- ``color``: jitter by ``jitter_probability``, order, factors; then gray by ``gray_probability``
- ``blur``: by ``blur_probability``, then sigma
- ``autoaugment``: policy, chances, signs
- ``cutout``: centre; ``noise``: sigma (and by step the noise itself); ``rotate``: turns, 0-3; ``motion_blur``: angle
- ``sobel``, ``equalize`` and ``solarize`` draw nothing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simclr_core.config.schema import ViewsConfig
from simclr_core.imaging import color, filters, geometry
from simclr_core.imaging.autoaugment import autoaugment, draw_autoaugment
from simclr_core.imaging.boxes import draw_boxes, uniform

ADDED_NOISE_MAX_SIGMA = 0.5
"""Of the noise added to standard views; ``views.noise_max_sigma`` is a setting of pairs alone."""

Table = dict[str, Tensor]
"""Column name -> parameters on the CPU, one row an image."""


class StepSource(Protocol):
    """Where what is drawn by step and branch comes from."""

    def __call__(self, name: str) -> torch.Generator:
        """A fresh generator, named by what it is for."""


@dataclass(frozen=True)
class Transformation:
    """How the parameters of all images are drawn, and how a batch is changed by its rows of them.

    ``draw`` takes the configuration, the images' heights and widths (num_images, 2) as they come to it, and a
    generator; ``apply`` the configuration, images, their rows, and the source of what is drawn by step.
    """

    draw: Callable[[ViewsConfig, Tensor, torch.Generator], Table]
    apply: Callable[[ViewsConfig, Tensor, Table, StepSource], Tensor]


def draw_coins(count: int, probability: float, source: torch.Generator) -> Tensor:
    """Booleans (count,), true with the probability."""
    return uniform(count, source) < probability


def _no_parameters(*_: object) -> Table:
    return {}


def _draw_crop(config: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    boxes = draw_boxes(sizes, config.crop_min_area, source, config.crop_law, max_area=config.crop_max_area)
    return {"box": boxes, "flip": draw_coins(len(sizes), config.flip_probability, source)}


def _apply_crop(config: ViewsConfig, images: Tensor, rows: Table, _: StepSource) -> Tensor:
    if config.crop_interpolation == "bicubic" and not (config.kind == "standard" and config.distortion == "color"):
        images.clamp_(0, 1)  # where colour distortion follows, it sees the overshoot first, as in SimCLR's code
    return geometry.hflip(images, rows["flip"])


def _draw_color(config: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    count = len(sizes)
    jitter = draw_coins(count, config.jitter_probability, source)
    order = uniform(4 * count, source).view(count, 4).argsort(dim=1)
    ranges = (config.jitter_brightness, config.jitter_contrast, config.jitter_saturation)
    widths = [config.color_strength * width for width in ranges]
    turn = config.color_strength * config.jitter_hue
    low = torch.tensor([*(max(0.0, 1 - width) for width in widths), -turn], dtype=torch.float64)
    high = torch.tensor([*(1 + width for width in widths), turn], dtype=torch.float64)
    if config.brightness == "add":
        low[0], high[0] = -widths[0], widths[0]
    factors = low + (high - low) * uniform(4 * count, source).view(count, 4)
    gray = draw_coins(count, config.gray_probability, source)
    return {"jitter": jitter, "order": order, "factors": factors.float(), "gray": gray}


def _apply_color(config: ViewsConfig, images: Tensor, rows: Table, _: StepSource) -> Tensor:
    def jitter(chosen: Tensor, order: Tensor, factors: Tensor) -> Tensor:
        return color.color_jitter(chosen, order, factors, config.color_definition, config.brightness)

    images = geometry.on_some(images, rows["jitter"], jitter, rows["order"], rows["factors"])
    images = geometry.on_some(images, rows["gray"], color.grayscale)
    return images.clamp_(0, 1) if config.crop_interpolation == "bicubic" else images


def _draw_blur(config: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    blur = draw_coins(len(sizes), config.blur_probability, source)
    return {"blur": blur, "sigma": _draw_sigmas(config, len(sizes), source)}


def _draw_sigmas(config: ViewsConfig, count: int, source: torch.Generator) -> Tensor:
    width = config.blur_max_sigma - config.blur_min_sigma
    return (config.blur_min_sigma + width * uniform(count, source)).float()


def _apply_blur(config: ViewsConfig, images: Tensor, rows: Table, by_step: StepSource) -> Tensor:
    radius = filters.blur_radius(images.shape[3])
    if config.blur_border == "reflect":
        radius = max(1, radius)  # the code that pads with zeros has a single tap below 20 pixels, which is no blur
    sigma = rows["sigma"]
    if config.blur_sigma_per == "batch":
        sigma = _draw_sigmas(config, 1, by_step("blur_sigma")).expand(len(images))

    def blur(chosen: Tensor, sigma: Tensor) -> Tensor:
        return filters.gaussian_blur(chosen, sigma, radius, config.blur_border)

    return geometry.on_some(images, rows["blur"], blur, sigma)


def _apply_autoaugment(config: ViewsConfig, images: Tensor, rows: Table, _: StepSource) -> Tensor:
    name = config.distortion.removeprefix("autoaugment_")
    return autoaugment(images, name, rows["policy"], rows["chances"], rows["signs"])


def _draw_cutout(config: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    side = (config.cutout_size * sizes.double()).round().long()
    centre = (uniform(2 * len(sizes), source).view(-1, 2) * sizes).long()
    start = centre - side // 2
    return {"box": torch.cat([start, start + side], dim=1).clamp_(min=0).minimum(sizes.repeat(1, 2))}


def _draw_noise(config: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    highest = config.noise_max_sigma if config.kind == "pair" else ADDED_NOISE_MAX_SIGMA
    return {"sigma": (highest * uniform(len(sizes), source)).float()}


def _apply_noise(_: ViewsConfig, images: Tensor, rows: Table, __: StepSource) -> Tensor:
    return geometry.add_noise(images, rows["sigma"], rows["noise"])


def _draw_rotate(_: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    return {"turns": (4 * uniform(len(sizes), source)).long()}


def _apply_rotate(_: ViewsConfig, images: Tensor, rows: Table, __: StepSource) -> Tensor:
    return geometry.rotate(images, rows["turns"])


def _draw_motion_blur(_: ViewsConfig, sizes: Tensor, source: torch.Generator) -> Table:
    return {"angle": uniform(len(sizes), source) / 2}


def _apply_motion_blur(_: ViewsConfig, images: Tensor, rows: Table, __: StepSource) -> Tensor:
    return filters.motion_blur(images, rows["angle"], max(1, filters.blur_radius(images.shape[3])))


CATALOGUE = {
    "crop": Transformation(_draw_crop, _apply_crop),
    "cutout": Transformation(_draw_cutout, lambda _, images, rows, __: geometry.cutout(images, rows["box"])),
    "color": Transformation(_draw_color, _apply_color),
    "sobel": Transformation(_no_parameters, lambda _, images, *__: filters.sobel(images)),
    "noise": Transformation(_draw_noise, _apply_noise),
    "blur": Transformation(_draw_blur, _apply_blur),
    "rotate": Transformation(_draw_rotate, _apply_rotate),
    "autoaugment": Transformation(lambda _, sizes, source: draw_autoaugment(len(sizes), source), _apply_autoaugment),
    "equalize": Transformation(_no_parameters, lambda _, images, *__: color.equalize(images)),
    "solarize": Transformation(_no_parameters, lambda _, images, *__: color.solarize(images)),
    "motion_blur": Transformation(_draw_motion_blur, _apply_motion_blur),
}
