"""What a configuration costs, by formula and without torch: multiply-adds and parameters.

Convolutions and linear layers count; BN, ReLU, pooling, the loss and the making of views do not. One multiply-add is
two floating-point operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from simclr_core.config.options import Scalar, leaf_values
from simclr_core.config.schema import BLOCKS, BackboneConfig, ProjectorConfig, RunConfig
from simclr_core.data.inventory import BUILT_IN

NUM_IMAGES = {name: found.num_pretrain for name, found in BUILT_IN.items()} | {
    "cifar10-jpeg": 50_000,
    "imagenet": 1_281_167,
}
"""Images to pre-train on, of the data sets whose number is known before they are read."""

NUM_TEST_IMAGES = {
    "photos": 2_048,
    "cifar10": 10_000,
    "cifar100": 10_000,
    "cifar10-jpeg": 10_000,
    "stl10": 8_000,
    "imagenet": 50_000,
}
"""Images to test on, of the same."""


class _Layer(NamedTuple):
    """A convolution or a linear layer: its weights, what else it learns (bias, BN), its multiply-adds for one view."""

    weights: int
    others: int
    multiply_adds: int


def backbone_parameters(config: BackboneConfig) -> int:
    """Of the backbone alone, as SimCLR's Fig. 7 and Table 6 count them."""
    return _backbone_parameters(*leaf_values(config))


@lru_cache(maxsize=256)  # grids have thousands of cells and few networks
def _backbone_parameters(*values: Scalar) -> int:
    layers = _convolutions(BackboneConfig(*values), 32)  # type: ignore[arg-type]
    return sum(layer.weights + layer.others for layer in layers)


def num_parameters(config: RunConfig) -> int:
    """Of the backbone, the projector, the predictor and the supervised classifier."""
    return sum(layer.weights + layer.others for layer in _layers(config))


def forward_multiply_adds(config: RunConfig) -> int:
    """Of one view, through backbone, heads and classifier."""
    return _forward(leaf_values(config.backbone), config.data.image_size) + sum(
        layer.multiply_adds for layer in _head_layers(config)
    )


def training_multiply_adds(config: RunConfig) -> float | None:
    """Of the whole pre-training, a backward pass as two forward passes; None for a data set of unknown size.

    With the passes over training and test images of the kNN accuracies along it, if there are any.
    """
    images = config.data.train_images or NUM_IMAGES.get(config.data.name)
    if images is None:
        return None
    batch = config.training.global_batch_size
    training = config.training
    seen = images // batch * batch * training.epochs
    embedded = 0
    if training.knn_epochs:
        embedded = (images + NUM_TEST_IMAGES.get(config.data.name, 0)) * -(-training.epochs // training.knn_epochs)
    return forward_multiply_adds(config) * (3.0 * _views_per_image(config) * seen + embedded)


def _views_per_image(config: RunConfig) -> int:
    if config.method.name == "supervised":
        return 1
    return 4 if (config.method.name, config.method.symmetry) == ("simsiam", "asymmetric_2x") else 2


@lru_cache(maxsize=256)  # grids have thousands of cells and few networks
def _forward(backbone: tuple[Scalar, ...], size: int) -> int:
    layers = _convolutions(BackboneConfig(*backbone), size)  # type: ignore[arg-type]
    return sum(layer.multiply_adds for layer in layers)


def _layers(config: RunConfig) -> Iterator[_Layer]:
    yield from _convolutions(config.backbone, config.data.image_size)
    yield from _head_layers(config)


def _convolution(inputs: int, outputs: int, kernel: int, side: int) -> _Layer:
    """With the gamma and beta of the BN that follows; ``side``: of its output, in pixels."""
    weights = kernel * kernel * inputs * outputs
    return _Layer(weights, 2 * outputs, weights * side * side)


def _convolutions(config: BackboneConfig, size: int) -> Iterator[_Layer]:
    """Those of ``backbones.ResNet`` on images of ``size`` pixels a side."""
    kind, num_blocks = BLOCKS[config.depth]
    width = round(64 * config.width_multiplier)
    kernel, stride = {"imagenet": (7, 2), "cifar": (3, 1), "small": (3, 2)}[config.stem]
    side = -(-size // stride)
    yield _convolution(3, width, kernel, side)
    side = -(-side // 2) if config.stem == "imagenet" else side
    channels = width
    for stage, blocks in enumerate(num_blocks):
        planes = width * 2**stage
        outputs = planes * (4 if kind == "bottleneck" else 1)
        for block in range(blocks):
            before, side = side, -(-side // 2) if stage and not block else side
            if kind == "bottleneck":
                yield _convolution(channels, planes, 1, before)
                yield _convolution(planes, planes, 3, side)
                yield _convolution(planes, outputs, 1, side)
            else:
                yield _convolution(channels, planes, 3, side)
                yield _convolution(planes, planes, 3, side)
            if channels != outputs or before != side or (config.layout == "original" and not block):
                yield _convolution(channels, outputs, 1, side)
            channels = outputs


def num_features(config: BackboneConfig) -> int:
    """F, the channels of the backbone's output."""
    kind, _ = BLOCKS[config.depth]
    return round(64 * config.width_multiplier) * 8 * (4 if kind == "bottleneck" else 1)


def _head_layers(config: RunConfig) -> Iterator[_Layer]:
    projector, predictor = config.projector, config.predictor
    features = num_features(config.backbone)
    dim = features if projector.kind == "none" else projector.dim
    yield from _projector_layers(projector, features)
    if predictor.kind == "mlp":
        yield _linear(dim, predictor.hidden_dim, "affine" if predictor.hidden_batch_norm else "none")
        yield _linear(predictor.hidden_dim, dim, predictor.output_batch_norm)
    if config.method.name == "supervised":
        yield _linear(dim, config.method.num_classes, "none")


def _projector_layers(config: ProjectorConfig, features: int) -> Iterator[_Layer]:
    if config.kind == "none":
        return
    inputs = features
    if config.kind == "nonlinear":
        for _ in range(config.num_layers - 1):
            hidden = config.hidden_dim or features
            yield _linear(inputs, hidden, "affine" if config.hidden_batch_norm else "none")
            inputs = hidden
    yield _linear(inputs, config.dim, config.output_batch_norm)


def _linear(inputs: int, outputs: int, batch_norm: str) -> _Layer:
    """With its bias, or the parameters of the BN that takes the bias's place."""
    others = {"none": 1, "affine": 2, "scale_only": 1, "no_affine": 0}[batch_norm] * outputs
    return _Layer(inputs * outputs, others, inputs * outputs)
