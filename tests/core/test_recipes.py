"""Recipes against the papers' and READMEs' numbers, and the ledger against the settings that there are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from simclr_core.config.identity import canonical
from simclr_core.config.methods import METHODS
from simclr_core.config.options import flatten, keys_of
from simclr_core.config.recipes import RECIPES, recipe
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.training.optim import num_train_steps, num_warmup_steps, peak_lr

LEDGER = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
NUM_IMAGES = {"imagenet": 1_281_167, "cifar10": 50_000}


@pytest.mark.parametrize(
    ("name", "peak", "num_steps", "num_warmup"),
    [
        ("simclr_imagenet", 4.8, 31_200, 3_120),  # SimCLR Sec. 2.2: 0.3 * 4096 / 256
        ("simclr_imagenet_released", 4.8, 31_279, 3_127),  # README: 0.075 * sqrt(4096)
        ("simclr_cifar10", 4.0, 48_000, 480),
        ("simclr_cifar10_released", 2.0, 97_657, 976),  # README: 1.0 * 512 / 256
        ("simsiam_imagenet", 0.1, 250_200, 0),  # SimSiam Sec. 3: 0.05 * 512 / 256
        ("simsiam_imagenet_released", 0.1, 250_200, 0),
        ("simsiam_cifar10", 0.06, 77_600, 0),  # SimSiam App. D: 0.03 * 512 / 256
    ],
)
def test_learning_rates_and_lengths(name: str, peak: float, num_steps: int, num_warmup: int) -> None:
    config = recipe(name)
    optimizer, training = config.optimizer, config.training
    images, batch = NUM_IMAGES[config.data.name], training.global_batch_size

    assert peak_lr(optimizer.base_lr, optimizer.lr_scaling, batch) == pytest.approx(peak)
    assert num_train_steps(images, training.epochs, batch, training.step_count) == num_steps
    assert num_warmup_steps(images, optimizer.warmup_epochs, batch, training.step_count) == num_warmup


@pytest.mark.parametrize("name", ["simclr_imagenet", "simclr_cifar10", "simsiam_imagenet"])
def test_paper_and_released_differ_in_settings_that_the_ledger_names(name: str) -> None:
    paper, released = (dict(flatten(recipe(f"{name}{end}"))) for end in ("", "_released"))
    different = {key for key in paper if paper[key] != released[key]}
    sizes = {"backbone.depth", "training.global_batch_size"}  # in the row on CIFAR-10's whole recipe

    assert different
    assert {key for key in different - sizes if f"`{key}`" not in LEDGER} == set()


def test_no_setting_of_a_recipe_is_out_of_use() -> None:
    """A value that differs from the default stands in the canonical form, or it would change nothing."""
    for name in RECIPES:
        defaults = dict(flatten(RunConfig(method=METHODS[recipe(name).method.name]())))
        used = {
            f"{node}.{key}"
            for node, values in canonical(recipe(name)).items()
            if isinstance(values, dict)
            for key in values
        }
        changed = {key for key, value in flatten(recipe(name)) if value != defaults[key]}
        assert changed - used - {"seed"} == set(), name


def test_the_ledger_names_settings_choices_and_recipes_that_exist() -> None:
    keys = set(keys_of(RunConfig))
    evaluation = {field.name for field in fields(EvalConfig)}
    named = set(
        re.findall(r"`((?:data|views|backbone|projector|predictor|method|optimizer|training)\.(?!py`)\w+)`", LEDGER)
    )
    in_evaluations = {
        key for row in LEDGER.splitlines() if "`protocol:" in row for key in re.findall(r"`(\w+)`", row.split("|")[4])
    }

    assert len(named) > 30
    assert named - keys == set()
    assert in_evaluations - evaluation == set()
    names = re.findall(r"`((?:simclr|simsiam|supervised)_(?:imagenet|cifar10|mini|demo)\w*)`", LEDGER)
    assert set(names) == set(RECIPES)
