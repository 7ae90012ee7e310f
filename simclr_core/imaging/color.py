"""Colour operations on float32 images (B, 3, H, W), each image with its own parameters; none changes its argument.

Two libraries give different meanings to the same names. torchvision's contrast and saturation mix an image with its
gray version; TensorFlow's contrast is about each channel's own mean, and its saturation scales the S of HSV. Gray and
hue agree. All but ``grayscale`` clip to [0, 1], as either does after every operation of a jitter. A bicubic crop that
overshoots comes in unclipped, as in SimCLR's code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import equalize_image

from simclr_core.imaging.geometry import change_some, per_image

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
_TINY = 1e-12


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
    """Times ``factor`` (B,): torchvision's, and the one of SimCLR's code since its second version."""
    return (images * per_image(factor, images)).clamp_(0, 1)


def shift_brightness(images: Tensor, delta: Tensor) -> Tensor:
    """Plus ``delta`` (B,): the brightness of the paper's own runs (``simclrv1`` in the code)."""
    return (images + per_image(delta, images)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean of the gray image by ``factor`` (B,): torchvision's."""
    return _blend(images, to_gray(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_channel_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from each channel's mean by ``factor`` (B,): TensorFlow's."""
    return _blend(images, images.mean((2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the gray image by ``factor`` (B,): torchvision's."""
    return _blend(images, to_gray(images), factor)


def adjust_hsv_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """The S of HSV times ``factor`` (B,), at most 1: TensorFlow's.

    S is (V - min) / V, and hue and V stay: every channel's distance from V, the largest one, changes by the same
    ratio, which is ``factor`` or, where S would pass 1, the one that brings the smallest channel to 0.
    """
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    ratio = torch.minimum(per_image(factor, images), value / chroma.clamp_(min=_TINY))
    return (value - (value - images) * ratio).clamp_(0, 1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    weight = per_image(factor, images)
    return (images * weight).add_(other * (1 - weight)).clamp_(0, 1)


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


def color_jitter(
    images: Tensor, order: Tensor, factors: Tensor, definition: str = "torchvision", brightness: str = "multiply"
) -> Tensor:
    """All four colour operations, in each image's own ``order``, a permutation of 0-3 (B, 4).

    0 is brightness, 1 contrast, 2 saturation, 3 hue; so are the columns of ``factors`` (B, 4), the last in turns.
    ``definition``, torchvision or tensorflow, is of contrast and saturation; ``brightness`` multiply or add.
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
    """In place, torchvision's operations 0 to 2, to the last bit: a blend with black, with the mean or with the gray.

    One pass over all images does them, which is a tenth faster than one after the other.
    """
    gray = to_gray(images)
    other = gray.mean((1, 2, 3), keepdim=True) * per_image((1 - factor) * (operation == 1), images)
    other = other + gray.mul_(per_image((1 - factor) * (operation == 2), images))
    images.mul_(per_image(factor, images)).add_(other).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Each channel's histogram flattened, on whole numbers 0-255: torchvision's and Pillow's."""
    whole: Tensor = equalize_image(to_uint8(images))
    return whole.float().div_(255)


def solarize(images: Tensor) -> Tensor:
    """Values of .5 and above to 1 minus themselves."""
    return torch.where(images >= 0.5, 1 - images, images)


def to_uint8(images: Tensor) -> Tensor:
    """[0, 1] to the nearest whole numbers 0-255."""
    return images.mul(255).round_().to(torch.uint8)
