"""The transformations of SimCLR as batched tensor operations, each image with its own parameters.

Images are float32 (B, 3, H, W) in [0, 1], and so are the results. No operation draws anything except ``add_noise``,
and none changes its argument. Parameters have one row an image, on the CPU or on the images' device: those that
choose between images (orders, turns) stay on the CPU best, where looking at them does not wait for a GPU.

Colour operations follow torchvision's definitions, not TensorFlow's, which differ in contrast and saturation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
SOBEL_BOUND = 4 * math.sqrt(2)
"""No gradient magnitude of values in [0, 1] exceeds it under the unnormalised 3x3 Sobel kernels."""
_TINY = 1e-12


def crop_resize(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The boxes, integers (B, 4) of top, left, height, width in pixels, resized to ``size`` pixels a side.

    Bilinear with half-pixel centres and no antialiasing: torchvision's resized crop wherever a box is not larger
    than ``size``. A box does not see the pixels around it: sampling stops at the centres of its own outermost ones.
    """
    top, left, height, width = boxes.to(images.device).unbind(1)
    rows = _sample_places(top, height, size, images.shape[2])[:, :, None].expand(-1, -1, size)
    columns = _sample_places(left, width, size, images.shape[3])[:, None, :].expand(-1, size, -1)
    grid = torch.stack([columns, rows], dim=3)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False).clamp_(0, 1)


def _sample_places(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """(B, size): the pixels' centres of a resized stretch, where an axis of ``extent`` pixels goes from -1 to 1."""
    start, last = start[:, None].float(), (start + length - 1)[:, None].float()
    steps = torch.arange(size, device=start.device) + 0.5
    centres = (start + steps * length[:, None] / size - 0.5).clamp(start, last)
    return centres.mul_(2).add_(1).div_(extent).sub_(1)


def hflip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirrors left and right where ``flip``, booleans (B,), says so."""
    return on_some(images, flip, lambda chosen: chosen.flip(3))


def on_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``operation`` on the images where ``chosen``, booleans (B,), is true, with their rows of the parameters."""
    return _change_some(images.clone(), chosen, operation, *parameters)


def _change_some(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``on_some`` in place."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows):
        own = [parameter[rows.to(parameter.device)] for parameter in parameters]
        rows = rows.to(images.device)
        images.index_copy_(0, rows, operation(images.index_select(0, rows), *own))
    return images


def to_gray(images: Tensor) -> Tensor:
    """(B, 1, H, W): the luma weights .2989, .587, .114."""
    red, green, blue = images.unbind(1)
    gray = red * GRAY_WEIGHTS[0]
    gray.add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])
    return gray.unsqueeze(1)


