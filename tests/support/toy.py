"""A run of seconds: the data set ``toy``, and configurations for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import RunConfig

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


def write_toy(root: Path) -> RuntimeConfig:
    """A folder ``toy`` of 48 + 24 small images of two classes that differ in colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 12)):
        for name, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
            folder = root / "toy" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 60, (32, 32, 3)), 0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return RuntimeConfig(data_dir=str(root), cache_dir=str(root / "cache"), device="cpu")
