"""Named recipes: one function each, a complete configuration; grids and command lines override from there.

A name is ``<method>_<scale>``, and the paper's recipe; with ``_released`` it is what the authors' released code does
under the command of its README. Where the two differ, and who takes what: docs/recipes.md. Numbers at ``demo`` and
``mini`` say something about order and effect, never about the papers' accuracies: data, network and length are a
fraction of theirs. Nobody has run the recipes at ``cifar10`` and ``imagenet`` with this code yet.
"""

from __future__ import annotations

from collections.abc import Callable

from simclr_core.config.options import ConfigError, nearest
from simclr_core.config.schema import (
    BackboneConfig,
    DataConfig,
    MethodConfig,
    OptimizerConfig,
    PredictorConfig,
    ProjectorConfig,
    RunConfig,
    TrainingConfig,
    ViewsConfig,
)


def simclr_imagenet() -> RunConfig:
    """SimCLR's default (Sec. 2, App. A, B.1): ResNet-50, LARS, batch 4096, 100 epochs.

    Colour as App. A lists it, in TensorFlow's definitions with additive brightness; BN in the head and its two layers
    as the code had them then, since the paper's formula shows neither.
    Hardware: 128 TPU v3 cores in the paper, about 1.5 hours for 100 epochs.
    Expected: 64.5 top-1, linear (Table 1, s = 1 with blur).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, reading="stream"),
        views=ViewsConfig(color_definition="tensorflow", brightness="add"),
        backbone=BackboneConfig(depth=50, stem="imagenet"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=MethodConfig(name="simclr", temperature=0.1),
        optimizer=OptimizerConfig(name="lars", base_lr=0.3, warmup_epochs=10, weight_decay=1e-6),
        training=TrainingConfig(epochs=100, global_batch_size=4096, precision="bfloat16"),
    )


def simclr_imagenet_released() -> RunConfig:
    """The README's ImageNet command of google-research/simclr (at 383d414), its flags' defaults, and its code.

    Hardware: 32 TPU v3, about 6 hours (README). Expected: around 64.5 top-1, linear (README).
    """
    return RunConfig(
        data=DataConfig(name="imagenet", image_size=224, reading="stream", whole_images="crop_then_resize"),
        views=_released_simclr_views(),
        backbone=BackboneConfig(depth=50, stem="imagenet", layout="original"),
        projector=ProjectorConfig(num_layers=3, dim=128, init="normal"),
        method=MethodConfig(name="simclr", temperature=0.1, loss_scale=2.0),
        optimizer=OptimizerConfig(name="lars", base_lr=0.075, lr_scaling="sqrt", warmup_epochs=10, weight_decay=1e-4),
        training=TrainingConfig(epochs=100, global_batch_size=4096, step_count="released"),
    )


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
        method=MethodConfig(name="simclr", temperature=0.5),
        optimizer=OptimizerConfig(name="lars", base_lr=1.0, warmup_epochs=10, weight_decay=1e-6),
        training=TrainingConfig(epochs=1000, global_batch_size=1024, precision="bfloat16"),
    )


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
        method=MethodConfig(name="simclr", temperature=0.5, loss_scale=2.0),
        optimizer=OptimizerConfig(name="lars", base_lr=1.0, warmup_epochs=10, weight_decay=1e-4),
        training=TrainingConfig(epochs=1000, global_batch_size=512, step_count="released"),
    )


def simclr_mini() -> RunConfig:
    """SimCLR in about half a minute of one CPU core: 5,000 images, a quarter-width ResNet-10, 6 epochs.

    Hardware: one CPU core without bfloat16 units, hence float32. Results: docs/results/mini.
    """
    return RunConfig(
        data=DataConfig(name="cifar10-jpeg", image_size=32, train_images=5000),
        views=ViewsConfig(color_strength=0.5, blur_probability=0.0),
        backbone=BackboneConfig(depth=10, width_multiplier=0.25, stem="small"),
        projector=ProjectorConfig(num_layers=2, dim=128),
        method=MethodConfig(name="simclr", temperature=0.2),
        optimizer=OptimizerConfig(name="sgd", base_lr=0.2, warmup_epochs=1, weight_decay=1e-4),
        training=TrainingConfig(epochs=6, global_batch_size=256),
    )


def simclr_demo() -> RunConfig:
    """SimCLR on the built-in photographs, at 16 pixels, in about 20 seconds of one CPU core.

    Hardware: one CPU core. What was tried, and the results: docs/demo.md.
    """
    config = simclr_mini()
    config.data = DataConfig(name="photos", image_size=16)
    config.training.epochs = 4
    return config


def supervised_imagenet() -> RunConfig:
    """The supervised column of SimCLR's Table 1: ResNet-50, 90 epochs (Fig. 7), SimCLR's views and batch.

    Optimiser: the usual Nesterov SGD for large batches, .1 for every 256 images; the paper's is not printed with it.
    Hardware: as simclr_imagenet, with one view. Expected: 75.4 top-1 with colour and blur (Table 1), 76.5 with the
    crop alone (Table B.3), of its own classifier.
    """
    return _supervised(simclr_imagenet(), epochs=90, warmup_epochs=5, num_classes=1000)


def supervised_cifar10() -> RunConfig:
    """The supervised network of SimCLR's App. B.9: ResNet-50 with the 3x3 stem, batch 1024, SimCLR's views.

    The appendix states no length; here 200 epochs, the usual one. Hardware: one GPU, hours (an estimate).
    Expected: 95.1 top-1.
    """
    config = _supervised(simclr_cifar10(), epochs=200, warmup_epochs=5, num_classes=10)
    config.optimizer.weight_decay = 5e-4
    return config


def supervised_mini() -> RunConfig:
    """Supervised training on the data, views and network of simclr_mini, as long as it.

    The rate is the best of .1, .4 and 1 (linear 27, 37 and 35 with 2,000 labels, one seed each, after 4 epochs).
    Hardware: one CPU core, under a minute.
    """
    config = _supervised(simclr_mini(), epochs=6, warmup_epochs=1, num_classes=10)
    config.optimizer.base_lr = 0.4
    return config


def supervised_demo() -> RunConfig:
    """Supervised training on the data, views and network of simclr_demo.

    Hardware: one CPU core, under 20 seconds.
    """
    return _supervised(simclr_demo(), epochs=4, warmup_epochs=1, num_classes=17)


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
        method=MethodConfig(name="simsiam", stop_gradient=True),
        optimizer=OptimizerConfig(base_lr=0.05, lr_steps="epoch", weight_decay=1e-4, decay_norm_and_bias=True),
        training=TrainingConfig(epochs=100, global_batch_size=512, views_forward="separate", precision="bfloat16"),
    )


def simsiam_imagenet_released() -> RunConfig:
    """The README's command of facebookresearch/simsiam (at a7bc177), with ``--fix-pred-lr``.

    Hardware: 8 V100 (README). Expected: 68.1 top-1, linear (README; Table 1, last row).
    """
    config = simsiam_imagenet()
    config.projector.output_batch_norm = "no_affine"
    config.predictor.lr_schedule = "constant"
    config.training.precision = "float32"
    return config


def simsiam_cifar10() -> RunConfig:
    """SimSiam on CIFAR-10 (App. D): ResNet-18 with the 3x3 stem, 2-layer projector, no blur, 800 epochs.

    The appendix leaves the projector's hidden width open (here D, as in most ports) and the predictor's rate.
    Hardware: one GPU; a public reimplementation reports 11 h 46 min. Expected: 91.8 top-1, linear (Fig. D.1).
    """
    return RunConfig(
        data=DataConfig(name="cifar10", image_size=32, normalization="cifar10"),
        views=_simsiam_views(blur_probability=0.0),
        backbone=BackboneConfig(depth=18, stem="cifar"),
        projector=ProjectorConfig(num_layers=2, dim=2048, hidden_dim=2048, output_batch_norm="affine"),
        predictor=PredictorConfig(kind="mlp", hidden_dim=512, lr_schedule="cosine"),
        method=MethodConfig(name="simsiam", stop_gradient=True),
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
        method=MethodConfig(name="simsiam", stop_gradient=True),
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


def _supervised(config: RunConfig, *, epochs: int, warmup_epochs: float, num_classes: int) -> RunConfig:
    """SimCLR's data, views and network, without a projector, under cross entropy on labels."""
    config.projector = ProjectorConfig(kind="none")
    config.method = MethodConfig(name="supervised", num_classes=num_classes)
    config.optimizer = OptimizerConfig(base_lr=0.1, warmup_epochs=warmup_epochs, nesterov=True, weight_decay=1e-4)
    config.training.epochs = epochs
    return config


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
        simclr_cifar10_released,
        simclr_imagenet,
        simclr_imagenet_released,
        supervised_demo,
        supervised_mini,
        supervised_cifar10,
        supervised_imagenet,
        simsiam_demo,
        simsiam_mini,
        simsiam_cifar10,
        simsiam_imagenet,
        simsiam_imagenet_released,
    )
}


def recipe(name: str) -> RunConfig:
    """A fresh configuration; raises ConfigError with the nearest names for one that does not exist."""
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ConfigError([f"recipe = {name!r}: no such recipe{nearest(name, list(RECIPES))}; known: {known}"])
    return RECIPES[name]()
