"""Everything that changes a result, as plain dataclasses, with validation and overriding by dotted key.

A configuration is a tree of nodes. Some nodes carry a tag (``kind`` or ``name``), and some of their fields matter
only under certain tags: these declare it with ``only``. What names a run is made from it in ``identity``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

TRANSFORMATIONS = ("crop", "cutout", "color", "sobel", "noise", "blur", "rotate")
"""The seven transformations of SimCLR's Fig. 5, in its order."""

Scalar = bool | int | float | str
Node = TypeVar("Node")


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def option(
    default: Scalar,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    only: Mapping[str, tuple[str, ...]] | None = None,
    neutral: Scalar | None = None,
) -> Any:
    """A field with its valid values, and the tags of its own node under which it is in use."""
    metadata = {"choices": choices, "low": low, "high": high, "only": only or {}, "neutral": neutral}
    return field(default=default, metadata=metadata)


@dataclass
class DataConfig:
    """What is learnt from. Where the files lie is not here: it does not change the result."""

    name: str = "photos"  # "photos" is built in; any other name is a folder <data_dir>/<name>
    version: int = option(1, low=1)
    image_size: int = option(32, low=8)  # pixels a side
    train_images: int = option(0, low=0)  # images used to pre-train, drawn by subset_seed; 0: all
    subset_seed: int = option(0, low=0)
    normalization: str = option("none", choices=("none", "imagenet", "cifar10"))  # mean and standard deviation


_STANDARD = {"kind": ("standard",)}
_PAIR = {"kind": ("pair",)}


@dataclass
class ViewsConfig:
    """How the two views of an image are made.

    ``standard``: crop, flip, colour distortion, blur, on both branches (SimCLR App. A, SimSiam App. A).
    ``pair``: the transformations ``first`` then ``second`` of SimCLR Fig. 5 (one of them alone if they are equal),
    on one branch or on both, after a base crop that both branches share, or without one.
    """

    kind: str = option("standard", choices=("standard", "pair"))
    first: str = option("crop", choices=TRANSFORMATIONS, only=_PAIR)
    second: str = option("color", choices=TRANSFORMATIONS, only=_PAIR)
    branches: str = option("one", choices=("one", "both"), only=_PAIR)
    base_crop: str = option("shared", choices=("shared", "none"), only=_PAIR)
    crop_min_area: float = option(0.08, low=0.0, high=1.0)  # fraction of the image; torchvision's law
    flip_probability: float = option(0.5, low=0.0, high=1.0)
    color_strength: float = option(1.0, low=0.0, high=1.25)  # multiplies the four jitter ranges below
    jitter_probability: float = option(0.8, low=0.0, high=1.0)
    jitter_brightness: float = option(0.8, low=0.0)
    jitter_contrast: float = option(0.8, low=0.0)
    jitter_saturation: float = option(0.8, low=0.0)
    jitter_hue: float = option(0.2, low=0.0, high=0.5)  # of a turn
    gray_probability: float = option(0.2, low=0.0, high=1.0)
    blur_probability: float = option(0.5, low=0.0, high=1.0)
    blur_min_sigma: float = option(0.1, low=0.01)  # pixels
    blur_max_sigma: float = option(2.0, low=0.01)
    cutout_size: float = option(0.5, low=0.0, high=1.0, only=_PAIR)  # side of the square over the image's
    noise_max_sigma: float = option(0.5, low=0.0, only=_PAIR)  # of the range [0, 1]


@dataclass
class BackboneConfig:
    """A ResNet of torchvision's blocks; ``features`` is its pooled output (the papers' f, h)."""

    depth: int = option(50, low=10)  # 10 (one basic block a stage), 18, 34, 50, 101, 152
    width_multiplier: float = option(1.0, low=0.0)  # 1 is 64 channels in the first stage
    stem: str = option("imagenet", choices=("imagenet", "cifar", "small"))
    zero_init_residual: bool = True


