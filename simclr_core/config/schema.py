"""Everything that changes a result, as plain dataclasses, and the rules for valid combinations."""

from __future__ import annotations

from dataclasses import dataclass, field

from formats.metrics import evaluation_metric
from simclr_core.config.methods import METHODS, MethodConfig, SimCLRConfig
from simclr_core.config.options import LARGEST_SEED, Above, ConfigError, field_problems, option
from simclr_core.config.protocols import PROTOCOLS

TRANSFORMATIONS = ("crop", "cutout", "color", "sobel", "noise", "blur", "rotate")
"""The seven transformations of SimCLR's Fig. 5, in the order of that figure."""
BLOCKS = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
"""ResNet depth -> (kind of block, number of blocks in each of the four stages)."""
DEPTHS = tuple(BLOCKS)
_WIDEST = 1_000_000  # of a layer, in units: far more than fits in a GPU


@dataclass
class DataConfig:
    """The data set. The place of its files is not included, because it does not change the result."""

    name: str = "photos"  # built in; cifar10, cifar100, stl10: torchvision's; any other: a folder <data_dir>/<name>
    version: int = option(1, low=1)
    image_size: int = option(32, low=8, high=8192)  # pixels a side
    train_images: int = option(0, low=0)  # images used to pre-train, drawn by subset_seed; 0: all
    subset_seed: int = option(0, low=0, high=LARGEST_SEED)
    normalization: str = option("none", choices=("none", "imagenet", "cifar10"))  # mean and standard deviation
    reading: str = option(
        "memory", choices=("memory", "stream"), neutral="memory"
    )  # stream: decode and crop each epoch
    whole_images: str = option(  # as evaluations see them: SimCLR's paper, its code
        "resize_then_crop",
        choices=("resize_then_crop", "crop_then_resize"),
        only={"reading": ("stream",)},
        neutral="resize_then_crop",
    )
    unreadable: str = option("error", choices=("error", "skip"), neutral="error")  # images that do not decode


_STANDARD = {"kind": ("standard",)}
_PAIR = {"kind": ("pair",)}


_WITH_SMALL_VIEWS = {"small_views": Above(0)}
TENSORFLOW_LEAST_AREA = 0.1
"""SimCLR's code asks that a crop cover a tenth of the image, whatever the range of areas that it gives."""


