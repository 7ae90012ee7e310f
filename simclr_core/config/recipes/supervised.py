"""Recipes of supervised training, on SimCLR's data, views and networks."""

from __future__ import annotations

from simclr_core.config.methods import SupervisedConfig
from simclr_core.config.recipes.registry import register
from simclr_core.config.recipes.simclr import simclr_cifar10, simclr_demo, simclr_imagenet, simclr_mini
from simclr_core.config.schema import (
    OptimizerConfig,
    ProjectorConfig,
    RunConfig,
)


@register("supervised", "demo")
def supervised_demo() -> RunConfig:
    """Supervised training on the data, views and network of simclr_demo.

    Hardware: one CPU core, under 20 seconds.
    """
    return _supervised(simclr_demo(), epochs=4, warmup_epochs=1, num_classes=17)


@register("supervised", "mini")
def supervised_mini() -> RunConfig:
    """Supervised training on the data, views and network of simclr_mini, for the same number of epochs.

    The rate is the best of .1, .4 and 1 (linear 27, 37 and 35 with 2,000 labels, one seed each, after 4 epochs).
    Hardware: one CPU core, under a minute.
    """
    config = _supervised(simclr_mini(), epochs=6, warmup_epochs=1, num_classes=10)
    config.optimizer.base_lr = 0.4
    return config


@register("supervised", "cifar10")
def supervised_cifar10() -> RunConfig:
    """The supervised network of SimCLR's App. B.9: ResNet-50 with the 3x3 stem, batch 1024, SimCLR's views.

    The appendix states no length; here 200 epochs, the usual one. Hardware: one GPU, hours (an estimate).
    Expected: 95.1 top-1.
    """
    config = _supervised(simclr_cifar10(), epochs=200, warmup_epochs=5, num_classes=10)
    config.optimizer.weight_decay = 5e-4
    return config


@register("supervised", "imagenet")
def supervised_imagenet() -> RunConfig:
    """The supervised column of SimCLR's Table 1: ResNet-50, 90 epochs (Fig. 7), SimCLR's views and batch.

    Optimiser: Nesterov SGD with a rate of .1 for every 256 images, usual for large batches; the paper does not print
    its optimiser with these numbers. Hardware: as simclr_imagenet, with one view. Expected: 75.4 top-1 of the network's
    own classifier with colour and blur (Table 1), 76.5 with the crop alone (Table B.3).
    """
    return _supervised(simclr_imagenet(), epochs=90, warmup_epochs=5, num_classes=1000)


def _supervised(config: RunConfig, *, epochs: int, warmup_epochs: float, num_classes: int) -> RunConfig:
    """SimCLR's data, views and network, without a projector, under cross entropy on labels."""
    config.projector = ProjectorConfig(kind="none")
    config.method = SupervisedConfig(num_classes=num_classes)
    config.optimizer = OptimizerConfig(base_lr=0.1, warmup_epochs=warmup_epochs, nesterov=True, weight_decay=1e-4)
    config.training.epochs = epochs
    return config
