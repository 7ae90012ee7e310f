"""Boxes of crops: two distributions of random boxes, and the central box of an evaluation.

A box is top, left, height and width in whole pixels of the source image. Sizes are integers (num_images, 2), heights
and widths; the box of an image depends on the size of the image and on its position among the images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simclr_core.config.schema import TENSORFLOW_LEAST_AREA

ASPECTS = (3 / 4, 4 / 3)
"""The smallest and the largest ratio of width to height."""
TORCHVISION_TRIES = 10
TENSORFLOW_TRIES = 100
EVALUATION_SHARE = 0.875


def uniform(count: int, source: torch.Generator) -> Tensor:
    """Draw float64 (count,) uniformly from [0, 1)."""
    return torch.rand(count, generator=source, dtype=torch.float64)


def draw_boxes(
    sizes: Tensor, min_area: float, source: torch.Generator, law: str = "torchvision", *, max_area: float = 1.0
) -> Tensor:
    """One random box for each of ``sizes``, integers (num_images, 4).

    Areas are from ``min_area`` to ``max_area``, fractions of the image, and aspects in [3/4, 4/3]; the law says what
    is uniform. Where a law finds no such box, it takes a box outside these ranges.
    """
    draw = {"torchvision": _draw_torchvision, "tensorflow": _draw_tensorflow}[law]
    return draw(sizes, min_area, max_area, source)


def _draw_torchvision(sizes: Tensor, min_area: float, max_area: float, source: torch.Generator) -> Tensor:
    """Area uniform, aspect log-uniform, sides rounded, the first of ten tries that fits; all places equally likely.

    The first of ten tries that fits is taken. If no try fits, the box is the largest central box whose aspect is in the
    range, which is the whole of a square image.
    """
    num_images = len(sizes)
    area, aspect = uniform(2 * num_images * TORCHVISION_TRIES, source).view(2, num_images, TORCHVISION_TRIES)
    area = sizes.prod(1)[:, None] * (min_area + (max_area - min_area) * area)
    low, high = map(math.log, ASPECTS)
    aspect = torch.exp(low + (high - low) * aspect)
    sides = torch.stack([(area / aspect).sqrt().round(), (area * aspect).sqrt().round()], dim=2)
    fits = ((sides >= 1) & (sides <= sizes[:, None])).all(2)
    rows, first, any_fits = torch.arange(num_images), fits.int().argmax(1), fits.any(1)[:, None]
    sides = torch.where(any_fits, sides[rows, first], _largest(sizes).round())
    free = sizes - sides
    corners = (uniform(2 * num_images, source).view(2, num_images).T * (free + 1)).floor()
    return torch.cat([torch.where(any_fits, corners, (free / 2).floor()), sides], dim=1).long()


def _draw_tensorflow(sizes: Tensor, min_area: float, max_area: float, source: torch.Generator) -> Tensor:
    """TensorFlow's ``sample_distorted_bounding_box`` as SimCLR calls it (tf2/data_util.py, ``crop_and_resize``).

    Aspect uniform; height uniform over the integers between those of the least area and of the greatest that fits;
    the width follows. Boxes of less than ``min_area`` or than a tenth of the image, or of more than ``max_area``, are
    drawn again, a hundred times, then the whole image is taken. A box that is smaller than the image never touches its
    last row or column.
    """
    num_images, boxes = len(sizes), torch.cat([torch.zeros_like(sizes), sizes], dim=1)
    # Not even the largest box is a tenth of an image that is too long, and a hundred rounds would be for nothing.
    pending = ((_largest(sizes) + 1).prod(1) >= TENSORFLOW_LEAST_AREA * sizes.prod(1)).nonzero().squeeze(1)
    # The number of rounds depends on the sizes, so they have a generator of their own: what is drawn next does not.
    tries = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=source)))
    for _ in range(TENSORFLOW_TRIES):
        # All images draw in every round, so that what one of them draws does not depend on which others are done.
        draws = uniform(4 * num_images, tries).view(4, num_images)[:, pending]
        tried, fits = _try_tensorflow(sizes[pending].double(), min_area, max_area, draws)
        boxes[pending[fits]] = tried[fits]
        pending = pending[~fits]
        if not len(pending):
            break
    return boxes


def _try_tensorflow(sizes: Tensor, min_area: float, max_area: float, draws: Tensor) -> tuple[Tensor, Tensor]:
    """One box for each of ``sizes`` from its four uniform ``draws`` (4, num_images), and whether it is accepted."""
    height, width = sizes.unbind(1)
    whole = height * width
    smallest, largest = min_area * height * width, max_area * whole
    aspect = ASPECTS[0] + (ASPECTS[1] - ASPECTS[0]) * draws[0]
    most = _tallest(aspect, height, width, largest)
    least = torch.min((smallest / aspect).sqrt().round(), most)
    tall = least + (draws[1] * (most - least + 1)).floor()
    # Rounding may have put the area just below its range, or just above: one row more, or less, is tried then.
    tall += (tall * (tall * aspect).round() < smallest).double()
    tall -= (tall * (tall * aspect).round() > largest).double()
    wide = (tall * aspect).round()
    area = tall * wide
    fits = (tall >= 1) & (wide >= 1) & (tall <= height) & (wide <= width) & (area >= smallest) & (area <= largest)
    top, left = (draws[2] * (height - tall)).floor(), (draws[3] * (width - wide)).floor()
    return torch.stack([top, left, tall, wide], dim=1).long(), fits & (area >= TENSORFLOW_LEAST_AREA * whole)


def _tallest(aspect: Tensor, height: Tensor, width: Tensor, largest: Tensor) -> Tensor:
    """The greatest height of a box of this aspect, of at most the area ``largest``, whose rounded width fits."""
    tallest = (largest / aspect).sqrt().round()
    too_wide = (tallest * aspect).round() > width
    tallest = torch.where(too_wide, ((width + 0.5 - 1e-7) / aspect).floor(), tallest)
    tallest -= ((tallest * aspect).round() > width).double()
    return torch.min(tallest, height)


def _largest(sizes: Tensor) -> Tensor:
    """Return height and width, float64 (num_images, 2), not rounded, of the largest box with an aspect in the range."""
    height, width = sizes.double().unbind(1)
    return torch.stack([torch.min(height, width / ASPECTS[0]), torch.min(width, height * ASPECTS[1])], dim=1)


def centre_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Return the central square whose side is .875 of the shorter side of the image, as in SimCLR's evaluation code."""
    side = round(EVALUATION_SHARE * min(height, width))
    return (height - side + 1) // 2, (width - side + 1) // 2, side, side
