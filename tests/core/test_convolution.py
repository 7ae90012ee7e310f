"""Convolutions as matrix products: torch's numbers, and torch's own path where a product would do more work."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from simclr_core.config.schema import BackboneConfig
from simclr_core.networks.convolution import Convolution
from simclr_core.networks.resnet import ResNet

WHOLE_MAPS = [  # height and width, kernel, stride, padding: the last stages' for images of 16 to 64 pixels, and others
    ((1, 1), 3, 1, 1),
    ((2, 2), 3, 1, 1),
    ((2, 2), 3, 2, 1),
    ((1, 2), 3, 1, 1),
    ((2, 1), 3, 2, 1),
    ((1, 1), 1, 1, 0),
    ((1, 1), 1, 2, 0),
    ((4, 3), 7, 2, 3),
    ((3, 3), 5, 1, 2),
]
PIXELS = [((2, 2), 1, 2, 0), ((7, 4), 1, 2, 0), ((9, 9), 1, 3, 0)]
OTHERS = [((3, 3), 3, 1, 1), ((3, 3), 3, 2, 1), ((8, 8), 1, 1, 0), ((2, 5), 3, 1, 1), ((5, 5), 7, 1, 3)]


def made(kernel: int, stride: int, padding: int, *, bias: bool = False) -> tuple[Convolution, nn.Conv2d]:
    """Ours and torch's, whose strided 1x1 convolution writes beyond its memory unless channels come in eights."""
    layer = nn.Conv2d(8, 16, kernel, stride, padding, bias=bias)
    ours = Convolution(8, 16, kernel, stride, padding, bias=bias)
    ours.load_state_dict(layer.state_dict())
    return ours, layer


def outcome(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and the gradients of input and weight under one random gradient of the output."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    assert x.grad is not None
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), WHOLE_MAPS + PIXELS + OTHERS)
def test_output_and_gradients_are_torch_s(
    size: tuple[int, int], kernel: int, stride: int, padding: int, memory_format: torch.memory_format, bias: bool
) -> None:
    torch.manual_seed(0)
    ours, layer = made(kernel, stride, padding, bias=bias)
    x = torch.randn(4, 8, *size).contiguous(memory_format=memory_format)

    for own, theirs in zip(outcome(ours, x), outcome(layer, x), strict=True):
        assert_close(own, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), WHOLE_MAPS + PIXELS)
def test_the_library_s_convolution_is_left_out_where_it_is_slow(
    size: tuple[int, int], kernel: int, stride: int, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Conv2d, "forward", None)
    ours, _ = made(kernel, stride, padding)

    y = ours(torch.randn(4, 8, *size).contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), OTHERS)
def test_larger_maps_go_to_the_library(
    size: tuple[int, int], kernel: int, stride: int, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, layer = made(kernel, stride, padding)
    x = torch.randn(4, 8, *size)
    expected = layer(x)
    monkeypatch.setattr(nn.functional, "linear", None)

    assert torch.equal(ours(x), expected)


def test_all_convolutions_of_a_backbone_are_of_this_kind() -> None:
    backbone = ResNet(BackboneConfig(depth=10, width_multiplier=0.125, stem="small"))

    assert {type(module) for module in backbone.modules() if isinstance(module, nn.Conv2d)} == {Convolution}
