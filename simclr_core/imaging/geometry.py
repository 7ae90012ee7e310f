"""Simple geometric transformations of batches, and the application of an operation to some images of a batch.

Here and in ``crops``, ``color`` and ``filters``, arguments and results are float32 images (B, 3, H, W) in [0, 1]; only
a bicubic crop may exceed this range. No operation draws random numbers, and only ``change_some`` changes its argument.
Parameters have one row per image, on the CPU or on the images' device. Parameters that choose between images (orders,
turns) are best on the CPU, where reading them does not wait for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def on_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """Apply ``operation`` to the images where ``chosen``, booleans (B,), is true, with their rows of the parameters."""
    return change_some(images.clone(), chosen, operation, *parameters)


def change_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """Apply ``operation`` as ``on_some`` does, but in place."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows):
        own = [parameter.index_select(0, rows.to(parameter.device)) for parameter in parameters]
        rows = rows.to(images.device)
        images.index_copy_(0, rows, operation(images.index_select(0, rows), *own))
    return images


def per_image(parameter: Tensor, images: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1), with the images' type and on their device."""
    return parameter.to(images)[:, None, None, None]


def hflip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirror left and right where ``flip``, booleans (B,), is true."""
    return on_some(images, flip, lambda chosen: chosen.flip(3))


def cutout(images: Tensor, boxes: Tensor) -> Tensor:
    """Set the pixels inside the boxes, integers (B, 4) of top, left, bottom, right (exclusive), to mid-gray (.5)."""
    top, left, bottom, right = boxes.to(images.device)[:, :, None].unbind(1)
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside = ((y >= top) & (y < bottom))[:, None, :, None] & ((x >= left) & (x < right))[:, None, None, :]
    return images.masked_fill(inside, 0.5)


def add_noise(images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Add ``sigma`` (B,) times standard normal ``noise`` (B, 3, H, W)."""
    return (noise * per_image(sigma, images)).add_(images).clamp_(0, 1)


def rotate(images: Tensor, quarter_turns: Tensor) -> Tensor:
    """Rotate square images counter-clockwise by ``quarter_turns``, integers (B,) of 0-3, without interpolation."""
    images = images.clone()
    for turns in (1, 2, 3):
        change_some(images, quarter_turns == turns, lambda chosen, k=turns: torch.rot90(chosen, k, (2, 3)))
    return images