@dataclass
class ViewsConfig:
    """How the views of an image are made.

    ``standard``: crop, flip, colour distortion, blur, on both branches (SimCLR App. A, SimSiam App. A), then the
    transformations that have a probability above 0 (SimCLR App. B.2; Table 3).
    ``pair``: the transformations ``first`` then ``second`` of SimCLR Fig. 5 (one of them alone if they are equal),
    on one branch or on both, after a base crop that both branches share, or without one.
    Methods that take them may have ``small_views`` beside the others (SwAV's multi-crop): standard views of
    ``small_size``, whose crops have areas of their own.
    """

    kind: str = option("standard", choices=("standard", "pair"))
    first: str = option("crop", choices=TRANSFORMATIONS, only=_PAIR)
    second: str = option("color", choices=TRANSFORMATIONS, only=_PAIR)
    branches: str = option("one", choices=("one", "both"), only=_PAIR)
    base_crop: str = option("shared", choices=("shared", "none"), only=_PAIR)
    crop_min_area: float = option(0.08, low=0.0, high=1.0)  # fraction of the image
    crop_max_area: float = option(1.0, low=0.0, high=1.0, neutral=1.0)
    crop_law: str = option("torchvision", choices=("torchvision", "tensorflow"), neutral="torchvision")
    crop_interpolation: str = option("bilinear", choices=("bilinear", "bicubic"), neutral="bilinear")
    flip_probability: float = option(0.5, low=0.0, high=1.0)
    distortion: str = option(
        "color", choices=("color", "autoaugment_imagenet", "autoaugment_cifar10"), only=_STANDARD, neutral="color"
    )  # AutoAugment takes the place of colour and blur (SimCLR Table 1)
    color_definition: str = option("torchvision", choices=("torchvision", "tensorflow"), neutral="torchvision")
    brightness: str = option("multiply", choices=("multiply", "add"), neutral="multiply")
    color_strength: float = option(1.0, low=0.0, high=1.25)  # multiplies the four jitter ranges below
    jitter_probability: float = option(0.8, low=0.0, high=1.0)
    jitter_brightness: float = option(0.8, low=0.0)
    jitter_contrast: float = option(0.8, low=0.0)
    jitter_saturation: float = option(0.8, low=0.0)
    jitter_hue: float = option(0.2, low=0.0, high=0.5)  # of a turn
    gray_probability: float = option(0.2, low=0.0, high=1.0)
    blur_probability: float = option(0.5, low=0.0, high=1.0)
    blur_min_sigma: float = option(0.1, low=0.01, high=1000.0)  # pixels
    blur_max_sigma: float = option(2.0, low=0.01, high=1000.0)
    blur_border: str = option("reflect", choices=("reflect", "zero"), neutral="reflect")
    blur_sigma_per: str = option("image", choices=("image", "batch"), neutral="image")
    cutout_size: float = option(0.5, low=0.0, high=1.0, only=_PAIR)  # side of the square over the image's
    noise_max_sigma: float = option(0.5, low=0.0, only=_PAIR)  # of the range [0, 1]
    rotate_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)  # 0 to 3 quarter turns
    noise_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)  # sigma up to .5
    sobel_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)
    equalize_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)
    solarize_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)
    motion_blur_probability: float = option(0.0, low=0.0, high=1.0, only=_STANDARD, neutral=0.0)
    small_views: int = option(0, low=0, high=100, neutral=0)  # of an image
    small_size: int = option(96, low=8, high=8192, only=_WITH_SMALL_VIEWS)  # pixels a side
    small_min_area: float = option(0.05, low=0.0, high=1.0, only=_WITH_SMALL_VIEWS)  # of their crops, fractions
    small_max_area: float = option(0.14, low=0.0, high=1.0, only=_WITH_SMALL_VIEWS)


@dataclass
class BackboneConfig:
    """A ResNet; ``features`` is its pooled output (f or h in the papers).

    The layout ``original`` is that of SimCLR's released code: a projection shortcut in the first block of every stage,
    TensorFlow's padding of the max-pool, Keras' initialisation.
    """

    depth: int = option(50, low=10)  # 10 (one basic block a stage), 18, 34, 50, 101, 152
    width_multiplier: float = option(1.0, low=0.0, high=64.0)  # 1 is 64 channels in the first stage
    stem: str = option("imagenet", choices=("imagenet", "cifar", "small"))
    zero_init_residual: bool = True
    layout: str = option("torchvision", choices=("torchvision", "original"), neutral="torchvision")


_WITH_LAYERS = {"kind": ("linear", "nonlinear")}
_NONLINEAR = {"kind": ("nonlinear",)}


@dataclass
class ProjectorConfig:
    """The projection head g: features (B, F) -> z (B, D)."""

    kind: str = option("nonlinear", choices=("none", "linear", "nonlinear"))
    num_layers: int = option(2, low=2, high=100, only=_NONLINEAR)
    dim: int = option(128, low=1, high=_WIDEST, only=_WITH_LAYERS)
    hidden_dim: int = option(0, low=0, high=_WIDEST, only=_NONLINEAR)  # 0: as wide as the features
    hidden_batch_norm: bool = option(True, only=_NONLINEAR)
    output_batch_norm: str = option(
        "scale_only", choices=("none", "affine", "scale_only", "no_affine"), only=_WITH_LAYERS
    )
    init: str = option("torch", choices=("torch", "normal"), only=_WITH_LAYERS, neutral="torch")  # normal: std .01


_MLP = {"kind": ("mlp",)}


