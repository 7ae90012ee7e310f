"""Standard views: the order of their transformations, in each of their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.v2 import functional as tv
from view_makers import NO_COLOUR, NUM_IMAGES, RELEASED, SIZE, maker, pair, random_pixels, table, views

from simclr_core.config.schema import ViewsConfig
from simclr_core.data.datasets import to_float
from simclr_core.imaging import color, filters, geometry
from simclr_core.imaging.crops import crop_resize
from simclr_core.views.maker import ADDED, ViewMaker


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_pixels()


def test_standard_views_are_crop_flip_jitter_gray_blur_in_this_order(images: Tensor) -> None:
    config = ViewsConfig()
    operations = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for branch, view in enumerate(views(images, config, epoch=2, seed=5), start=1):
        crop, colour, blur = (table(n, config, branch=branch, seed=5, epoch=2) for n in ("crop", "color", "blur"))
        for row in range(NUM_IMAGES):
            expected = tv.resized_crop(to_float(images[row]), *crop["box"][row].tolist(), [SIZE, SIZE], antialias=True)
            if crop["flip"][row]:
                expected = tv.horizontal_flip(expected)
            if colour["jitter"][row]:
                for number in colour["order"][row].tolist():
                    expected = operations[number](expected, colour["factors"][row, number].item())
            if colour["gray"][row]:
                expected = tv.rgb_to_grayscale(expected, 3)
            if blur["blur"][row]:
                expected = tv.gaussian_blur(expected, [3, 3], [blur["sigma"][row].item()] * 2)
            assert_close(view[row], expected, atol=2e-5, rtol=0)


def test_released_views_are_those_of_simclr_s_code(images: Tensor) -> None:
    """Image by image, from operations that hold the authors' numbers: a crop's overshoot is clipped after colour."""
    operations = (
        color.shift_brightness,
        color.adjust_channel_contrast,
        color.adjust_hsv_saturation,
        color.adjust_hue,
    )
    overshoots = 0
    for branch, view in enumerate(views(images, RELEASED, epoch=2, seed=5), start=1):
        crop, colour, blur = (table(n, RELEASED, branch=branch, seed=5, epoch=2) for n in ("crop", "color", "blur"))
        for row in range(NUM_IMAGES):
            expected = crop_resize(to_float(images[row : row + 1]), crop["box"][row : row + 1], SIZE, "bicubic")
            overshoots += bool((expected > 1).any() and (expected < 0).any())
            if crop["flip"][row]:
                expected = expected.flip(3)
            if colour["jitter"][row]:
                for number in colour["order"][row].tolist():
                    expected = operations[number](expected, colour["factors"][row, number][None])
            if colour["gray"][row]:
                expected = color.grayscale(expected)
            expected = expected.clamp(0, 1)
            if blur["blur"][row]:
                expected = filters.gaussian_blur(expected, blur["sigma"][row][None], 1, "zero")
            assert_close(view[row], expected[0], atol=2e-6, rtol=0)

    assert overshoots > NUM_IMAGES


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_below_20_pixels_the_authors_blur_is_none(border: str) -> None:
    pixels = torch.randint(0, 256, (NUM_IMAGES, 3, 16, 16), dtype=torch.uint8)
    config = ViewsConfig(crop_min_area=1, flip_probability=0, **NO_COLOUR | {"blur_probability": 1}, blur_border=border)
    make = ViewMaker(config, "none", NUM_IMAGES, 16, 0)
    make.start_epoch(0)
    view, _ = make(pixels, torch.arange(NUM_IMAGES), 0)

    assert torch.equal(view, to_float(pixels)) == (border == "zero")


@pytest.mark.parametrize("name", ["imagenet", "cifar10"])
def test_autoaugment_stands_in_the_place_of_colour_and_blur(
    images: Tensor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ViewsConfig(distortion=f"autoaugment_{name}", jitter_probability=1, gray_probability=1, blur_probability=1)
    policy = AutoAugment(AutoAugmentPolicy(name))
    for branch, view in enumerate(views(images, config), start=1):
        drawn = table("autoaugment", config, branch=branch)
        crop = table("crop", config, branch=branch)
        for row in range(NUM_IMAGES):
            expected = tv.resized_crop(to_float(images[row]), *crop["box"][row].tolist(), [SIZE, SIZE], antialias=True)
            if crop["flip"][row]:
                expected = tv.horizontal_flip(expected)
            draws = (int(drawn["policy"][row]), drawn["chances"][row], drawn["signs"][row])
            monkeypatch.setattr(AutoAugment, "get_params", lambda *_, draws=draws: draws)
            whole = (view[row] * 255).round()
            assert_close(view[row] * 255, whole, atol=1e-4, rtol=0)
            wrong = (whole - policy((expected * 255).round().byte())).abs() > 1
            assert wrong.float().mean() < 0.1  # rounding before it may fall either way, which a threshold shows


def test_a_bicubic_crop_is_clipped_where_no_colour_follows(images: Tensor) -> None:
    config = pair("crop", "blur", crop_interpolation="bicubic", blur_probability=0, base_crop="none")
    box = table("crop", config, branch=1)["box"]
    overshooting = crop_resize(to_float(images), box, SIZE, "bicubic")
    expected = geometry.hflip(overshooting.clamp(0, 1), table("crop", config, branch=1)["flip"])

    assert overshooting.max() > 1
    assert torch.equal(views(images, config)[0], expected)


ADDED_OPERATIONS = {
    "equalize": lambda x, _: color.equalize(x),
    "solarize": lambda x, _: color.solarize(x),
    "motion_blur": lambda x, rows: filters.motion_blur(x, rows["angle"], 1),
    "sobel": lambda x, _: filters.sobel(x),
    "rotate": lambda x, rows: geometry.rotate(x, rows["turns"]),
}


@pytest.mark.parametrize("name", ADDED_OPERATIONS)
def test_added_transformations_come_last_where_their_coin_says_so_and_shift_no_other_draw(
    images: Tensor, name: str
) -> None:
    config = ViewsConfig(**{f"{name}_probability": 0.5})
    make = maker(config)
    plain = views(images, ViewsConfig())
    for branch, view in enumerate(make(images, torch.arange(NUM_IMAGES), 0), start=1):
        rows = make._tables[branch - 1][name]
        changed = ADDED_OPERATIONS[name](plain[branch - 1], rows)
        assert 10 < rows["chosen"].sum() < 38
        assert_close(view, torch.where(rows["chosen"][:, None, None, None], changed, plain[branch - 1]))
        assert torch.equal(view[~rows["chosen"]], plain[branch - 1][~rows["chosen"]])


def test_added_noise_has_the_drawn_sigma() -> None:
    grays = torch.full((NUM_IMAGES, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    make = maker(ViewsConfig(noise_probability=0.5, **NO_COLOUR))
    view, _ = make(grays, torch.arange(NUM_IMAGES), 0)
    rows = make._tables[0]["noise"]
    sigma = rows["sigma"] * rows["chosen"]

    few = sigma < 0.15  # far from where values are clipped
    assert few.sum() > 20
    assert_close(view[few].std((1, 2, 3)), sigma[few], atol=0.002, rtol=0.05)


def test_several_added_transformations_are_applied_in_their_order(images: Tensor) -> None:
    config = ViewsConfig(**{f"{name}_probability": 1 for name in ADDED if name != "noise"}, noise_probability=0)
    make = maker(config)
    for branch, expected in enumerate(views(images, ViewsConfig()), start=1):
        for name in ("equalize", "solarize", "motion_blur", "sobel", "rotate"):
            expected = ADDED_OPERATIONS[name](expected, make._tables[branch - 1][name])  # noqa: PLW2901
        assert_close(make(images, torch.arange(NUM_IMAGES), 0)[branch - 1], expected)


def test_nothing_is_added_in_a_pair(images: Tensor) -> None:
    config = pair("crop", "color", **{f"{name}_probability": 1 for name in ADDED})

    for ours, plain in zip(views(images, config), views(images, pair("crop", "color")), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize(
    ("normalization", "mean", "std"),
    [
        ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("cifar10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ],
)
def test_views_are_normalised_last(images: Tensor, normalization: str, mean: list[float], std: list[float]) -> None:
    rows = torch.arange(NUM_IMAGES)
    plain = maker(ViewsConfig())(images, rows, 0)
    normalised = maker(ViewsConfig(), normalization=normalization)(images, rows, 0)

    for ours, view in zip(normalised, plain, strict=True):
        assert_close(ours, tv.normalize(view, mean, std), atol=1e-6, rtol=0)
