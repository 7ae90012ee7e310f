"""SimSiam's recipes."""

from __future__ import annotations

from simclr_core.config.methods import SimSiamConfig
from simclr_core.config.recipes.registry import register
from simclr_core.config.schema import (
    BackboneConfig,
    DataConfig,
    OptimizerConfig,
    PredictorConfig,
    ProjectorConfig,
    RunConfig,
    TrainingConfig,
    ViewsConfig,
)


@register("simsiam", "demo")
def simsiam_demo() -> RunConfig:
    """SimSiam on the built-in photographs, at 16 pixels, in about 10 seconds of one CPU core.

    Hardware: one CPU core. What was tried, and the results: docs/demo.md.
    """
    config = simsiam_mini()
    config.data = DataConfig(name="photos", image_size=16, train_images=4096)
    config.training.epochs = 3
    return config


@register("simsiam", "mini")
def simsiam_mini() -> RunConfig:
    """SimSiam in about a minute of one CPU core: App. D's recipe on 5,000 images and a quarter-width ResNet-10.

    The projector's output has no BN (row "hidden-only" of Table 3: 67.4 instead of 68.1), and the learning rate is
    high, because with BN at the output a collapse takes longer than the run (docs/demo.md has the numbers). Hardware:
    one CPU core without bfloat16 units, hence float32. Results: docs/results/mini.
    """
    return RunConfig(
        data=DataConfig(name="cifar10-jpeg", image_size=32, train_images=5000, normalization="cifar10"),
        views=_simsiam_views(blur_probability=0.0),
        backbone=BackboneConfig(depth=10, width_multiplier=0.25, stem="small"),
        projector=ProjectorConfig(num_layers=2, dim=256, hidden_dim=256, output_batch_norm="none"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=64, lr_schedule="constant"),
        method=SimSiamConfig(stop_gradient=True),
        optimizer=OptimizerConfig(base_lr=0.4, weight_decay=5e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=6, global_batch_size=128, views_forward="separate"),
    )


@register("simsiam", "cifar10")
def simsiam_cifar10() -> RunConfig:
    """SimSiam on CIFAR-10 (App. D): ResNet-18 with the 3x3 stem, 2-layer projector, no blur, 800 epochs.

    The appendix states neither the projector's hidden width (here D, as in most ports) nor the predictor's learning
    rate. Hardware: one GPU; a public reimplementation reports 11 h 46 min. Expected: 91.8 top-1, linear (Fig. D.1).
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32, normalization="cifar10"),
        views=_simsiam_views(blur_probability=0.0),
        backbone=BackboneConfig(depth=18, stem="cifar"),
        projector=ProjectorConfig(num_layers=2, dim=2048, hidden_dim=2048, output_batch_norm="affine"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=512, lr_schedule="cosine"),
        method=SimSiamConfig(stop_gradient=True),
        optimizer=OptimizerConfig(base_lr=0.03, lr_steps="epoch", weight_decay=5e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=800, global_batch_size=512, views_forward="separate", precision="bfloat16"),
    )


@register("simsiam", "imagenet")
def simsiam_imagenet() -> RunConfig:
    """SimSiam's baseline (Sec. 3, 4; App. A): ResNet-50, SGD, batch 512, 100 epochs.

    BN on the projector's output has its affine parameters, and the predictor's learning rate decays, as until Table 1.
    Hardware: 8 V100 in the authors' runs. Expected: 67.7 top-1, linear (Table 1, baseline; five runs vary by 0.1).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, normalization="imagenet", reading="stream"),
        views=_simsiam_views(blur_probability=0.5),
        backbone=BackboneConfig(depth=50, stem="imagenet"),
        projector=ProjectorConfig(num_layers=3, dim=2048, output_batch_norm="affine"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=512, lr_schedule="cosine"),
        method=SimSiamConfig(stop_gradient=True),
        optimizer=OptimizerConfig(base_lr=0.05, lr_steps="epoch", weight_decay=1e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=100, global_batch_size=512, views_forward="separate", precision="bfloat16"),
    )


@register("simsiam", "imagenet", "released")
def simsiam_imagenet_released() -> RunConfig:
    """The README's command of facebookresearch/simsiam (at a7bc177), with ``--fix-pred-lr``.

    Hardware: 8 V100 (README). Expected: 68.1 top-1, linear (README; Table 1, last row).
    """
    config = simsiam_imagenet()
    config.projector.output_batch_norm = "no_affine"
    config.predictor.lr_schedule = "constant"
    config.training.precision = "float32"
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