def grayscale(images: Tensor) -> Tensor:
    """Three equal channels."""
    return to_gray(images).expand_as(images).contiguous()


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Times ``factor`` (B,)."""
    return (images * _per_image(factor, images)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean of the gray image by ``factor`` (B,)."""
    return _blend(images, to_gray(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the gray image by ``factor`` (B,)."""
    return _blend(images, to_gray(images), factor)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    weight = _per_image(factor, images)
    return (images * weight).add_(other * (1 - weight)).clamp_(0, 1)


def _per_image(parameter: Tensor, images: Tensor) -> Tensor:
    return parameter.to(images)[:, None, None, None]


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """The hue of HSV rotated by ``turn`` (B,), in turns.

    Value and chroma stay, so a channel is value - chroma * depth(distance), where the distance, at most half a turn,
    is from the hue to the channel's complement, and depth falls from 1 within a sixth of a turn to 0 at a third.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # From 0 at red to half a turn at cyan, negative where there is more blue than green; any hue will do for grays.
    away = (green + blue).sub_(red).sub_(value).div_(chroma.clamp(min=_TINY)).add_(2).div_(6)
    hue = away.copysign_(green - blue).add_(turn.to(images)[:, None, None])
    offsets = torch.tensor([3, 1, -1], device=images.device)[:, None, None] / 6
    around = hue.unsqueeze(1) + offsets
    around.sub_(around.round())
    depth = around.abs_().mul_(-6).add_(2).clamp_(0, 1).mul_(chroma.unsqueeze(1))
    return (value.unsqueeze(1) - depth).clamp_(0, 1)


def color_jitter(images: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """All four colour operations, in each image's own ``order``, a permutation of 0-3 (B, 4).

    0 is brightness, 1 contrast, 2 saturation, 3 hue; so are the columns of ``factors`` (B, 4), the last in turns.
    """
    images = images.clone()
    factors = factors.to(order.device)
    for operation in order.unbind(1):
        factor = factors.gather(1, operation[:, None]).squeeze(1)
        # The first three mix an image with black, its mean or its gray: one pass does all, with weight 1 for hue.
        weight = torch.where(operation == 3, 1, factor)
        gray = to_gray(images)
        other = gray.mean((1, 2, 3), keepdim=True) * _per_image((1 - weight) * (operation == 1), images)
        other = other + gray.mul_(_per_image((1 - weight) * (operation == 2), images))
        images.mul_(_per_image(weight, images)).add_(other).clamp_(0, 1)
        _change_some(images, operation == 3, adjust_hue, factor)
    return images


def blur_radius(size: int) -> int:
    """Pixels either side of the middle: a kernel of about a tenth of the side (23 taps at 224, 3 at 32)."""
    return max(1, size // 10 // 2)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """A Gaussian of ``sigma`` (B,) pixels cut at ``radius``, its taps summing to 1, borders reflected."""
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    taps = torch.softmax(-0.5 * (offsets / sigma.to(images)[:, None]) ** 2, dim=1)[:, :, None, None, None]
    height, width = images.shape[2:]
    padded = pad(images, (radius, radius, radius, radius), mode="reflect")
    across = padded[..., :width] * taps[:, 0]
    for tap in range(1, 2 * radius + 1):
        across.addcmul_(padded[..., tap : tap + width], taps[:, tap])
    out = across[:, :, :height] * taps[:, 0]
    for tap in range(1, 2 * radius + 1):
        out.addcmul_(across[:, :, tap : tap + height], taps[:, tap])
    return out.clamp_(0, 1)


def cutout(images: Tensor, boxes: Tensor) -> Tensor:
    """Mid-gray (.5) inside the boxes, integers (B, 4) of top, left, bottom, right, the last two excluded."""
    top, left, bottom, right = boxes.to(images.device)[:, :, None].unbind(1)
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside = ((y >= top) & (y < bottom))[:, None, :, None] & ((x >= left) & (x < right))[:, None, None, :]
    return images.masked_fill(inside, 0.5)


def sobel(images: Tensor) -> Tensor:
    """Gradient magnitude of the gray image over its upper bound, as three equal channels; borders replicated."""
    gray = pad(to_gray(images), (1, 1, 1, 1), mode="replicate")
    smooth_down = gray[:, :, :-2] + 2 * gray[:, :, 1:-1] + gray[:, :, 2:]
    smooth_across = gray[..., :-2] + 2 * gray[..., 1:-1] + gray[..., 2:]
    x = smooth_down[..., 2:] - smooth_down[..., :-2]
    y = smooth_across[:, :, 2:] - smooth_across[:, :, :-2]
    return (torch.hypot(x, y) / SOBEL_BOUND).clamp_(0, 1).expand_as(images).contiguous()


def add_noise(images: Tensor, sigma: Tensor, generator: torch.Generator, others: tuple[int, int] = (0, 0)) -> Tensor:
    """Plus Gaussian noise of ``sigma`` (B,), drawn for each value by a generator on the images' device.

    ``others`` are how many images come before and after these in a batch that several processes share. The noise is
    drawn for all of it: torch gives no part of a draw without the whole.
    """
    before, after = others
    whole = (before + len(images) + after, *images.shape[1:])
    noise = torch.randn(whole, generator=generator, device=images.device)[before : before + len(images)]
    return noise.mul_(_per_image(sigma, images)).add_(images).clamp_(0, 1)


def rotate(images: Tensor, quarter_turns: Tensor) -> Tensor:
    """Counter-clockwise by ``quarter_turns``, integers (B,) of 0-3, without interpolation; square images."""
    images = images.clone()
    for turns in (1, 2, 3):
        _change_some(images, quarter_turns == turns, lambda chosen, k=turns: torch.rot90(chosen, k, (2, 3)))
    return images