_WITH_LAYERS = {"kind": ("linear", "nonlinear")}
_NONLINEAR = {"kind": ("nonlinear",)}


@dataclass
class ProjectorConfig:
    """The projection head g: features (B, F) -> z (B, D)."""

    kind: str = option("nonlinear", choices=("none", "linear", "nonlinear"))
    num_layers: int = option(2, low=2, only=_NONLINEAR)
    dim: int = option(128, low=1, only=_WITH_LAYERS)
    hidden_dim: int = option(0, low=0, only=_NONLINEAR)  # 0: as wide as the features
    hidden_batch_norm: bool = option(True, only=_NONLINEAR)
    output_batch_norm: str = option(
        "scale_only", choices=("none", "affine", "scale_only", "no_affine"), only=_WITH_LAYERS
    )


@dataclass
class PredictorConfig:
    """SimSiam's prediction MLP: z (B, D) -> p (B, D)."""

    kind: str = option("none", choices=("none", "mlp"))
    hidden_dim: int = option(512, low=1, only={"kind": ("mlp",)})
    lr_schedule: str = option("constant", choices=("constant", "cosine"), only={"kind": ("mlp",)})


@dataclass
class MethodConfig:
    """The objective."""

    name: str = option("simclr", choices=("simclr", "simsiam"))
    temperature: float = option(0.1, low=1e-6, only={"name": ("simclr",)})
    stop_gradient: bool = option(True, only={"name": ("simsiam",)})


@dataclass
class OptimizerConfig:
    """The optimiser and its learning-rate schedule: warm-up, then half a cosine to 0."""

    name: str = option("sgd", choices=("sgd", "lars"))
    base_lr: float = option(0.3, low=0.0)  # per 256 images (linear) or per square-root image (sqrt)
    lr_scaling: str = option("linear", choices=("linear", "sqrt"))
    warmup_epochs: float = option(0.0, low=0.0)
    lr_steps: str = option("step", choices=("step", "epoch"))  # the schedule advances with every step or every epoch
    momentum: float = option(0.9, low=0.0, high=1.0)
    weight_decay: float = option(1e-6, low=0.0)
    decay_norm_and_bias: bool = False
    trust_coefficient: float = option(1e-3, low=0.0, only={"name": ("lars",)})


@dataclass
class TrainingConfig:
    """Length, batch and arithmetic. ``epochs`` 0 is the untrained network, the reference line of the figures."""

    epochs: int = option(100, low=0)
    global_batch_size: int = option(256, low=2)  # images, each seen as two views
    views_forward: str = option("joint", choices=("joint", "separate"))  # one forward over 2B rows, or one a view
    precision: str = option("float32", choices=("float32", "bfloat16"))  # of the backbone; heads and loss: float32


@dataclass
class RunConfig:
    """One experiment: all that determines its result."""

    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = option(0, low=0)


@dataclass
class EvalConfig:
    """One evaluation of a pre-trained backbone, identified apart from the pre-training that it reads."""

    protocol: str = option("linear", choices=("linear", "knn"))
    embedding: str = option("features", choices=("features", "z"))
    num_labels: int = option(0, low=0)  # labelled training images, class-balanced, drawn by label_seed; 0: all
    label_seed: int = option(0, low=0)
    k: int = option(200, low=1, only={"protocol": ("knn",)})
    temperature: float = option(0.1, low=1e-6, only={"protocol": ("knn",)})

    @property
    def metric(self) -> str:
        """Its name in the result tables: ``linear_top1``, ``knn_top1``, ``linear_z_top1``, ``knn_z_top1``."""
        return f"{self.protocol}_{'z_' if self.embedding == 'z' else ''}top1"


DEPTHS = (10, 18, 34, 50, 101, 152)


