"""Colour operations against torchvision, Pillow and scikit-image at the same parameters, and the authors' numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from image_batches import COUNT, EPS, GOLDEN, SIZE, images, uniform
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image, ImageOps
from skimage.color import hsv2rgb, rgb2hsv
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from simclr_core.data.datasets import to_float
from simclr_core.imaging import color

ORDERS = torch.tensor(np.array([np.random.default_rng(row).permutation(4) for row in range(COUNT)]))


def golden_images(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(array).movedim(-1, -3)


OF_HUE = 24 * EPS
"""Of an adjusted hue in float32, the longest of the operations: half a unit in the last place for each of three
differences of channels, their quotient and the 2 added to it (up to 4), then six times that for the hue, its turn, the
channel's offset and the distance (up to 1), as depth falls by six of chroma a turn; the last two are below 1."""


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (color.adjust_brightness, tv.adjust_brightness, 0, 2),
        (color.adjust_contrast, tv.adjust_contrast, 0, 2),
        (color.adjust_saturation, tv.adjust_saturation, 0, 2),
        (color.adjust_hue, tv.adjust_hue, -0.5, 0.5),
    ],
)
def test_colour_operations_are_torchvision_s(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], low: float, high: float
) -> None:
    """Theirs in float64, so that ours alone rounds."""
    factors = uniform(COUNT, seed=1, low=low, high=high)
    expected = [theirs(image, factor) for image, factor in zip(images().double(), factors.tolist(), strict=True)]

    assert_close(ours(images(), factors).double(), torch.stack(expected), atol=OF_HUE, rtol=0)


