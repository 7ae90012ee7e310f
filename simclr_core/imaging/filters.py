"""Filters over neighbouring pixels, on float32 images (B, 3, H, W) in [0, 1]; arguments stay unchanged."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from simclr_core.imaging.color import to_gray

SOBEL_BOUND = 4 * math.sqrt(2)
"""Upper bound of the gradient magnitude of values in [0, 1] under the unnormalised 3x3 Sobel kernels."""


def blur_radius(size: int) -> int:
    """Return the radius in pixels of a blur kernel of about a tenth of the side: 23 taps at 224, 3 at 32, 1 below 20.

    SimCLR App. A, tf2/data_util.py (``random_blur``).
    """
    return size // 10 // 2


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int, border: str = "reflect") -> Tensor:
    """Blur with a Gaussian of ``sigma`` (B,) pixels, cut at ``radius`` and normalised to sum 1.

    ``border``: ``reflect``, or ``zero``, which darkens the frame as SimCLR's code does.
    """
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    taps = torch.softmax(-0.5 * (offsets / sigma.to(images)[:, None]) ** 2, dim=1)[:, :, None, None, None]
    height, width = images.shape[2:]
    padded = pad(images, (radius, radius, radius, radius), mode={"reflect": "reflect", "zero": "constant"}[border])
    across = padded[..., :width] * taps[:, 0]
    for tap in range(1, 2 * radius + 1):
        across.addcmul_(padded[..., tap : tap + width], taps[:, tap])
    out = across[:, :, :height] * taps[:, 0]
    for tap in range(1, 2 * radius + 1):
        out.addcmul_(across[:, :, tap : tap + height], taps[:, tap])
    return out.clamp_(0, 1)


def motion_blur(images: Tensor, angle: Tensor, radius: int) -> Tensor:
    """Average 2 ``radius`` + 1 samples, one pixel apart, along a line through each pixel.

    ``angle`` (B,) is in turns: 0 is along a row, a quarter along a column. Samples are bilinear; outside the image the
    border's pixels are repeated. SimCLR App. B.2 names motion blur without parameters: length, angle and kernel are
    this project's choice.
    """
    height, width = images.shape[2:]
    radians = (2 * math.pi * angle.double()).to(images)[:, None, None]
    y = torch.arange(height, device=images.device)[:, None]
    x = torch.arange(width, device=images.device)
    out = torch.zeros_like(images)
    for step in range(-radius, radius + 1):
        columns = (2 * (x + step * radians.cos()) + 1) / width - 1
        rows = (2 * (y + step * radians.sin()) + 1) / height - 1
        grid = torch.stack(torch.broadcast_tensors(columns, rows), dim=3)
        out += grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return out.div_(2 * radius + 1).clamp_(0, 1)


def sobel(images: Tensor) -> Tensor:
    """Return the gradient magnitude of the gray image divided by its upper bound, as three equal channels.

    Border pixels are replicated.
    """
    gray = pad(to_gray(images), (1, 1, 1, 1), mode="replicate")
    smooth_down = gray[:, :, :-2] + 2 * gray[:, :, 1:-1] + gray[:, :, 2:]
    smooth_across = gray[..., :-2] + 2 * gray[..., 1:-1] + gray[..., 2:]
    x = smooth_down[..., 2:] - smooth_down[..., :-2]
    y = smooth_across[:, :, 2:] - smooth_across[:, :, :-2]
    return (torch.hypot(x, y) / SOBEL_BOUND).clamp_(0, 1).expand_as(images).contiguous()
