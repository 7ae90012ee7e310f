"""The simplest transformations as batched tensor operations, and how an operation reaches some images of a batch.

Here and in ``crops``, ``color`` and ``filters``, images are float32 (B, 3, H, W) in [0, 1], and so are the results,
except where a bicubic crop overshoots. No operation draws anything, and none but ``change_some`` changes its argument.
Parameters have one row an image, on the CPU or on the images' device: those that choose between images (orders,
turns) stay on the CPU best, where looking at them does not wait for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def on_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``operation`` on the images where ``chosen``, booleans (B,), is true, with their rows of the parameters."""
    return change_some(images.clone(), chosen, operation, *parameters)


def change_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``on_some`` in place."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows):
        own = [parameter.index_select(0, rows.to(parameter.device)) for parameter in parameters]
        rows = rows.to(images.device)
        images.index_copy_(0, rows, operation(images.index_select(0, rows), *own))
    return images


def per_image(parameter: Tensor, images: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1), of the images' type and on their device."""
    return parameter.to(images)[:, None, None, None]


def hflip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirrors left and right where ``flip``, booleans (B,), says so."""
    return on_some(images, flip, lambda chosen: chosen.flip(3))


def cutout(images: Tensor, boxes: Tensor) -> Tensor:
    """Mid-gray (.5) inside the boxes, integers (B, 4) of top, left, bottom, right, the last two excluded."""
    top, left, bottom, right = boxes.to(images.device)[:, :, None].unbind(1)
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside = ((y >= top) & (y < bottom))[:, None, :, None] & ((x >= left) & (x < right))[:, None, None, :]
    return images.masked_fill(inside, 0.5)


def add_noise(images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Plus ``sigma`` (B,) times the images' own standard normal ``noise`` (B, 3, H, W)."""
    return (noise * per_image(sigma, images)).add_(images).clamp_(0, 1)


def rotate(images: Tensor, quarter_turns: Tensor) -> Tensor:
    """Counter-clockwise by ``quarter_turns``, integers (B,) of 0-3, without interpolation; square images."""
    images = images.clone()
    for turns in (1, 2, 3):
        change_some(images, quarter_turns == turns, lambda chosen, k=turns: torch.rot90(chosen, k, (2, 3)))
    return images
