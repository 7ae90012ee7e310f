"""Multiply-adds and parameters of a configuration, counted by formula and without torch.

Convolutions and linear layers count; BN, ReLU, pooling, the loss and the making of views do not. One multiply-add is
two floating-point operations. A backward pass counts as two forward passes: of each layer, one for the gradient of its
input and one for that of its weights. The first convolution counts like the others, although nothing needs the gradient
of its input, the images. A predictor that is not trained counts as one: its weights have no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from simclr_core.config.layers import (
    Backbone,
    Linear,
    backbone_layers,
    convolutions,
    num_features,
    output_layers,
    predictor_layers,
    projection_dim,
    projector_layers,
)
from simclr_core.config.methods import Pass
from simclr_core.config.schema import BackboneConfig, RunConfig

NUM_IMAGES = {
    "photos": 8_192,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "cifar10-jpeg": 50_000,
    "stl10": 100_000,
    "imagenet": 1_281_167,
}
"""Number of training images of each data set whose size is known before it is read."""

NUM_TEST_IMAGES = {
    "photos": 2_048,
    "cifar10": 10_000,
    "cifar100": 10_000,
    "cifar10-jpeg": 10_000,
    "stl10": 8_000,
    "imagenet": 50_000,
}
"""Number of test images of the same data sets."""


def backbone_parameters(config: BackboneConfig) -> int:
    """Count the parameters of the backbone alone, as SimCLR's Fig. 7 and Table 6 do."""
    return _convolution_parameters(backbone_layers(config))


def num_parameters(config: RunConfig) -> int:
    """Count the parameters of backbone, projector, predictor and, where the method has one, its linear layer on z."""
    linear = (*_projector(config), *_predictor(config), *output_layers(config))
    return backbone_parameters(config.backbone) + sum(map(_linear_parameters, linear))


def forward_multiply_adds(config: RunConfig) -> int:
    """Count the multiply-adds of one view through backbone, heads and the method's linear layer on z."""
    heads = (*_projector(config), *_predictor(config), *output_layers(config))
    return _convolution_multiply_adds(backbone_layers(config.backbone), config.data.image_size) + _products(heads)


def training_multiply_adds(config: RunConfig) -> float | None:
    """Of the whole pre-training; None for a data set of unknown size.

    A backward pass counts as two forward passes. The kNN evaluations during the training are included: each passes the
    training images and the test images through the network once.
    """
    images = config.data.train_images or NUM_IMAGES.get(config.data.name)
    if images is None:
        return None
    of_image = float(sum(_of_pass(config, each) for each in config.method.passes(config)))
    training = config.training
    seen = images // training.global_batch_size * training.global_batch_size * training.epochs
    embedded = 0
    if training.knn_epochs:
        embedded = (images + NUM_TEST_IMAGES.get(config.data.name, 0)) * -(-training.epochs // training.knn_epochs)
    return of_image * seen + _of_pass(config, Pass(1, trains=False, predicts=False)) * embedded


def _of_pass(config: RunConfig, each: Pass) -> int:
    """Of one image: the forward pass of its views, and the backward pass if one follows."""
    size = config.views.small_size if each.small else config.data.image_size
    to_z = _convolution_multiply_adds(backbone_layers(config.backbone), size) + _products(_projector(config))
    predictor, output = _products(_predictor(config)), _products(output_layers(config))
    forward = to_z + (predictor + output if each.predicts else 0)
    backward = 0
    if each.trains:
        backward = 2 * to_z
        if each.predicts and not each.from_z:
            backward += (2 if config.predictor.trained else 1) * predictor + 2 * output
    return each.views * (forward + backward)


def _projector(config: RunConfig) -> tuple[Linear, ...]:
    return projector_layers(config.projector, num_features(config.backbone))


def _predictor(config: RunConfig) -> tuple[Linear, ...]:
    return predictor_layers(config.predictor, projection_dim(config.projector, num_features(config.backbone)))


def _products(layers: Iterable[Linear]) -> int:
    return sum(layer.inputs * layer.outputs for layer in layers)


def _linear_parameters(layer: Linear) -> int:
    """Count weights and either the bias or the parameters of the BN that replaces the bias."""
    others = {"none": 1, "affine": 2, "scale_only": 1, "no_affine": 0}[layer.batch_norm]
    return (layer.inputs + others) * layer.outputs


@lru_cache(maxsize=256)  # grids have thousands of cells and few networks
def _convolution_parameters(backbone: Backbone) -> int:
    """Count the weights of the convolutions, and gamma and beta of each BN."""
    layers = (layer for layer, _ in convolutions(backbone, 32))  # at any size they are the same
    return sum((layer.kernel**2 * layer.inputs + 2) * layer.outputs for layer in layers)


@lru_cache(maxsize=256)
def _convolution_multiply_adds(backbone: Backbone, size: int) -> int:
    return sum(layer.kernel**2 * layer.inputs * layer.outputs * side**2 for layer, side in convolutions(backbone, size))