@pytest.mark.parametrize("name", ["random", "smooth"])
@pytest.mark.parametrize(
    ("operation", "factors", "result"),
    [
        (color.adjust_brightness, "brightness_factors", "brightness_mult"),
        (color.shift_brightness, "brightness_deltas", "brightness_add"),
        (color.adjust_channel_contrast, "contrast_factors", "contrast"),
        (color.adjust_hsv_saturation, "saturation_factors", "saturation"),
        (color.adjust_hue, "hue_deltas", "hue"),
    ],
)
def test_colour_operations_are_the_authors(
    name: str, operation: Callable[[Tensor, Tensor], Tensor], factors: str, result: str
) -> None:
    """Their arrays are not clipped; a jitter clips after every operation, and so do ours."""
    golden = np.load(GOLDEN / f"06_color_ops_{name}.npz", allow_pickle=False)
    values = torch.from_numpy(golden[factors])
    out = operation(golden_images(golden["image"]).expand(len(values), -1, -1, -1), values)

    assert_close(out, golden_images(golden[result].clip(0, 1)), atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", ["random", "smooth"])
def test_grayscale_is_the_authors(name: str) -> None:
    golden = np.load(GOLDEN / f"06_color_ops_{name}.npz", allow_pickle=False)
    out = color.grayscale(golden_images(golden["image"])[None])

    assert_close(out[0], golden_images(golden["grayscale"]), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("brightness", "result"), [("multiply", "out_v2"), ("add", "out_v1")])
def test_jitter_is_the_authors_in_all_24_orders(brightness: str, result: str) -> None:
    golden = np.load(GOLDEN / "06_color_jitter_compose.npz", allow_pickle=False)
    multiply, contrast, saturation, hue, add = golden["factors"].tolist()
    factors = torch.tensor([{"multiply": multiply, "add": add}[brightness], contrast, saturation, hue])
    image = golden_images(golden["image"])
    orders = torch.from_numpy(golden["perms"])
    out = color.color_jitter(
        image.expand(24, -1, -1, -1), orders, factors.expand(24, 4), definition="tensorflow", brightness=brightness
    )

    assert_close(out, golden_images(golden[result]), atol=3e-6, rtol=0)


def test_the_fixed_order_of_the_paper_s_listing_is_the_authors() -> None:
    golden = np.load(GOLDEN / "06_color_jitter_compose.npz", allow_pickle=False)
    factors = torch.from_numpy(golden["factors"][:4])[None]
    image = golden_images(golden["image"])[None]
    out = color.color_jitter(image, torch.arange(4)[None], factors, definition="tensorflow")

    assert_close(out[0], golden_images(golden["out_fixed_order_v2"]), atol=3e-6, rtol=0)


def test_hue_comes_round() -> None:
    colours = uniform(2, 3, SIZE, SIZE)

    assert_close(color.adjust_hue(colours, torch.tensor([1.0, -2.0])), colours, atol=OF_HUE, rtol=0)
    assert_close(
        color.adjust_hue(colours, torch.full((2,), 1 / 3)), colours.roll(1, dims=1), atol=OF_HUE, rtol=0
    )  # a third of a turn: red's value to green, green's to blue


def test_hsv_saturation_is_scikit_image_s() -> None:
    factors = uniform(COUNT, seed=2, high=2.5)
    expected = []
    for image, factor in zip(images().permute(0, 2, 3, 1).double().numpy(), factors.tolist(), strict=True):
        hsv = rgb2hsv(image)
        hsv[..., 1] = (hsv[..., 1] * factor).clip(0, 1)
        expected.append(hsv2rgb(hsv))

    out = color.adjust_hsv_saturation(images(), factors).permute(0, 2, 3, 1)
    assert_allclose(out.numpy(), np.stack(expected), atol=2e-6)


def test_hsv_saturation_of_values_below_zero_leaves_no_colour() -> None:
    """What a bicubic crop may hand it: TensorFlow gives a pixel without a positive channel no saturation."""
    dark = torch.tensor([-0.1, -0.3, -0.2])[None, :, None, None]

    assert torch.equal(color.adjust_hsv_saturation(dark, torch.tensor([1.5])), torch.zeros(1, 3, 1, 1))


def test_channel_contrast_is_about_each_channel_s_own_mean() -> None:
    flat = torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(1, 3, 8, 8)

    assert_close(color.adjust_channel_contrast(flat, torch.tensor([1.8])), flat, atol=1e-6, rtol=0)
    assert (color.adjust_contrast(flat, torch.tensor([1.8])) - flat).abs().max() > 0.05


def test_grayscale_is_torchvision_s() -> None:
    assert_close(color.grayscale(images()), tv.rgb_to_grayscale(images(), 3), atol=1e-6, rtol=0)


TENSORFLOW = (color.adjust_channel_contrast, color.adjust_hsv_saturation)


def one_by_one(operations: tuple[Any, ...], factors: Tensor) -> Tensor:
    expected = []
    for image, order, row in zip(images(), ORDERS.tolist(), factors, strict=True):
        for operation in order:
            image = operations[operation](image[None], row[operation][None])[0]  # noqa: PLW2901 - one after the other
        expected.append(image)
    return torch.stack(expected)


def test_color_jitter_takes_each_image_s_own_order() -> None:
    factors = torch.cat([uniform(COUNT, 3, low=0.2, high=1.8), uniform(COUNT, 1, low=-0.2, high=0.2)], dim=1)
    named = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    operations = tuple(lambda image, factor, f=f: f(image, factor.item()) for f in named)

    assert_close(color.color_jitter(images(), ORDERS, factors), one_by_one(operations, factors), atol=1e-5, rtol=0)


def test_one_pass_gives_the_bits_of_one_operation_after_the_other() -> None:
    factors = torch.cat([uniform(COUNT, 3, low=0.2, high=1.8), uniform(COUNT, 1, low=-0.2, high=0.2)], dim=1)
    operations = (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation, color.adjust_hue)

    assert torch.equal(color.color_jitter(images(), ORDERS, factors), one_by_one(operations, factors))


@pytest.mark.parametrize("definition", ["torchvision", "tensorflow"])
@pytest.mark.parametrize("brightness", ["multiply", "add"])
def test_definition_and_brightness_choose_the_operations(definition: str, brightness: str) -> None:
    factors = torch.cat([uniform(COUNT, 3, low=0.2, high=1.8), uniform(COUNT, 1, low=-0.2, high=0.2)], dim=1)
    if brightness == "add":
        factors[:, 0] -= 1
    first = color.adjust_brightness if brightness == "multiply" else color.shift_brightness
    middle = TENSORFLOW if definition == "tensorflow" else (color.adjust_contrast, color.adjust_saturation)
    out = color.color_jitter(images(), ORDERS, factors, definition, brightness)

    assert_close(out, one_by_one((first, *middle, color.adjust_hue), factors), atol=1e-6, rtol=0)


def test_equalize_is_pillow_s() -> None:
    pixels = torch.randint(0, 256, (6, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[1] //= 4
    pixels[2] = 77
    pixels[3, :, :16] = 200
    expected = [np.asarray(ImageOps.equalize(Image.fromarray(p.permute(1, 2, 0).numpy()))) for p in pixels]

    assert_allclose(color.equalize(to_float(pixels)).permute(0, 2, 3, 1) * 255, np.stack(expected), atol=1e-4)


def test_solarize_is_torchvision_s() -> None:
    assert_close(color.solarize(images()), tv.solarize(images(), 0.5), atol=1e-7, rtol=0)
    assert color.solarize(torch.full((1, 3, 1, 1), 0.51)).unique().tolist() == [pytest.approx(0.49)]
    assert color.solarize(torch.full((1, 3, 1, 1), 0.49)).unique().tolist() == [pytest.approx(0.49)]


def test_to_uint8_rounds_to_the_nearest_and_undoes_to_float() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)

    assert torch.equal(color.to_uint8(to_float(every)), every)
    assert color.to_uint8(torch.tensor([0.4 / 255, 0.6 / 255, 254.6 / 255])).tolist() == [0, 1, 255]
