"""Random images for the tests of transformations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"
SIZE = 32
EPS = torch.finfo(torch.float32).eps
"""A unit in the last place of 1, the largest value of an image: one rounding there errs by half of it at most."""
COUNT = 24


def uniform(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def images() -> Tensor:
    """Noise, and what trips HSV and clamping: black, white, gray, pure colours, equal channels, no blue."""
    images = uniform(COUNT, 3, SIZE, SIZE)
    images[0], images[1], images[2] = 0, 1, 0.3
    images[3] = images[3].round()
    images[4] = (images[4] * 3).round() / 3
    images[5] = images[5, :1]
    images[6, 2] = 0
    return images


def boxes(seed: int = 3) -> Tensor:
    """The whole image, single pixels at opposite corners, and others anywhere."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.randint(1, SIZE + 1, (COUNT, 2), generator=generator)
    corners = (torch.rand(COUNT, 2, generator=generator) * (SIZE - sides + 1)).long()
    boxes = torch.cat([corners, sides], dim=1)
    boxes[:3] = torch.tensor([[0, 0, SIZE, SIZE], [0, 0, 1, 1], [SIZE - 1, SIZE - 1, 1, 1]])
    return boxes
