"""ResNets with torchvision's parameter names, and the depths, widths, stems and layouts that the ablations vary.

B images, F features (512 x expansion x width multiplier).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from simclr_core.config import layers
from simclr_core.config.schema import BackboneConfig
from simclr_core.networks.convolution import Convolution


class ResNet(nn.Module):
    """Stem, four stages, global mean: images (B, 3, H, W) -> features (B, F).

    Parameter names are torchvision's, so that the state dict of a network with width 1 and the ImageNet stem loads into
    ``torchvision.models.resnet*`` apart from ``fc``. The width multiplier scales the number of channels everywhere
    (SimCLR Fig. 7), unlike torchvision's ``width_per_group``, which widens only the inner convolution of a bottleneck.
    Stems: ``imagenet`` 7x7 stride 2 and max-pool; ``cifar`` 3x3 stride 1 (SimCLR App. B.9, SimSiam App. D); ``small``
    3x3 stride 2, for runs of seconds on a CPU.

    The layout ``original`` is that of SimCLR's released code (``resnet.py``): the first block of every stage has a
    projection shortcut, for depths below 50 also in the first stage; the max-pool pads as TensorFlow does; convolutions
    are initialised with truncated normals of variance 1 / fan-in.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        described = layers.backbone_layers(config)
        original = config.layout == "original"
        self.conv1 = _convolution(described.stem)
        self.bn1 = nn.BatchNorm2d(described.stem.outputs)
        self.relu = nn.ReLU(inplace=True)
        max_pool = SameMaxPool2d() if original else nn.MaxPool2d(3, 2, 1)
        self.maxpool = max_pool if described.max_pool else nn.Identity()
        for number, stage in enumerate(described.stages, start=1):
            self.add_module(f"layer{number}", nn.Sequential(*map(Block, stage)))
        self.num_features = described.num_features
        for module in self.modules():
            if isinstance(module, Convolution):
                (_lecun_normal if original else _he_normal)(module)
        if config.zero_init_residual:
            for module in self.modules():
                if isinstance(module, Block):
                    nn.init.zeros_(module.last_norm.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        features: Tensor = x.mean((2, 3))
        return features


class Block(nn.Module):
    """A residual block: (B, C, H, W) -> (B, C', H', W'), ReLU after every BN and after the sum."""

    def __init__(self, described: layers.Block) -> None:
        super().__init__()
        shortcut = None
        if described.shortcut is not None:  # drawn first, as torchvision does, so that seeds give the same network
            shortcut = nn.Sequential(_convolution(described.shortcut), nn.BatchNorm2d(described.shortcut.outputs))
        self._num_convolutions = len(described.main)
        for number, convolution in enumerate(described.main, start=1):
            self.add_module(f"conv{number}", _convolution(convolution))
            self.add_module(f"bn{number}", nn.BatchNorm2d(convolution.outputs))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The BN before the sum; with gamma 0 the block initially computes its shortcut."""
        norm = self.get_submodule(f"bn{self._num_convolutions}")
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        y = x
        for number in range(1, self._num_convolutions + 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(y))
            y = self.relu(y) if number < self._num_convolutions else y
        y += x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y)
        return out


def _convolution(described: layers.Convolution) -> Convolution:
    kernel = described.kernel
    return Convolution(described.inputs, described.outputs, kernel, described.stride, kernel // 2, bias=False)


class SameMaxPool2d(nn.Module):
    """3x3 max-pool of stride 2 with TensorFlow's SAME padding: bottom and right only, if a side is even."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
        height, width = x.shape[2:]
        x = functional.pad(x, (width % 2, 1, height % 2, 1), value=float("-inf"))
        return functional.max_pool2d(x, 3, 2)


def _he_normal(convolution: nn.Conv2d) -> None:
    """Initialise as torchvision does: a normal of variance 2 / fan-out."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def _lecun_normal(convolution: nn.Conv2d) -> None:
    """Initialise as Keras' ``VarianceScaling``: a normal of variance 1 / fan-in, cut at two standard deviations."""
    std = 1 / math.sqrt(convolution.weight[0].numel()) / 0.87962566103423978  # std of a unit normal cut at -2 and 2
    nn.init.trunc_normal_(convolution.weight, std=std, a=-2 * std, b=2 * std)
