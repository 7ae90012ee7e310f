"""The layers of a network, described without torch.

``networks`` builds modules from this description, and ``cost`` counts the multiply-adds of the same description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from simclr_core.config.options import Scalar, leaf_values
from simclr_core.config.schema import BLOCKS, BackboneConfig, PredictorConfig, ProjectorConfig, RunConfig

EXPANSION = {"basic": 1, "bottleneck": 4}
"""Ratio of a block's output channels to its planes."""


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias, padded by half its kernel, followed by BN."""

    inputs: int  # channels
    outputs: int
    kernel: int = 1  # pixels a side
    stride: int = 1


@dataclass(frozen=True)
class Block:
    """A residual block: convolutions in sequence, and a shortcut that is a convolution or the input itself."""

    main: tuple[Convolution, ...]
    shortcut: Convolution | None  # None: the input itself


@dataclass(frozen=True)
class Backbone:
    """A ResNet: the stem, optionally a max-pool of stride 2, and four stages of blocks."""

    stem: Convolution
    max_pool: bool
    stages: tuple[tuple[Block, ...], ...]

    @property
    def num_features(self) -> int:
        """F, the number of output channels of the last block."""
        return self.stages[-1][-1].main[-1].outputs


@dataclass(frozen=True)
class Linear:
    """A linear layer; it has a bias if no BN follows it."""

    inputs: int
    outputs: int
    batch_norm: str = "none"  # none, affine, scale_only, no_affine
    relu: bool = False


def backbone_layers(config: BackboneConfig) -> Backbone:
    """Describe the layers of ``networks.resnet.ResNet``."""
    return _backbone_layers(*leaf_values(config))


@lru_cache(maxsize=256)  # grids have thousands of cells and few networks
def _backbone_layers(*values: Scalar) -> Backbone:
    config = BackboneConfig(*values)  # type: ignore[arg-type]
    kind, num_blocks = BLOCKS[config.depth]
    width = round(64 * config.width_multiplier)
    kernel, stride = {"imagenet": (7, 2), "cifar": (3, 1), "small": (3, 2)}[config.stem]
    channels = width
    stages = []
    for number, blocks in enumerate(num_blocks):
        stage = []
        for place in range(blocks):
            stride_of_block = 2 if number and not place else 1
            planes = width * 2**number
            always_projects = config.layout == "original" and not place
            stage.append(_block(kind, channels, planes, stride_of_block, always_projects=always_projects))
            channels = planes * EXPANSION[kind]
        stages.append(tuple(stage))
    return Backbone(Convolution(3, width, kernel, stride), config.stem == "imagenet", tuple(stages))


def _block(kind: str, inputs: int, planes: int, stride: int, *, always_projects: bool) -> Block:
    """Describe a block: two 3x3 convolutions, or 1x1, 3x3, 1x1; the first 3x3 has the stride, as in torchvision."""
    outputs = planes * EXPANSION[kind]
    main: tuple[Convolution, ...]
    if kind == "basic":
        main = (Convolution(inputs, planes, 3, stride), Convolution(planes, outputs, 3))
    else:
        main = (Convolution(inputs, planes), Convolution(planes, planes, 3, stride), Convolution(planes, outputs))
    projects = always_projects or stride != 1 or inputs != outputs
    return Block(main, Convolution(inputs, outputs, 1, stride) if projects else None)


def num_features(config: BackboneConfig) -> int:
    """Return F, the number of channels of the backbone's output."""
    return backbone_layers(config).num_features


def projection_dim(config: ProjectorConfig, num_features: int) -> int:
    """Return D, the number of columns of z."""
    return num_features if config.kind == "none" else config.dim


def projector_layers(config: ProjectorConfig, num_features: int) -> tuple[Linear, ...]:
    """Describe the layers of ``networks.heads.build_projector``: features (B, F) -> z (B, D)."""
    if config.kind == "none":
        return ()
    layers = []
    inputs = num_features
    for _ in range(config.num_layers - 1 if config.kind == "nonlinear" else 0):
        hidden = config.hidden_dim or num_features
        layers.append(Linear(inputs, hidden, "affine" if config.hidden_batch_norm else "none", relu=True))
        inputs = hidden
    return (*layers, Linear(inputs, config.dim, config.output_batch_norm))


def embedding_names(num_layers: int) -> tuple[str, ...]:
    """What can be read of a network whose projector has so many linear layers, in order; z is after the last one."""
    return ("features", *(f"head_{number}" for number in range(1, num_layers)), "z")


def predictor_layers(config: PredictorConfig, dim: int) -> tuple[Linear, ...]:
    """Describe the layers of ``networks.heads.build_predictor``: z (B, D) -> p (B, D)."""
    if config.kind == "none":
        return ()
    hidden = Linear(dim, config.hidden_dim, "affine" if config.hidden_batch_norm else "none", relu=True)
    return (hidden, Linear(config.hidden_dim, dim, config.output_batch_norm))


def output_layers(config: RunConfig) -> tuple[Linear, ...]:
    """Describe the linear layer on z that the method trains, z (B, D) -> (B, outputs); empty if the method has none."""
    dim = projection_dim(config.projector, num_features(config.backbone))
    return (Linear(dim, config.method.num_outputs),) if config.method.num_outputs else ()


def convolutions(backbone: Backbone, size: int) -> Iterator[tuple[Convolution, int]]:
    """Yield every convolution and the side of its output in pixels, for images of ``size`` pixels a side."""
    side = -(-size // backbone.stem.stride)
    yield backbone.stem, side
    side = -(-side // 2) if backbone.max_pool else side
    for block in (block for stage in backbone.stages for block in stage):
        for convolution in block.main:
            side = -(-side // convolution.stride)
            yield convolution, side
        if block.shortcut:
            yield block.shortcut, side
