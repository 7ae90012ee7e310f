"""Convolutions of the smallest maps, computed as matrix products.

On a CPU, a library's convolution of a map of 1x1 or 2x2 pixels takes up to fifty times as long as a matrix product with
the same multiply-adds, above all for the gradient of the weights: it iterates over the taps of the kernel, most of
which see only padding. The last stages of a network for images of 16 or 32 pixels have such maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Convolution(nn.Conv2d):
    """torch's convolution without groups and dilation: (B, C, H, W) -> (B, D, H', W'), channels-last on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the convolution; where one matrix product suffices, the same sums are added in another order."""
        if x.device.type != "cpu":
            return super().forward(x)
        if all(_reaches_all(*axis) for axis in self._axes(x)):
            return self._of_whole_maps(x)
        if self.kernel_size == (1, 1) and self.stride != (1, 1):
            return self._of_pixels(x)
        return super().forward(x)

    def _of_pixels(self, x: Tensor) -> Tensor:
        """Compute a strided 1x1 convolution as a linear layer on each pixel that it reads."""
        high, wide = self.stride
        pixels = x.permute(0, 2, 3, 1)[:, ::high, ::wide]
        y = functional.linear(pixels.reshape(-1, self.in_channels), self.weight.flatten(1), self.bias)
        return y.view(*pixels.shape[:3], -1).permute(0, 3, 1, 2)

    def _axes(self, x: Tensor) -> list[tuple[int, int, int, int]]:
        """Return for height and for width: the map's side, and kernel, stride and padding."""
        padding = self.padding
        assert not isinstance(padding, str)
        return list(zip(x.shape[2:], self.kernel_size, self.stride, padding, strict=True))

    def _of_whole_maps(self, x: Tensor) -> Tensor:
        """Compute a linear layer on the whole map: one tap connects every pair of an input and an output pixel."""
        rows, columns = (_taps(*axis) for axis in self._axes(x))
        taps = rows[:, None, :, None] * self.kernel_size[1] + columns[None, :, None, :]  # (H', W', H, W)
        high, wide, height, width = taps.shape
        by_tap = self.weight.permute(2, 3, 0, 1).flatten(0, 1).index_select(0, taps.flatten())
        matrix = by_tap.view(high * wide, height * width, self.out_channels, self.in_channels).transpose(1, 2)
        pixels = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        bias = None if self.bias is None else self.bias.repeat(high * wide)
        y = functional.linear(pixels, matrix.reshape(high * wide * self.out_channels, -1), bias)
        return y.view(len(x), high, wide, self.out_channels).permute(0, 3, 1, 2)


def _reaches_all(side: int, kernel: int, stride: int, padding: int) -> bool:
    """Whether the kernel covers the whole side at every position."""
    last = (side + 2 * padding - kernel) // stride * stride  # where it stands last, in pixels from the first place
    return last <= padding and side <= kernel - padding


def _taps(side: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Return the tap that connects an output pixel with an input pixel: integers (side', side)."""
    places = torch.arange(0, side + 2 * padding - kernel + 1, stride)
    return torch.arange(side) + padding - places[:, None]
