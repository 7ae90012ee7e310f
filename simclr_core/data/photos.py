"""The built-in data set: patches of 17 photographs that the packages scikit-image and scikit-learn contain.

The class is the photograph. An image is a square patch of it with a side uniform in 20-45 % of the photograph's shorter
side (less if that does not fit), resized with antialiasing; the hue is rotated, a tint is mixed in and the contrast is
changed, each drawn per image, so that colour identifies the image and not the class. Training patches come from the
left 70 % of every photograph, test patches from the rest. The set serves demonstrations and is not a benchmark.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from simclr_core.imaging.color import adjust_contrast, adjust_hue
from simclr_core.seeding import generator

NAME = "photos"
PHOTOGRAPHS = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "brick": ("skimage.data", "brick.png"),
    "camera": ("skimage.data", "camera.png"),
    "cell": ("skimage.data", "cell.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "china": ("sklearn.datasets.images", "china.jpg"),
    "coffee": ("skimage.data", "coffee.png"),
    "coins": ("skimage.data", "coins.png"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
    "grass": ("skimage.data", "grass.png"),
    "gravel": ("skimage.data", "gravel.png"),
    "hubble_deep_field": ("skimage.data", "hubble_deep_field.jpg"),
    "ihc": ("skimage.data", "ihc.png"),
    "motorcycle": ("skimage.data", "motorcycle_left.png"),
    "page": ("skimage.data", "page.png"),
    "retina": ("skimage.data", "retina.jpg"),
    "rocket": ("skimage.data", "rocket.jpg"),
}
"""Class -> package and file. The files are read directly, because ``skimage.data`` would download some of them."""

NUM_IMAGES = {"train": 8192, "test": 2048}
TRAIN_WIDTH = 0.7
SIDES = (0.2, 0.45)
"""Range of a patch's side, as a fraction of the photograph's shorter side."""
TINTS = (0.1, 0.5)
"""Range of the weight of the tint, a uniformly drawn colour."""
CONTRASTS = (0.5, 1.5)
RECIPE = 1
"""Version of the data set; raise it when the same seed would give other patches."""


@dataclass(frozen=True)
class Photos:
    """The data set at a size in pixels; the patches are always the same."""

    image_size: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the photographs, in alphabetical order."""
        return tuple(PHOTOGRAPHS)

    def labels(self, split: str) -> list[int]:
        """Return class numbers in rotation, so that class sizes differ by one at most."""
        return [row % len(PHOTOGRAPHS) for row in range(NUM_IMAGES[split])]

    def key(self, split: str) -> str:
        """Return 16 hexadecimal digits that change with the size, ``RECIPE`` and the versions of the packages."""
        versions = [metadata.version(name) for name in ("scikit-image", "scikit-learn", "pillow", "torch")]
        return hashlib.sha256(repr((self.image_size, RECIPE, split, versions)).encode()).hexdigest()[:16]

    def pixels(self, split: str) -> npt.NDArray[np.uint8]:
        """Return all patches of a split as uint8 (N, 3, S, S)."""
        size = self.image_size
        count = NUM_IMAGES[split]
        draws = torch.rand(count, 3, generator=generator(0, NAME, split, "boxes"), dtype=torch.float64).tolist()
        photographs = [_read(*place) for place in PHOTOGRAPHS.values()]
        patches = np.empty((count, 3, size, size), dtype=np.uint8)
        for row, (label, draw) in enumerate(zip(self.labels(split), draws, strict=True)):
            patch = photographs[label].resize(
                (size, size), Image.Resampling.BILINEAR, box=_box(photographs[label].size, split, draw)
            )
            patches[row] = np.asarray(patch).transpose(2, 0, 1)
        colored = _recolor(torch.from_numpy(patches).float().div_(255), generator(0, NAME, split, "colors"))
        return colored.mul_(255).round_().byte().numpy()


def _read(package: str, file: str) -> Image.Image:
    with files(package).joinpath(file).open("rb") as stream, Image.open(stream) as image:
        return image.convert("RGB")


def _box(extent: tuple[int, int], split: str, draw: list[float]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom, in pixels, of a patch in its split's part; ``draw`` is in [0, 1)."""
    width, height = extent
    border = round(TRAIN_WIDTH * width)
    start, end = (0, border) if split == "train" else (border, width)
    smallest, largest = (share * min(extent) for share in SIDES)
    side = smallest + draw[0] * (min(largest, end - start) - smallest)
    left, top = start + draw[1] * (end - start - side), draw[2] * (height - side)
    return left, top, left + side, top + side


def _recolor(images: Tensor, source: torch.Generator) -> Tensor:
    """Rotate the hue by any angle, then mix in a colour, then change the contrast, all drawn per image."""
    turns, weights, contrasts, *tint = torch.rand(6, len(images), generator=source)
    images = adjust_hue(images, turns)
    weight = (TINTS[0] + (TINTS[1] - TINTS[0]) * weights)[:, None, None, None]
    images = images + weight * (torch.stack(tint, dim=1)[:, :, None, None] - images)
    return adjust_contrast(images, CONTRASTS[0] + (CONTRASTS[1] - CONTRASTS[0]) * contrasts)