@dataclass
class PredictorConfig:
    """SimSiam's prediction MLP: z (B, D) -> p (B, D)."""

    kind: str = option("none", choices=("none", "mlp"))
    hidden_dim: int = option(512, low=1, high=_WIDEST, only=_MLP)
    lr_schedule: str = option("constant", choices=("constant", "cosine"), only=_MLP | {"trained": (True,)})
    trained: bool = option(True, only=_MLP, neutral=True)  # False: stays at its random initialisation (Table 1)
    hidden_batch_norm: bool = option(True, only=_MLP, neutral=True)
    output_batch_norm: str = option("none", choices=("none", "affine"), only=_MLP, neutral="none")


_LARS = {"name": ("lars",)}


@dataclass
class OptimizerConfig:
    """The optimiser and its learning-rate schedule: warm-up, then half a cosine to 0."""

    name: str = option("sgd", choices=("sgd", "lars"))
    base_lr: float = option(0.3, low=0.0)  # per 256 images (linear) or per square-root image (sqrt)
    lr_scaling: str = option("linear", choices=("linear", "sqrt"))
    warmup_epochs: float = option(0.0, low=0.0)
    lr_steps: str = option("step", choices=("step", "epoch"))  # the schedule advances with every step or every epoch
    momentum: float = option(0.9, low=0.0, high=1.0)
    nesterov: bool = option(False, only={"name": ("sgd",)}, neutral=False)
    weight_decay: float = option(1e-6, low=0.0)
    decay_norm_and_bias: bool = False
    lars_variant: str = option(
        "simclr",
        choices=("simclr", "simclr_nesterov", "simclr_popular", "byol", "apex", "solo"),
        only=_LARS,
        neutral="simclr",
    )
    trust_coefficient: float = option(1e-3, low=0.0, only=_LARS)


@dataclass
class TrainingConfig:
    """Length, batch size and arithmetic. ``epochs`` 0 is the untrained network, the reference line of the figures."""

    epochs: int = option(100, low=0, high=1_000_000)
    step_count: str = option(
        "whole_epochs", choices=("whole_epochs", "released"), neutral="whole_epochs"
    )  # released: images * epochs // batch + 1 steps
    global_batch_size: int = option(256, low=2)  # images, each seen as two views
    batch_norm: str = option("global", choices=("global", "per_device"), neutral="global")  # extent of its statistics
    device_batch_size: int = option(256, low=2, only={"batch_norm": ("per_device",)})
    views_forward: str = option("joint", choices=("joint", "separate"))  # one forward over 2B rows, or one a view
    precision: str = option("float32", choices=("float32", "bfloat16"))  # of the backbone; heads and loss: float32
    knn_epochs: int = option(0, low=0, neutral=0)  # between kNN accuracies on the curve (SimSiam Fig. 2); 0: none


@dataclass
class RunConfig:
    """One experiment: everything that determines its result."""

    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    method: MethodConfig = field(default_factory=SimCLRConfig, metadata={"variants": METHODS})  # by its name
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = option(0, low=0, high=LARGEST_SEED)


_TRAINS = {"protocol": ("linear_sgd", "fine_tune", "transform_probe")}
_SGD = {"protocol": ("linear_sgd", "fine_tune")}


@dataclass
class EvalConfig:
    """One evaluation of a pre-trained network; its id does not depend on the pre-training."""

    protocol: str = option("linear", choices=PROTOCOLS)
    embedding: str = option("features", choices=("features", "z"), numbered="head_")  # head_1: after that layer of g
    data: str = option("", neutral="")  # another data set than the one pre-trained on (transfer)
    num_labels: int = option(0, low=0)  # labelled training images, class-balanced, drawn by label_seed; 0: all
    label_seed: int = option(0, low=0, high=LARGEST_SEED)
    label_list: str = option("", neutral="")  # a file of image names instead, such as ImageNet's published 1 %
    k: int = option(200, low=1, only={"protocol": ("knn",)})
    temperature: float = option(0.1, low=1e-6, only={"protocol": ("knn",)})
    epochs: int = option(90, low=1, high=1_000_000, only=_TRAINS)
    batch_size: int = option(256, low=1, only=_TRAINS)
    optimizer: str = option("sgd", choices=("sgd", "lars"), only=_SGD)  # Nesterov SGD, or LARS (apex)
    base_lr: float = option(0.1, low=0.0, only=_SGD)  # per 256 images
    weight_decay: float = option(0.0, low=0.0, only=_SGD)
    crop_min_area: float = option(0.08, low=0.0, high=1.0, only=_SGD)
    seed: int = option(0, low=0, high=LARGEST_SEED, only=_TRAINS)
    task: str = option("color", choices=("color", "rotate", "noise", "sobel"), only={"protocol": ("transform_probe",)})
    keep: bool = option(False, neutral=False)  # the network that scores, as a file beside the result

    @property
    def metric(self) -> str:
        """Its name in the result tables, such as ``linear_top1``, ``knn_z_top1``, ``linear_head_1_cifar100_top1``."""
        return evaluation_metric(vars(self))


