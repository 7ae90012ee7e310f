"""Filters against torchvision and SciPy, closed forms, and the authors' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_batches import COUNT, EPS, GOLDEN, SIZE, images, uniform
from numpy.testing import assert_allclose
from scipy import ndimage
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from simclr_core.imaging import filters


@pytest.mark.parametrize("radius", [1, 4, 11])
def test_gaussian_blur_is_torchvision_s(radius: int) -> None:
    """Theirs in float64, so that ours alone rounds: n taps, products and sums, along rows and then along columns.

    A tap errs by its exponential and what that is taken of, by the sum of n that divides it and by the division:
    (n + 6) half units of itself at most. The taps sum to 1, so a pass over values of at most 1 adds 2 n half units,
    for products and for sums.
    """
    sigmas = uniform(COUNT, low=0.1, high=2)
    taps = 2 * radius + 1
    pairs = zip(images().double(), sigmas.tolist(), strict=True)
    expected = [tv.gaussian_blur(image, [taps, taps], [sigma, sigma]) for image, sigma in pairs]

    atol = 2 * ((taps + 6) + 2 * taps) * EPS / 2
    assert_close(filters.gaussian_blur(images(), sigmas, radius).double(), torch.stack(expected), atol=atol, rtol=0)


def test_gaussian_blur_spreads_an_impulse_by_its_variance_and_keeps_its_sum() -> None:
    impulse = torch.zeros(3, 3, 65, 65)
    impulse[:, :, 32, 32] = 1
    sigmas = torch.tensor([0.05, 1.0, 2.5])
    blurred = filters.gaussian_blur(impulse, sigmas, radius=16)
    offsets = torch.arange(65.0) - 32

    assert_close(blurred.sum((2, 3)), torch.ones(3, 3), atol=1e-5, rtol=0)
    variance = (blurred.sum(2) * offsets**2).sum(2)[:, 0]
    assert_close(variance[1:], sigmas[1:] ** 2, atol=0, rtol=0.001)
    assert torch.equal(blurred[0], impulse[0])


@pytest.mark.parametrize("number", range(6))
def test_gaussian_blur_with_a_border_of_zeros_is_the_authors(number: int) -> None:
    golden = np.load(GOLDEN / "06_gaussian_blur.npz", allow_pickle=False)
    *_, kernel, sigma = golden["configs_h_w_kernel_sigma"][number]
    image = torch.from_numpy(golden[f"img{number}"]).permute(2, 0, 1)[None]
    blurred = filters.gaussian_blur(image, torch.tensor([sigma]), int(kernel) // 2, "zero")

    assert_allclose(blurred[0].permute(1, 2, 0), golden[f"out{number}"], atol=2e-6)


def test_gaussian_blur_of_a_batch_is_the_authors() -> None:
    """The file does not say with what; the settings of its first image, 3 taps and a sigma of .5, fit."""
    golden = np.load(GOLDEN / "06_gaussian_blur.npz", allow_pickle=False)
    batch = torch.from_numpy(golden["batch_in"]).permute(0, 3, 1, 2)
    blurred = filters.gaussian_blur(batch, torch.tensor([0.5]).expand(len(batch)), 1, "zero")

    assert_allclose(blurred.permute(0, 2, 3, 1), golden["batch_out"], atol=2e-6)


def test_borders_differ_within_a_radius_of_them_alone() -> None:
    sigmas = torch.full((COUNT,), 1.5)
    reflected, darkened = (filters.gaussian_blur(images(), sigmas, 4, border) for border in ("reflect", "zero"))

    assert_close(reflected[..., 4:-4, 4:-4], darkened[..., 4:-4, 4:-4], atol=1e-6, rtol=0)
    assert darkened[1, :, 0, 0].max() < 0.5 < darkened[1, :, 10, 10].min()  # image 1 is white


def test_the_blur_s_kernel_is_the_authors() -> None:
    golden = np.load(GOLDEN / "06_gaussian_blur.npz", allow_pickle=False)
    taps = [2 * filters.blur_radius(height) + 1 for height in golden["heights"].tolist()]

    assert taps == golden["effective_kernel_for_height"].tolist()


@pytest.mark.parametrize("radius", [1, 3, 11])
def test_motion_blur_is_scipy_s_samples_along_a_line(radius: int) -> None:
    angles = uniform(4, high=0.5, seed=1).double()
    blurred = filters.motion_blur(images()[6:10], angles, radius)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    for image, angle, ours in zip(images()[6:10].double().numpy(), angles.tolist(), blurred, strict=True):
        down, across = np.sin(2 * np.pi * angle), np.cos(2 * np.pi * angle)
        for channel in range(3):
            samples = [
                ndimage.map_coordinates(image[channel], [y + s * down, x + s * across], order=1, mode="nearest")
                for s in range(-radius, radius + 1)
            ]
            assert_allclose(ours[channel], np.mean(samples, axis=0), atol=1e-5)


def test_motion_blur_along_rows_and_columns_is_a_box() -> None:
    blurred = filters.motion_blur(images()[6:8], torch.tensor([0.0, 0.25]), 2)
    along = [ndimage.uniform_filter1d(images()[n].numpy(), 5, axis, mode="nearest") for n, axis in ((6, 2), (7, 1))]

    assert_allclose(blurred, np.stack(along), atol=1e-5)


def test_sobel_is_scipy_s() -> None:
    gray = tv.rgb_to_grayscale(images(), 1)[:, 0].double().numpy()
    gradients = [[ndimage.sobel(image, axis, mode="nearest") for image in gray] for axis in (0, 1)]
    ours = filters.sobel(images())

    assert_allclose(ours[:, 0], np.hypot(*gradients) / (4 * np.sqrt(2)), atol=2e-6)
    assert torch.equal(ours[:, 0], ours[:, 1])
    assert torch.equal(ours[:, 0], ours[:, 2])


def test_sobel_of_the_steepest_edge_is_what_the_scale_promises() -> None:
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1

    assert filters.sobel(edge).max() == pytest.approx(4 * 0.9999 / (4 * 2**0.5))  # the gray weights sum to .9999
