"""Resizing against torchvision, a transcription of Keys' cubic, and the authors' numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from image_batches import COUNT, EPS, GOLDEN, SIZE, boxes, images, uniform
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from simclr_core.imaging.boxes import centre_box
from simclr_core.imaging.crops import centre_crop_resize, crop_resize, evaluation_view

WHOLE = torch.tensor([[0, 0, SIZE, SIZE]]).expand(COUNT, 4)


def golden_image(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def keys_matrix(length: int, size: int) -> NDArray[np.float64]:
    """(size, length): every output as a mean of the inputs, by Keys' formula at exact distances, weight by weight."""
    matrix = np.zeros((size, length))
    for row in range(size):
        place = (row + 0.5) * length / size - 0.5
        for column in range(max(0, math.floor(place) - 1), min(length, math.floor(place) + 3)):
            d = abs(place - column)
            if d < 1:
                matrix[row, column] = 1.5 * d**3 - 2.5 * d**2 + 1
            elif d < 2:
                matrix[row, column] = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        matrix[row] /= matrix[row].sum()
    return matrix


def rounding_of_places(power_of_two: int) -> float:
    """What float32 may change a bilinear crop by, where no side of the image exceeds this.

    A place is rounded eight times on its way to an axis from -1 to 1 and back to pixels, each time by half a unit in
    the last place of what is below the power of two; the image changes by 1 a pixel at most, along rows and columns.
    """
    return 2 * 8 * power_of_two / 4 * EPS


@pytest.mark.parametrize("size", [SIZE, 45])
def test_bilinear_is_torchvision_s(size: int) -> None:
    """Theirs in float64, so that ours alone rounds."""
    expected = [
        tv.resized_crop(image, *box, [size, size], antialias=True)
        for image, box in zip(images().double(), boxes().tolist(), strict=True)
    ]

    out = crop_resize(images(), boxes(), size).double()
    assert_close(out, torch.stack(expected), atol=rounding_of_places(SIZE), rtol=0)


@pytest.mark.parametrize("number", range(5))
def test_bicubic_is_the_authors(number: int) -> None:
    golden = np.load(GOLDEN / "06_crop_resize.npz", allow_pickle=False)
    _, _, height, width, *box = golden["crop_rows_H_W_h_w_y_x_ch_cw"][number].tolist()
    assert height == width
    out = crop_resize(golden_image(golden[f"img{number}"]), torch.tensor([box]), height, "bicubic")

    assert_close(out, golden_image(golden[f"out{number}"]), atol=3e-6, rtol=0)


@pytest.mark.parametrize("number", range(4))
def test_evaluation_is_the_authors(number: int) -> None:
    golden = np.load(GOLDEN / "06_crop_resize.npz", allow_pickle=False)
    height, width, size, _, *sides = golden["center_rows_H_W_h_w_ch_cw"][number].tolist()
    image = golden_image(golden[f"cimg{number}_u8"]) / 255

    assert list(centre_box(height, width)[2:]) == sides
    assert_close(centre_crop_resize(image, size), golden_image(golden[f"center{number}"]), atol=3e-6, rtol=0)
    assert_close(evaluation_view(image, size), golden_image(golden[f"eval{number}"]), atol=3e-6, rtol=0)


@pytest.mark.parametrize("size", [SIZE, 45, 10])
def test_bicubic_is_keys_cubic_within_the_rounding_of_tensorflow_s_table(size: int) -> None:
    """The manifest of the golden files gives 1.5e-3 for exact weights; both enlarging and shrinking."""
    expected = [
        keys_matrix(height, size) @ image[:, top : top + height, left : left + width] @ keys_matrix(width, size).T
        for image, (top, left, height, width) in zip(images().double().numpy(), boxes().tolist(), strict=True)
    ]

    assert_allclose(crop_resize(images(), boxes(), size, "bicubic").numpy(), np.stack(expected), atol=1.5e-3)


def test_bicubic_overshoots_and_is_not_clipped() -> None:
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    out = crop_resize(edge, torch.tensor([[0, 0, 8, 8]]), 32, "bicubic")

    assert out.max() > 1.05
    assert out.min() < -0.05


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_box_of_the_whole_image_changes_no_bit(interpolation: str) -> None:
    assert torch.equal(crop_resize(images(), WHOLE, SIZE, interpolation), images())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_of_a_constant_is_that_constant(interpolation: str) -> None:
    constant = torch.full((COUNT, 3, SIZE, SIZE), 0.7)

    assert_close(crop_resize(constant, boxes(), SIZE, interpolation), constant, atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_does_not_see_the_pixels_around_its_box(interpolation: str) -> None:
    images = torch.zeros(1, 3, SIZE, SIZE)
    images[:, :, 8:16, 4:20] = 1
    out = crop_resize(images, torch.tensor([[8, 4, 8, 16]]), SIZE, interpolation)

    assert_close(out, torch.ones(1, 3, SIZE, SIZE), atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_every_image_has_its_own_box(interpolation: str) -> None:
    other = uniform(COUNT, 3, SIZE, SIZE, seed=9)
    other[7] = images()[7]
    shuffled = boxes().roll(1, dims=0)
    shuffled[7] = boxes()[7]
    ours, theirs = (crop_resize(x, b, 20, interpolation)[7] for x, b in ((images(), boxes()), (other, shuffled)))

    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [SIZE, 20, 8])
def test_antialiased_is_torchvision_s_for_boxes_of_every_size(size: int, interpolation: str) -> None:
    mode = InterpolationMode(interpolation)
    expected = [
        tv.resized_crop(image, *box, [size, size], mode, antialias=True)
        for image, box in zip(images().double(), boxes().tolist(), strict=True)
    ]
    out = crop_resize(images(), boxes(), size, interpolation, antialias=True).double()

    assert_close(out, torch.stack(expected), atol=rounding_of_places(SIZE), rtol=0)


def test_images_need_not_be_square() -> None:
    image = uniform(1, 3, 40, 25)
    box = torch.tensor([[11, 2, 28, 23]])
    expected = tv.resized_crop(image.double(), *box[0].tolist(), [SIZE, SIZE], antialias=True)

    assert_close(crop_resize(image, box, SIZE).double(), expected, atol=rounding_of_places(64), rtol=0)
