"""Named recipes: one function each, a complete configuration; grids and command lines override from there.

A name is ``<method>_<scale>``. Numbers at ``demo`` and ``mini`` say something about order and effect, never about
the papers' accuracies: data, network and length are a fraction of theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from simclr_core.config import (
    BackboneConfig,
    ConfigError,
    DataConfig,
    MethodConfig,
    OptimizerConfig,
    PredictorConfig,
    ProjectorConfig,
    RunConfig,
    TrainingConfig,
    ViewsConfig,
    nearest,
)


def simclr_imagenet() -> RunConfig:
    """SimCLR's default (Sec. 2, App. A, B.1): ResNet-50, LARS, batch 4096, 100 epochs.

    Hardware: 128 TPU v3 cores in the paper, about 1.5 hours. Expected: 64.5 top-1, linear (Table 1, s = 1 + blur).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224),
        views=ViewsConfig(),
        backbone=BackboneConfig(depth=50, stem="imagenet"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=MethodConfig(name="simclr", temperature=0.1),
        optimizer=OptimizerConfig(name="lars", base_lr=0.3, warmup_epochs=10, weight_decay=1e-6),
        training=TrainingConfig(epochs=100, global_batch_size=4096, precision="bfloat16"),
    )


def simclr_cifar10() -> RunConfig:
    """SimCLR on CIFAR-10 with SGD and ResNet-18: the augmentation of App. B.9 (s = 0.5, no blur), a shorter run.

    Hardware: one GPU, 20 minutes to an hour. Not the paper's ResNet-50 of 1,000 epochs (94.0); no figure of our own
    yet.
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32),
        views=ViewsConfig(color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=18, stem="cifar"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=MethodConfig(name="simclr", temperature=0.5),
        optimizer=OptimizerConfig(name="sgd", base_lr=0.03, weight_decay=5e-4),
        training=TrainingConfig(epochs=100, global_batch_size=512, precision="bfloat16"),
    )


def simclr_mini() -> RunConfig:
    """SimCLR in about a minute of one CPU core: 5,000 images, a quarter-width ResNet-10, 4 epochs.

    Hardware: one CPU core without bfloat16 units, hence float32. Results: docs/results/mini.
    """
    return RunConfig(
        data=DataConfig(name="cifar10-jpeg", image_size=32, train_images=5000),
        views=ViewsConfig(color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=10, width_multiplier=0.25, stem="small"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=MethodConfig(name="simclr", temperature=0.2),
        optimizer=OptimizerConfig(name="sgd", base_lr=0.2, warmup_epochs=1, weight_decay=1e-4),
        training=TrainingConfig(epochs=4, global_batch_size=256),
    )


def simclr_demo() -> RunConfig:
    """SimCLR on the built-in photographs, at 16 pixels, in about 20 seconds of one CPU core.

    Hardware: one CPU core. What was tried, and the results: docs/demo.md.
    """
    config = simclr_mini()
    config.data = DataConfig(name="photos", image_size=16)
    config.optimizer.base_lr = 0.5
    config.training.epochs = 4
    return config


def simsiam_imagenet() -> RunConfig:
    """SimSiam's baseline (Sec. 3, 4; App. A): ResNet-50, SGD, batch 512, 100 epochs.

    Hardware: 8 GPUs. Expected: 67.7 top-1, linear (Table 1), with the predictor's learning rate decayed as here;
    68.1 with a constant one.
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, normalization="imagenet"),
        views=_simsiam_views(blur_probability=0.5),
        backbone=BackboneConfig(depth=50, stem="imagenet"),
        projector=ProjectorConfig(num_layers=3, dim=2048, output_batch_norm="no_affine"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=512, lr_schedule="cosine"),
        method=MethodConfig(name="simsiam"),
        optimizer=OptimizerConfig(base_lr=0.05, lr_steps="epoch", weight_decay=1e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=100, global_batch_size=512, views_forward="separate", precision="bfloat16"),
    )


def simsiam_cifar10() -> RunConfig:
    """SimSiam on CIFAR-10 (App. D): ResNet-18, 2-layer projector, no blur, 800 epochs.

    Hardware: one GPU, about half a day. Expected: 91.8 top-1, linear (Fig. D.1).
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32, normalization="cifar10"),
        views=_simsiam_views(blur_probability=0.0),
        backbone=BackboneConfig(depth=18, stem="cifar"),
        projector=ProjectorConfig(num_layers=2, dim=2048, hidden_dim=2048, output_batch_norm="no_affine"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=512, lr_schedule="cosine"),
        method=MethodConfig(name="simsiam"),
        optimizer=OptimizerConfig(base_lr=0.03, lr_steps="epoch", weight_decay=5e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=800, global_batch_size=512, views_forward="separate", precision="bfloat16"),
    )


def simsiam_mini() -> RunConfig:
    """SimSiam in about a minute of one CPU core: App. D's recipe on 5,000 images and a quarter-width ResNet-10.

    The projector's output has no BN (row "hidden-only" of Table 3, 67.4 for 68.1), and the learning rate is high:
    with BN there, a collapse takes longer than the run (docs/demo.md has the numbers).
    Hardware: one CPU core without bfloat16 units, hence float32. Results: docs/results/mini.
    """
    return RunConfig(
        data=DataConfig(name="cifar10-jpeg", image_size=32, train_images=5000, normalization="cifar10"),
        views=_simsiam_views(blur_probability=0.0),
        backbone=BackboneConfig(depth=10, width_multiplier=0.25, stem="small"),
        projector=ProjectorConfig(num_layers=2, dim=256, hidden_dim=256, output_batch_norm="none"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=64, lr_schedule="constant"),
        method=MethodConfig(name="simsiam"),
        optimizer=OptimizerConfig(base_lr=0.4, weight_decay=5e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=6, global_batch_size=128, views_forward="separate"),
    )


def simsiam_demo() -> RunConfig:
    """SimSiam on the built-in photographs, at 16 pixels, in about 10 seconds of one CPU core.

    Hardware: one CPU core. What was tried, and the results: docs/demo.md.
    """
    config = simsiam_mini()
    config.data = DataConfig(name="photos", image_size=16, train_images=4096)
    config.training.epochs = 3
    return config


def _simsiam_views(blur_probability: float) -> ViewsConfig:
    """SimSiam App. A: MoCo v2's augmentation."""
    return ViewsConfig(
        crop_min_area=0.2,
        jitter_brightness=0.4,
        jitter_contrast=0.4,
        jitter_saturation=0.4,
        jitter_hue=0.1,
        blur_probability=blur_probability,
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    build.__name__: build
    for build in (
        simclr_demo,
        simclr_mini,
        simclr_cifar10,
        simclr_imagenet,
        simsiam_demo,
        simsiam_mini,
        simsiam_cifar10,
        simsiam_imagenet,
    )
}


def recipe(name: str) -> RunConfig:
    """A fresh configuration; raises ConfigError with the nearest names for one that does not exist."""
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ConfigError([f"recipe = {name!r}: no such recipe{nearest(name, list(RECIPES))}; known: {known}"])
    return RECIPES[name]()