def problems_of(config: RunConfig) -> list[str]:
    """List everything that is wrong with a configuration, in single fields and between fields; empty if it can run."""
    problems = field_problems(config)
    if config.backbone.depth not in DEPTHS:
        expected = ", ".join(map(str, DEPTHS))
        problems.append(f"backbone.depth = {config.backbone.depth}: expected one of {expected}")
    if config.backbone.width_multiplier * 64 < 1:
        problems.append(f"backbone.width_multiplier = {config.backbone.width_multiplier}: leaves no channel of 64")
    problems += _view_problems(config)
    images, batch = config.data.train_images, config.training.global_batch_size
    if 0 < images < batch and config.training.epochs:
        problems.append(f"training.global_batch_size = {batch}: data.train_images = {images} fill no batch")
    if config.training.batch_norm == "per_device" and batch % config.training.device_batch_size:
        problems.append(
            f"training.device_batch_size = {config.training.device_batch_size}: does not divide"
            f" training.global_batch_size = {batch}"
        )
    if config.optimizer.warmup_epochs > config.training.epochs > 0:
        problems.append(f"optimizer.warmup_epochs = {config.optimizer.warmup_epochs:g}: longer than training.epochs")
    if config.optimizer.name == "sgd" and config.optimizer.nesterov and not config.optimizer.momentum:
        problems.append("optimizer.nesterov = true: expected optimizer.momentum above 0")
    return problems + config.method.problems(config)


def _view_problems(config: RunConfig) -> list[str]:
    views, problems = config.views, []
    if views.blur_max_sigma < views.blur_min_sigma:
        problems.append("views.blur_max_sigma: expected at least views.blur_min_sigma")
    if config.data.reading == "stream" and (views.kind, views.base_crop) == ("pair", "none"):
        problems.append("views.base_crop = 'none': images read as a stream differ in size; expected 'shared'")
    areas = [("crop", views.crop_min_area, views.crop_max_area)]
    if views.small_views:
        areas.append(("small", views.small_min_area, views.small_max_area))
        key = f"views.small_views = {views.small_views}"
        if not config.method.takes_small_views:
            problems.append(f"{key}: method.name = {config.method.name!r} takes views of one size; expected 0")
        if views.kind != "standard":
            problems.append(f"{key}: expected 0, or views.kind = 'standard'")
        if views.small_size > config.data.image_size:
            problems.append(
                f"views.small_size = {views.small_size}: expected at most data.image_size = {config.data.image_size}"
            )
    for name, least, most in areas:
        key = f"views.{name}_max_area = {most:g}"
        if most < least <= 1:
            problems.append(f"{key}: expected at least views.{name}_min_area = {least:g}")
        elif views.crop_law == "tensorflow" and most <= TENSORFLOW_LEAST_AREA:
            problems.append(
                f"{key}: with views.crop_law = 'tensorflow' a crop covers a tenth of the image or more;"
                f" expected above {TENSORFLOW_LEAST_AREA:g}"
            )
    return problems


def validate(config: RunConfig) -> RunConfig:
    """Return the configuration; raises ConfigError with everything that is wrong with it."""
    if problems := problems_of(config):
        raise ConfigError(problems)
    return config
