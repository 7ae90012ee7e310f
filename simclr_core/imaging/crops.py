"""Cropping and resizing, each image of a batch with its own box (see ``boxes``), and the view of an evaluation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, grid_sample

from simclr_core.imaging.boxes import centre_box

TABLE_STEPS = 1024
"""TensorFlow tabulates bicubic weights at this number of steps between two pixels."""


def crop_resize(
    images: Tensor, boxes: Tensor, size: int, interpolation: str = "bilinear", *, antialias: bool = False
) -> Tensor:
    """The boxes, integers (B, 4), of float32 images (B, 3, H, W), resized to (B, 3, size, size).

    Half-pixel centres, and a box does not see the pixels around it. ``bilinear``: torchvision's resized crop wherever
    a box is not larger than ``size``, clipped to [0, 1]. ``bicubic``: TensorFlow's ``tf.image.resize``, which may
    overshoot [0, 1]; SimCLR's code clips it only after colour distortion. ``antialias``: torchvision's resized crop
    of boxes of every size.
    """
    if antialias:
        return _resize_antialiased(images, boxes.to(images.device), size, interpolation)
    resize = {"bilinear": _resize_bilinear, "bicubic": _resize_bicubic}[interpolation]
    return resize(images, boxes.to(images.device), size)


def _resize_bilinear(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    top, left, height, width = boxes.unbind(1)
    rows = _sample_places(top, height, size, images.shape[2])[:, :, None].expand(-1, -1, size)
    columns = _sample_places(left, width, size, images.shape[3])[:, None, :].expand(-1, size, -1)
    grid = torch.stack([columns, rows], dim=3)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False).clamp_(0, 1)


def _sample_places(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """Return the pixel centres (B, size) of a resized interval, on an axis from -1 to 1 for ``extent`` pixels."""
    start, last = start[:, None].float(), (start + length - 1)[:, None].float()
    steps = torch.arange(size, device=start.device) + 0.5
    centres = (start + steps * length[:, None] / size - 0.5).clamp(start, last)
    return centres.mul_(2).add_(1).div_(extent).sub_(1)


def _resize_bicubic(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    top, left, height, width = boxes.unbind(1)
    tall = _mix_rows(images.transpose(1, 2), *_bicubic_taps(top, height, size))
    return _mix_rows(tall.transpose(1, 3), *_bicubic_taps(left, width, size)).permute(0, 2, 3, 1).contiguous()


def _mix_rows(images: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Map images (B, L, ...) to (B, size, ...): every output row is a weighted sum of four of the L rows.

    ``embedding_bag`` computes such sums several times faster than gathering.
    """
    num_images, length, *rest = images.shape
    first = length * torch.arange(num_images, device=images.device)
    bags = (taps + first[:, None, None]).flatten(0, 1)
    rows = images.reshape(num_images * length, -1)
    mixed = embedding_bag(bags, rows, mode="sum", per_sample_weights=weights.flatten(0, 1))
    return mixed.view(num_images, -1, *rest)


def _bicubic_taps(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the source pixels of every pixel of a resized interval and the weights of these pixels, (B, size, 4) each.

    The kernel is Keys' cubic with a = -.5, at distances rounded as in TensorFlow's table. Taps outside the interval
    have weight 0, and the other weights are normalised to sum 1. The arithmetic is float32 in TensorFlow's order of
    operations, because another order can round to the next entry of the table.
    """
    scale = length[:, None].float() / size
    places = (torch.arange(size, device=start.device) + 0.5) * scale - 0.5
    before = places.floor()
    past = ((places - before) * TABLE_STEPS).round_() / TABLE_STEPS
    taps = torch.arange(-1, 3, device=start.device)
    weights = _keys_cubic((past[:, :, None] - taps).abs_())
    pixels = before.long()[:, :, None] + taps
    last = length[:, None, None] - 1
    weights = weights.masked_fill_((pixels < 0) | (pixels > last), 0)
    return start[:, None, None] + pixels.clamp(min=0).minimum(last), weights / weights.sum(2, keepdim=True)


def _resize_antialiased(images: Tensor, boxes: Tensor, size: int, interpolation: str) -> Tensor:
    """As Pillow: where a box is larger than ``size``, the kernel is as much wider."""
    top, left, height, width = boxes.unbind(1)
    rows = _kernel_weights(top, height, size, images.shape[2], interpolation)
    columns = _kernel_weights(left, width, size, images.shape[3], interpolation)
    resized = rows[:, None] @ images @ columns[:, None].transpose(2, 3)
    return resized.clamp_(0, 1) if interpolation == "bilinear" else resized


def _kernel_weights(start: Tensor, length: Tensor, size: int, extent: int, interpolation: str) -> Tensor:
    """(B, size, extent): what each of ``extent`` pixels weighs in those of a resized stretch; they sum to 1."""
    scale = (length.float() / size)[:, None, None]
    places = (torch.arange(size, device=start.device) + 0.5)[:, None] * scale
    pixels = torch.arange(extent, device=start.device) - start[:, None, None]
    distance = (pixels + 0.5 - places).abs_() / scale.clamp(min=1)
    weights = (1 - distance).clamp_(min=0)
    if interpolation == "bicubic":
        weights = _keys_cubic(distance).masked_fill_(distance >= 2, 0)
    weights = weights.masked_fill_((pixels < 0) | (pixels >= length[:, None, None]), 0)
    return weights / weights.sum(2, keepdim=True)


def _keys_cubic(distance: Tensor) -> Tensor:
    """Keys (1981), equation 15: a = -1/2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, far)


def evaluation_view(images: Tensor, size: int) -> Tensor:
    """Map float32 images (B, 3, H, W) in [0, 1] to (B, 3, size, size) as SimCLR's evaluation of larger images does.

    The central square with .875 of the shorter side is resized in one bicubic step, then clipped (tf2/data_util.py,
    ``preprocess_for_eval``). Images of 32 pixels are evaluated whole instead.
    """
    return centre_crop_resize(images, size).clamp_(0, 1)


def centre_crop_resize(images: Tensor, size: int) -> Tensor:
    """Compute ``evaluation_view`` without the final clipping (tf2/data_util.py, ``center_crop``)."""
    box = torch.tensor([centre_box(*images.shape[2:])], device=images.device)
    return crop_resize(images, box.expand(len(images), -1), size, "bicubic")
