"""Run identity: literal ids, what changes them and what must not; overriding and its messages."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields

import pytest

from simclr_core.config.identity import CONFIG_VERSION, canonical, cell_id, eval_id, from_canonical, run_id
from simclr_core.config.methods import METHODS
from simclr_core.config.options import ConfigError, field_problems, flatten, option, override
from simclr_core.config.recipes import RECIPES, recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig, problems_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simclr_mini", "simclr-cifar10-jpeg-87aa85c4e615"),
        ("simsiam_mini", "simsiam-cifar10-jpeg-ed19bceb19e6"),
    ],
)
def test_ids_are_what_they_were(name: str, expected: str) -> None:
    """If this fails, old results no longer match: give a new field its ``neutral``, or raise CONFIG_VERSION."""
    assert run_id(recipe(name)) == expected


def test_evaluation_ids_are_what_they_were() -> None:
    assert eval_id(EvalConfig()) == "linear-features-3b727365"


def another(value: object, choices: tuple[str, ...] | None) -> object:
    if isinstance(value, bool):
        return not value
    if choices:
        return next(c for c in choices if c != value)
    return f"{value}x" if isinstance(value, str) else value + 1  # type: ignore[operator]


@pytest.mark.parametrize("name", ["simclr_demo", "simsiam_demo"])
def test_every_setting_in_use_changes_the_id(name: str) -> None:
    config = override(recipe(name), {"views.kind": "pair"})
    used = list(flatten_canonical(canonical(config)))
    values = dict(flatten(config))

    assert len(used) > 35
    for key in used:
        *parents, leaf = key.split(".")
        node = config
        for parent in parents:
            node = getattr(node, parent)
        choices = next(f for f in fields(node) if f.name == leaf).metadata.get("choices")
        choices = tuple(METHODS) if key == "method.name" else choices
        changed = override(config, {key: another(values[key], choices)})
        assert run_id(changed) != run_id(config), key


def flatten_canonical(content: dict[str, object], prefix: str = "") -> list[str]:
    keys = []
    for key, value in content.items():
        keys += flatten_canonical(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return keys


def test_settings_that_a_tag_switches_off_do_not_change_the_id() -> None:
    config = recipe("simclr_demo")

    for key, value in {"views.first": "rotate", "predictor.hidden_dim": 7, "optimizer.trust_coefficient": 0.5}.items():
        assert run_id(override(config, {key: value})) == run_id(config), key


def test_negatives_from_one_view_are_another_run_of_nt_xent_alone() -> None:
    config, other = recipe("simclr_demo"), {"method.negatives": "other_view"}

    assert run_id(override(config, other)) != run_id(config)
    assert run_id(override(config, {"method.negatives": "both_views"})) == run_id(config)
    for loss in ("nt_logistic", "margin_triplet"):
        of_loss = override(config, {"method.loss": loss})
        assert run_id(override(of_loss, other)) == run_id(of_loss), loss


def test_an_integer_and_the_same_float_are_one_run() -> None:
    config = recipe("simclr_demo")

    assert run_id(override(config, {"method.temperature": 1})) == run_id(override(config, {"method.temperature": 1.0}))
    assert run_id(override(config, {"training.epochs": 9.0})) == run_id(override(config, {"training.epochs": 9}))


def test_seeds_share_a_cell_and_not_a_run() -> None:
    first, second = (override(recipe("simclr_demo"), {"seed": seed}) for seed in (0, 1))

    assert cell_id(first) == cell_id(second)
    assert run_id(first) != run_id(second)


def test_nothing_of_the_runtime_is_in_a_configuration() -> None:
    names = {key.rsplit(".", 1)[-1] for key, _ in flatten(RunConfig())}

    assert not names & {f.name for f in fields(RuntimeConfig)}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_valid(name: str) -> None:
    assert problems_of(recipe(name)) == []


def test_all_that_is_wrong_comes_in_one_message() -> None:
    with pytest.raises(ConfigError) as caught:
        override(RunConfig(), {"views.frist": "crop", "training.epochs": "ten", "seed": 1.5})

    assert caught.value.problems == [
        "views.frist: no such setting (did you mean 'views.first'?)",
        "training.epochs = 'ten': expected an integer",
        "seed = 1.5: expected an integer",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"views.kind": "pair", "views.first": "colr"},
            (
                "views.first = 'colr': expected one of crop, cutout, color, sobel, noise, blur, rotate"
                " (did you mean 'color'?)"
            ),
        ),
        ({"backbone.depth": 19}, "backbone.depth = 19: expected one of 10, 18, 34, 50, 101, 152"),
        ({"views.crop_min_area": 2}, "views.crop_min_area = 2.0: expected at most 1"),
        (
            {"method.name": "simsiam", "method.target": "moving_average", "method.stop_gradient": False},
            "method.target = 'moving_average': its targets take no gradient; expected method.stop_gradient = true",
        ),
        (
            {"training.batch_norm": "per_device", "training.device_batch_size": 96},
            "training.device_batch_size = 96: does not divide training.global_batch_size = 256",
        ),
        (
            {"data.train_images": 100},
            "training.global_batch_size = 256: data.train_images = 100 fill no batch",
        ),
    ],
)
def test_a_wrong_value_says_what_was_expected(values: dict[str, object], problem: str) -> None:
    assert problems_of(override(RunConfig(), values)) == [problem]


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'simclr_mini'"):
        recipe("simclr_mimi")


@pytest.mark.parametrize("name", RECIPES)
def test_ids_are_hashes_of_the_canonical_json(name: str) -> None:
    """Which is put together from parts that are kept: as one piece it gives the same."""

    def digest(content: object) -> str:
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    config = override(recipe(name), {"seed": 7})
    content = canonical(config)
    assert run_id(config).endswith(digest({"config_version": CONFIG_VERSION, "config": content})[:12])
    del content["seed"]
    assert cell_id(config) == digest({"config_version": CONFIG_VERSION, "config": content})[:12]
    canonical(config)["views"]["kind"] = "changed by who got it"
    assert canonical(config)["views"]["kind"] == config.views.kind


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_configuration_can_be_read_back_from_what_names_it(name: str) -> None:
    """Fields that are left out for having their neutral value have it, whatever the default is by then."""
    content = json.loads(json.dumps(canonical(recipe(name))))
    found = from_canonical(RunConfig, content)

    assert found == recipe(name)
    content["backbone"]["of_tomorrow"] = 1
    with pytest.raises(KeyError, match="of_tomorrow"):
        from_canonical(RunConfig, content)
    del content["backbone"]
    with pytest.raises(KeyError, match="backbone"):
        from_canonical(RunConfig, content)


def test_a_field_that_was_left_out_has_its_neutral_value() -> None:
    @dataclass
    class Node:
        old: int = option(1)
        new: int = option(3, neutral=2)
        off: int = option(5, only={"old": (0,)}, neutral=4)

    assert from_canonical(Node, {"old": 7}) == Node(7, 2, 4)
    assert canonical(Node(7, 2, 4)) == {"old": 7}


SEED_NAMES = ("seed", "subset_seed", "label_seed")


@pytest.mark.parametrize("kind", [RunConfig, EvalConfig, RuntimeConfig])
def test_every_number_has_bounds(kind: type) -> None:
    """A seed of 26 digits would be another number in a table; a size of 1e12 is found out by the memory alone."""
    for key, value in flatten(kind()):
        if isinstance(value, bool | str):
            continue
        is_seed = key.rpartition(".")[2] in SEED_NAMES
        largest = 10**26 if is_seed else 10**12 if isinstance(value, int) else 1e39
        too_large, too_small = (field_problems(override(kind(), {key: number})) for number in (largest, -1))
        assert [problem for problem in too_large if problem.startswith(f"{key} = 1") and "at most" in problem], key
        assert [problem for problem in too_small if problem.startswith(f"{key} = -1") and "at least" in problem], key


def test_the_largest_seed_is_a_tables_largest_integer() -> None:
    assert field_problems(override(RunConfig(), {"seed": 2**63 - 1})) == []
    assert field_problems(override(RunConfig(), {"seed": 2**63})) == [
        "seed = 9223372036854775808: expected at most 9223372036854775807"
    ]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e400])
@pytest.mark.parametrize(("key", "expected"), [("training.epochs", "an integer"), ("optimizer.base_lr", "a number")])
def test_what_is_not_finite_is_no_number(key: str, expected: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{key} = .*: expected {expected}"):
        override(RunConfig(), {key: value})


def test_an_integer_that_no_float_holds_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.base_lr = 1000.*: expected a number"):
        override(RunConfig(), {"optimizer.base_lr": 10**400})


def test_too_few_images_for_a_batch_are_no_matter_without_training() -> None:
    few = override(RunConfig(), {"data.train_images": 100})

    assert problems_of(override(few, {"training.epochs": 0})) == []
