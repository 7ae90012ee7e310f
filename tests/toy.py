"""A run of seconds: configurations for the data set ``toy``, which the fixture ``toy_runtime`` writes."""

from __future__ import annotations

from simclr_core.config import RunConfig
from simclr_core.options import override
from simclr_core.recipes import recipe

TOY = {
    "data.name": "toy",
    "data.train_images": 40,
    "backbone.width_multiplier": 0.125,
    "training.global_batch_size": 8,
    "training.epochs": 1,
    "optimizer.warmup_epochs": 0,
}
"""Five steps an epoch."""


def toy_config(name: str = "simclr_mini", values: dict[str, object] | None = None) -> RunConfig:
    """A recipe at the smallest size that trains, with dotted keys set."""
    return override(recipe(name), TOY | (values or {}))
