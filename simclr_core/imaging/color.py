"""Colour operations on float32 images (B, 3, H, W), each image with its own parameters; arguments stay unchanged.

torchvision and TensorFlow use the same names for different operations. torchvision's contrast and saturation mix an
image with its gray version; TensorFlow's contrast scales the distance from each channel's mean, and its saturation
scales the S of HSV. Gray and hue are the same in both. All operations except ``grayscale`` clip to [0, 1], as both
libraries do after every operation of a jitter. The input may exceed [0, 1] after a bicubic crop, as in SimCLR's code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import equalize_image

from simclr_core.imaging.geometry import change_some, per_image

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
_TINY = 1e-12


def to_gray(images: Tensor) -> Tensor:
    """Return the gray image (B, 1, H, W) with the luma weights .2989, .587, .114."""
    red, green, blue = images.unbind(1)
    gray = red * GRAY_WEIGHTS[0]
    gray.add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])
    return gray.unsqueeze(1)


def grayscale(images: Tensor) -> Tensor:
    """Return the gray image as three equal channels."""
    return to_gray(images).expand_as(images).contiguous()


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` (B,): torchvision's brightness, and SimCLR's since the second version of its code."""
    return (images * per_image(factor, images)).clamp_(0, 1)


def shift_brightness(images: Tensor, delta: Tensor) -> Tensor:
    """Add ``delta`` (B,): the brightness of the runs in SimCLR's paper (``simclrv1`` in the code)."""
    return (images + per_image(delta, images)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from the mean of the gray image by ``factor`` (B,): torchvision's contrast."""
    return _blend(images, to_gray(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_channel_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from each channel's mean by ``factor`` (B,): TensorFlow's contrast."""
    return _blend(images, images.mean((2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance from the gray image by ``factor`` (B,): torchvision's saturation."""
    return _blend(images, to_gray(images), factor)


def adjust_hsv_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the S of HSV by ``factor`` (B,), up to 1: TensorFlow's saturation.

    S is (V - min) / V, and hue and V stay the same. The distance of every channel from V, the largest channel,
    therefore changes by the same ratio: ``factor``, or the ratio that brings the smallest channel to 0 where S would
    exceed 1.
    """
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    ratio = torch.minimum(per_image(factor, images), value / chroma.clamp_(min=_TINY))
    return (value - (value - images) * ratio).clamp_(0, 1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    weight = per_image(factor, images)
    return (images * weight).add_(other * (1 - weight)).clamp_(0, 1)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of HSV by ``turn`` (B,), in turns.

    Value and chroma stay the same, so a channel is value - chroma * depth(distance). The distance, at most half a turn,
    is between the hue and the complement of the channel; depth falls from 1 within a sixth of a turn to 0 at a third.
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


def color_jitter(
    images: Tensor, order: Tensor, factors: Tensor, definition: str = "torchvision", brightness: str = "multiply"
) -> Tensor:
    """Apply all four colour operations to each image in its own ``order``, a permutation of 0-3 (B, 4).

    0 is brightness, 1 contrast, 2 saturation, 3 hue; the columns of ``factors`` (B, 4) have the same meaning, hue in
    turns. ``definition`` (torchvision or tensorflow) chooses contrast and saturation; ``brightness`` is multiply or
    add.
    """
    contrast, saturation = {
        "torchvision": (adjust_contrast, adjust_saturation),
        "tensorflow": (adjust_channel_contrast, adjust_hsv_saturation),
    }[definition]
    brighten = {"multiply": adjust_brightness, "add": shift_brightness}[brightness]
    blends = (definition, brightness) == ("torchvision", "multiply")

    def change(images: Tensor, operation: Tensor, factors: Tensor) -> None:
        factor = factors.gather(1, operation[:, None]).squeeze(1)
        if blends:
            _blend_any(images, operation, factor)
            return
        for number, adjust in enumerate((brighten, contrast, saturation)):
            change_some(images, operation == number, adjust, factor)

    # Sorted by the place of hue in their order, images that have an operation left before it, or after it, are
    # neighbours: hue, the dearest, is done once for all, and the others on parts of the batch, in place.
    place, rows = (order == 3).int().argmax(1).sort()
    images = images.index_select(0, rows.to(images.device))
    order, factors = order[rows], factors.to(order.device)[rows]
    firsts = [int((place <= before).sum()) for before in range(3)]
    if blends:
        images[: firsts[0]].clamp_(0, 1)  # a crop that overshoots, as if hue too were a blend
    for slot, first in enumerate(firsts):
        change(images[first:], order[first:, slot], factors[first:])
    images = adjust_hue(images, factors[:, 3])
    for slot, first in enumerate(firsts, start=1):
        change(images[:first], order[:first, slot], factors[:first])
    return images.index_select(0, rows.argsort().to(images.device))


def _blend_any(images: Tensor, operation: Tensor, factor: Tensor) -> None:
    """Apply torchvision's operations 0 to 2 in place, equal to the last bit: blends with black, mean or gray.

    One pass over all images is a tenth faster than one pass per operation.
    """
    gray = to_gray(images)
    other = gray.mean((1, 2, 3), keepdim=True) * per_image((1 - factor) * (operation == 1), images)
    other = other + gray.mul_(per_image((1 - factor) * (operation == 2), images))
    images.mul_(per_image(factor, images)).add_(other).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of each channel, on whole numbers 0-255, as torchvision and Pillow do."""
    whole: Tensor = equalize_image(to_uint8(images))
    return whole.float().div_(255)


def solarize(images: Tensor) -> Tensor:
    """Replace values v of .5 and above by 1 - v."""
    return torch.where(images >= 0.5, 1 - images, images)


def to_uint8(images: Tensor) -> Tensor:
    """Scale [0, 1] to 0-255 and round to the nearest whole number."""
    return images.mul(255).round_().to(torch.uint8)