def nearest(name: object, valid: list[str]) -> str:
    """``" (did you mean 'crop'?)"``, or nothing where no valid name is near."""
    ratios = {word: difflib.SequenceMatcher(None, str(name), word).ratio() for word in valid}
    best = max(ratios.values(), default=0.0)
    close = [word for word in sorted(valid, key=lambda word: -ratios[word]) if ratios[word] > max(0.5, best - 0.1)]
    return f" (did you mean {' or '.join(repr(word) for word in close[:3])}?)" if close else ""


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """Every leaf as (dotted key, value), used or not."""
    for f in fields(node):
        value = getattr(node, f.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def _coerce(value: object, f: Field[Any], key: str) -> Scalar:
    """``value`` as the field's type (1 and 1.0 are the same number); ConfigError if it has no such reading."""
    kind = type(f.default)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind is int and isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        return int(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ConfigError([f"{key} = {value!r}: expected {_article(kind.__name__)}"])


def _article(kind: str) -> str:
    return {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a word"}[kind]


def _check(node: Any, f: Field[Any], key: str) -> list[str]:
    value, meta = getattr(node, f.name), f.metadata
    if choices := meta.get("choices"):
        if value not in choices:
            return [f"{key} = {value!r}: expected one of {', '.join(choices)}{nearest(value, list(choices))}"]
        return []
    low, high = meta.get("low"), meta.get("high")
    if low is not None and value < low:
        return [f"{key} = {value!r}: expected at least {low:g}"]
    if high is not None and value > high:
        return [f"{key} = {value!r}: expected at most {high:g}"]
    return []


def field_problems(node: Any, prefix: str = "") -> list[str]:
    """What is wrong with a node and those below it, field by field."""
    problems: list[str] = []
    for f in fields(node):
        key = f"{prefix}{f.name}"
        if is_dataclass(getattr(node, f.name)):
            problems += field_problems(getattr(node, f.name), f"{key}.")
        else:
            problems += _check(node, f, key)
    return problems


def problems_of(config: RunConfig) -> list[str]:
    """All that is wrong with a configuration, field by field and between fields; empty if it can run."""
    problems = field_problems(config)
    if config.backbone.depth not in DEPTHS:
        expected = ", ".join(map(str, DEPTHS))
        problems.append(f"backbone.depth = {config.backbone.depth}: expected one of {expected}")
    if config.backbone.width_multiplier * 64 < 1:
        problems.append(f"backbone.width_multiplier = {config.backbone.width_multiplier}: leaves no channel of 64")
    if config.method.name == "simclr" and config.predictor.kind != "none":
        problems.append(f"predictor.kind = {config.predictor.kind!r}: method.name = 'simclr' takes 'none'")
    if config.views.blur_max_sigma < config.views.blur_min_sigma:
        problems.append("views.blur_max_sigma: expected at least views.blur_min_sigma")
    images, batch = config.data.train_images, config.training.global_batch_size
    if images and images < batch:
        problems.append(f"training.global_batch_size = {batch}: data.train_images = {images} fill no batch")
    if config.optimizer.warmup_epochs > config.training.epochs > 0:
        problems.append(f"optimizer.warmup_epochs = {config.optimizer.warmup_epochs:g}: longer than training.epochs")
    return problems


def validate(config: RunConfig) -> RunConfig:
    """The same configuration; raises ConfigError with all that is wrong."""
    if problems := problems_of(config):
        raise ConfigError(problems)
    return config


def override(config: Node, values: Mapping[str, object]) -> Node:
    """A copy with dotted keys set, each coerced to its field's type; not validated otherwise.

    Raises ConfigError naming every unknown key, with the nearest valid ones, and every value of the wrong type.
    """
    valid = [key for key, _ in flatten(config)]
    problems: list[str] = []
    for key, value in values.items():
        if key not in valid:
            problems.append(f"{key}: no such setting{nearest(key, valid)}")
            continue
        try:
            config = _set(config, key.split("."), value, key)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


def _set(node: Any, path: list[str], value: object, key: str) -> Any:
    name, *rest = path
    if rest:
        return replace(node, **{name: _set(getattr(node, name), rest, value, key)})
    (f,) = (f for f in fields(node) if f.name == name)
    return replace(node, **{name: _coerce(value, f, key)})
