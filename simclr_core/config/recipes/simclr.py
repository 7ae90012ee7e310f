"""SimCLR's recipes."""

from __future__ import annotations

from simclr_core.config.methods import SimCLRConfig
from simclr_core.config.recipes.registry import register
from simclr_core.config.schema import (
    BackboneConfig,
    DataConfig,
    OptimizerConfig,
    ProjectorConfig,
    RunConfig,
    TrainingConfig,
    ViewsConfig,
)


@register("simclr", "demo")
def simclr_demo() -> RunConfig:
    """SimCLR on the built-in photographs, at 16 pixels, in about 20 seconds of one CPU core.

    Hardware: one CPU core. What was tried, and the results: docs/demo.md.
    """
    config = simclr_mini()
    config.data = DataConfig(name="photos", image_size=16)
    config.training.epochs = 4
    return config


@register("simclr", "mini")
def simclr_mini() -> RunConfig:
    """SimCLR in about half a minute of one CPU core: 5,000 images, a quarter-width ResNet-10, 6 epochs.

    Hardware: one CPU core without bfloat16 units, hence float32. Results: docs/results/mini.
    """
    return RunConfig(
        data=DataConfig(name="cifar10-jpeg", image_size=32, train_images=5000),
        views=ViewsConfig(color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=10, width_multiplier=0.25, stem="small"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=SimCLRConfig(temperature=0.2),
        optimizer=OptimizerConfig(name="sgd", base_lr=0.2, warmup_epochs=1, weight_decay=1e-4),
        training=TrainingConfig(epochs=6, global_batch_size=256),
    )


@register("simclr", "cifar10")
def simclr_cifar10() -> RunConfig:
    """SimCLR on CIFAR-10 (App. B.9): ResNet-50 with the 3x3 stem, half the colour, no blur, 1,000 epochs.

    The appendix searches learning rates .5, 1, 1.5, temperatures .1, .5, 1 and batches of 256 to 4096, all else as on
    ImageNet. Here: its best batch, 1024, the temperature that it recommends beyond 300 epochs, the middle rate.
    Hardware: one GPU, about a day (an estimate from ResNet-18's 20 minutes an A100 takes for 100 epochs).
    Expected: 94.0 top-1, linear, the best of the search at this batch (Fig. B.7).
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32),
        views=ViewsConfig(color_definition="tensorflow", brightness="add", color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=50, stem="cifar"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=SimCLRConfig(temperature=0.5),
        optimizer=OptimizerConfig(name="lars", base_lr=1.0, warmup_epochs=10, weight_decay=1e-6),
        training=TrainingConfig(epochs=1000, global_batch_size=1024, precision="bfloat16"),
    )


@register("simclr", "cifar10", "released")
def simclr_cifar10_released() -> RunConfig:
    """The README's CIFAR-10 command of google-research/simclr (at 383d414): ResNet-18, batch 512, 1,000 epochs.

    The command does not set the head's depth, whose default is SimCLRv2's three layers.
    Hardware: one GPU, about half a day (an estimate). Expected: around 91 top-1, linear (README).
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32),
        views=_released_simclr_views(color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=18, stem="cifar", layout="original"),
        projector=ProjectorConfig(num_layers=3, dim=128, init="normal"),
        method=SimCLRConfig(temperature=0.5, loss_scale=2.0),
        optimizer=OptimizerConfig(name="lars", base_lr=1.0, warmup_epochs=10, weight_decay=1e-4),
        training=TrainingConfig(epochs=1000, global_batch_size=512, step_count="released"),
    )


@register("simclr", "imagenet")
def simclr_imagenet() -> RunConfig:
    """SimCLR's default (Sec. 2, App. A, B.1): ResNet-50, LARS, batch 4096, 100 epochs.

    Colour distortion follows App. A, with TensorFlow's definitions and additive brightness. The head has two layers and
    BN as in the code of that time, because the paper's formula shows neither. Hardware: 128 TPU v3 cores in the paper,
    about 1.5 hours for 100 epochs. Expected: 64.5 top-1, linear (Table 1, s = 1 with blur).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, reading="stream"),
        views=ViewsConfig(color_definition="tensorflow", brightness="add"),
        backbone=BackboneConfig(depth=50, stem="imagenet"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=SimCLRConfig(temperature=0.1),
        optimizer=OptimizerConfig(name="lars", base_lr=0.3, warmup_epochs=10, weight_decay=1e-6),
        training=TrainingConfig(epochs=100, global_batch_size=4096, precision="bfloat16"),
    )


@register("simclr", "imagenet", "released")
def simclr_imagenet_released() -> RunConfig:
    """The README's ImageNet command of google-research/simclr (at 383d414), its flags' defaults, and its code.

    Hardware: 32 TPU v3, about 6 hours (README). Expected: around 64.5 top-1, linear (README).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, reading="stream", whole_images="crop_then_resize"),
        views=_released_simclr_views(),
        backbone=BackboneConfig(depth=50, stem="imagenet", layout="original"),
        projector=ProjectorConfig(num_layers=3, dim=128, init="normal"),
        method=SimCLRConfig(temperature=0.1, loss_scale=2.0),
        optimizer=OptimizerConfig(name="lars", base_lr=0.075, lr_scaling="sqrt", warmup_epochs=10, weight_decay=1e-4),
        training=TrainingConfig(epochs=100, global_batch_size=4096, step_count="released"),
    )


def _released_simclr_views(color_strength: float = 1.0, blur_probability: float = 0.5) -> ViewsConfig:
    """The views of SimCLR's ``data_util.py``, whose default is the second version's multiplied brightness."""
    return ViewsConfig(
        crop_law="tensorflow",
        crop_interpolation="bicubic",
        color_definition="tensorflow",
        brightness="multiply",
        color_strength=color_strength,
        blur_probability=blur_probability,
        blur_border="zero",
        blur_sigma_per="batch",
    )
