"""ResNets of torchvision's blocks, with the depths, widths, stems and layouts that the ablations vary.

B images, F features (512 x expansion x width multiplier).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from simclr_core.config.schema import BLOCKS, BackboneConfig
from simclr_core.networks.convolution import Convolution

_BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """Stem, four stages, global mean: images (B, 3, H, W) -> features (B, F).

    Module names are torchvision's, so that a width-1 ImageNet-stem state dict loads into
    ``torchvision.models.resnet*`` apart from ``fc``. The width multiplier scales every channel count (SimCLR
    Fig. 7), unlike torchvision's ``width_per_group``, which widens the bottleneck's inner convolution alone.
    Stems: ``imagenet`` 7x7 stride 2 and max-pool; ``cifar`` 3x3 stride 1 (SimCLR App. B.9, SimSiam App. D);
    ``small`` 3x3 stride 2, for runs of seconds on a CPU.

    The layout ``original`` is that of SimCLR's released code (``resnet.py``): every stage's first block has a
    projection shortcut, in depths below 50 the first stage's too; the max-pool pads as TensorFlow does; convolutions
    begin as truncated normals of variance 1 / fan-in.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        kind, num_blocks = BLOCKS[config.depth]
        block = _BLOCKS[kind]
        width = round(64 * config.width_multiplier)
        kernel, stride = {"imagenet": (7, 2), "cifar": (3, 1), "small": (3, 2)}[config.stem]
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        original = config.layout == "original"
        max_pool = SameMaxPool2d() if original else nn.MaxPool2d(3, 2, 1)
        self.maxpool = max_pool if config.stem == "imagenet" else nn.Identity()
        channels = width
        for stage, blocks in enumerate(num_blocks):
            planes = width * 2**stage
            layer = _stage(block, channels, planes, blocks, stride=1 if stage == 0 else 2, project=original)
            channels = planes * block.expansion
            self.add_module(f"layer{stage + 1}", layer)
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.__class__ = Convolution  # in place: a new layer would draw another initialisation
                (_lecun_normal if original else _he_normal)(module)
        if config.zero_init_residual:
            self._zero_last_gammas()

    def _zero_last_gammas(self) -> None:
        """The last BN of each block begins with gamma = 0, so that the block begins as its shortcut."""
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        features: Tensor = x.mean((2, 3))
        return features


class SameMaxPool2d(nn.Module):
    """3x3 stride 2 with TensorFlow's SAME padding: at the bottom and right alone where a side is even."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
        height, width = x.shape[2:]
        x = functional.pad(x, (width % 2, 1, height % 2, 1), value=float("-inf"))
        return functional.max_pool2d(x, 3, 2)


def _he_normal(convolution: nn.Conv2d) -> None:
    """torchvision's: normal of variance 2 / fan-out."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def _lecun_normal(convolution: nn.Conv2d) -> None:
    """Keras' default ``VarianceScaling``: a normal cut at two standard deviations, of variance 1 / fan-in then."""
    std = 1 / math.sqrt(convolution.weight[0].numel()) / 0.87962566103423978  # std of a unit normal cut at -2 and 2
    nn.init.trunc_normal_(convolution.weight, std=std, a=-2 * std, b=2 * std)


def _stage(
    block: type[BasicBlock | Bottleneck],
    in_channels: int,
    planes: int,
    num_blocks: int,
    *,
    stride: int,
    project: bool,
) -> nn.Sequential:
    out_channels = planes * block.expansion
    shortcut = None
    if project or stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    blocks = [block(in_channels, planes, stride, shortcut)]
    blocks += [block(out_channels, planes) for _ in range(1, num_blocks)]
    return nn.Sequential(*blocks)
