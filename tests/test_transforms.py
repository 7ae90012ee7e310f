"""Each transformation against torchvision or SciPy at the same parameters, closed forms, and the authors' numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import ndimage
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from simclr_core import transforms

GOLDEN = Path(__file__).parent / "golden"
SIZE = 32
COUNT = 24


def uniform(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Noise, and what trips HSV and clamping: black, white, gray, pure colours, equal channels, no blue."""
    images = uniform(COUNT, 3, SIZE, SIZE)
    images[0], images[1], images[2] = 0, 1, 0.3
    images[3] = images[3].round()
    images[4] = (images[4] * 3).round() / 3
    images[5] = images[5, :1]
    images[6, 2] = 0
    return images


def boxes(seed: int = 3) -> Tensor:
    """The whole image, single pixels at opposite corners, and others anywhere."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.randint(1, SIZE + 1, (COUNT, 2), generator=generator)
    corners = (torch.rand(COUNT, 2, generator=generator) * (SIZE - sides + 1)).long()
    boxes = torch.cat([corners, sides], dim=1)
    boxes[:3] = torch.tensor([[0, 0, SIZE, SIZE], [0, 0, 1, 1], [SIZE - 1, SIZE - 1, 1, 1]])
    return boxes


@pytest.mark.parametrize("size", [SIZE, 45])
def test_crop_resize_is_torchvision_s(images: Tensor, size: int) -> None:
    expected = [
        tv.resized_crop(image, *box, [size, size], antialias=True)
        for image, box in zip(images, boxes().tolist(), strict=True)
    ]

    assert_close(transforms.crop_resize(images, boxes(), size), torch.stack(expected), atol=5e-6, rtol=0)


def test_the_box_of_the_whole_image_changes_no_bit(images: Tensor) -> None:
    whole = torch.tensor([[0, 0, SIZE, SIZE]]).expand(COUNT, 4)

    assert torch.equal(transforms.crop_resize(images, whole, SIZE), images)


def test_a_crop_of_a_constant_is_that_constant() -> None:
    constant = torch.full((COUNT, 3, SIZE, SIZE), 0.7)

    assert_close(transforms.crop_resize(constant, boxes(), SIZE), constant, atol=1e-6, rtol=0)


def test_a_crop_does_not_see_the_pixels_around_its_box() -> None:
    images = torch.zeros(1, 3, SIZE, SIZE)
    images[:, :, 8:16, 4:20] = 1

    assert transforms.crop_resize(images, torch.tensor([[8, 4, 8, 16]]), SIZE).min() == pytest.approx(1)


def test_hflip_mirrors_the_chosen_ones(images: Tensor) -> None:
    flip = uniform(COUNT) < 0.5
    expected = torch.stack([tv.horizontal_flip(i) if f else i for i, f in zip(images, flip, strict=True)])

    assert torch.equal(transforms.hflip(images, flip), expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (transforms.adjust_brightness, tv.adjust_brightness, 0, 2),
        (transforms.adjust_contrast, tv.adjust_contrast, 0, 2),
        (transforms.adjust_saturation, tv.adjust_saturation, 0, 2),
        (transforms.adjust_hue, tv.adjust_hue, -0.5, 0.5),
    ],
)
def test_colour_operations_are_torchvision_s(
    images: Tensor,
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, float], Tensor],
    low: float,
    high: float,
) -> None:
    factors = uniform(COUNT, seed=1, low=low, high=high)
    expected = [theirs(image, factor) for image, factor in zip(images, factors.tolist(), strict=True)]

    assert_close(ours(images, factors), torch.stack(expected), atol=2e-6, rtol=0)


def test_hue_comes_round() -> None:
    images = uniform(2, 3, SIZE, SIZE)

    assert_close(transforms.adjust_hue(images, torch.tensor([1.0, -2.0])), images, atol=2e-6, rtol=0)
    assert_close(
        transforms.adjust_hue(images, torch.full((2,), 1 / 3)), images.roll(1, dims=1), atol=2e-6, rtol=0
    )  # a third of a turn: red's value to green, green's to blue


def test_grayscale_is_torchvision_s(images: Tensor) -> None:
    assert_close(transforms.grayscale(images), tv.rgb_to_grayscale(images, 3), atol=1e-6, rtol=0)


def test_color_jitter_takes_each_image_s_own_order(images: Tensor) -> None:
    orders = torch.tensor(np.array([np.random.default_rng(row).permutation(4) for row in range(COUNT)]))
    factors = torch.cat([uniform(COUNT, 3, low=0.2, high=1.8), uniform(COUNT, 1, low=-0.2, high=0.2)], dim=1)
    operations = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    expected = []
    for image, order, row in zip(images, orders.tolist(), factors.tolist(), strict=True):
        for operation in order:
            image = operations[operation](image, row[operation])  # noqa: PLW2901 - one after the other
        expected.append(image)

    assert_close(transforms.color_jitter(images, orders, factors), torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["random", "smooth"])
def test_colour_operations_are_the_authors_where_definitions_agree(name: str) -> None:
    """Gray, multiplied brightness (theirs is not clipped) and hue; contrast and saturation differ by definition."""
    golden = np.load(GOLDEN / f"06_color_ops_{name}.npz", allow_pickle=False)
    image = torch.from_numpy(golden["image"]).permute(2, 0, 1)

    def ours(operation: Callable[..., Tensor], *factors: np.ndarray) -> np.ndarray:
        count = len(factors[0]) if factors else 1
        batch = operation(image.expand(count, -1, -1, -1), *(torch.from_numpy(f).float() for f in factors))
        return batch.permute(0, 2, 3, 1).numpy()

    assert_allclose(ours(transforms.grayscale)[0], golden["grayscale"], atol=2e-6)
    brighter = ours(transforms.adjust_brightness, golden["brightness_factors"])
    assert_allclose(brighter, golden["brightness_mult"].clip(0, 1), atol=2e-6)
    assert_allclose(ours(transforms.adjust_hue, golden["hue_deltas"]), golden["hue"], atol=2e-6)


@pytest.mark.parametrize("radius", [1, 4, 11])
def test_gaussian_blur_is_torchvision_s(images: Tensor, radius: int) -> None:
    sigmas = uniform(COUNT, low=0.1, high=2)
    taps = 2 * radius + 1
    expected = [tv.gaussian_blur(i, [taps, taps], [s, s]) for i, s in zip(images, sigmas.tolist(), strict=True)]

    assert_close(transforms.gaussian_blur(images, sigmas, radius), torch.stack(expected), atol=1e-6, rtol=0)


def test_gaussian_blur_spreads_an_impulse_by_its_variance_and_keeps_its_sum() -> None:
    impulse = torch.zeros(3, 3, 65, 65)
    impulse[:, :, 32, 32] = 1
    sigmas = torch.tensor([0.05, 1.0, 2.5])
    blurred = transforms.gaussian_blur(impulse, sigmas, radius=16)
    offsets = torch.arange(65.0) - 32

    assert_close(blurred.sum((2, 3)), torch.ones(3, 3), atol=1e-5, rtol=0)
    variance = (blurred.sum(2) * offsets**2).sum(2)[:, 0]
    assert_close(variance[1:], sigmas[1:] ** 2, atol=0, rtol=0.001)
    assert torch.equal(blurred[0], impulse[0])


def test_gaussian_blur_is_the_authors_away_from_the_border() -> None:
    """They pad with zeros, which darkens the frame; within a radius of it the two differ."""
    golden = np.load(GOLDEN / "06_gaussian_blur.npz", allow_pickle=False)
    for number, (height, width, kernel, sigma) in enumerate(golden["configs_h_w_kernel_sigma"]):
        radius = int(kernel) // 2
        if radius == 0:  # one tap, no blur
            continue
        image = torch.from_numpy(golden[f"img{number}"]).permute(2, 0, 1)[None]
        blurred = transforms.gaussian_blur(image, torch.tensor([sigma]), radius)[0].permute(1, 2, 0).numpy()
        inside = np.s_[radius : int(height) - radius, radius : int(width) - radius]
        assert blurred[inside].size
        assert_allclose(blurred[inside], golden[f"out{number}"][inside], atol=2e-6)


def test_blur_radius_follows_the_authors_rule_except_that_it_always_blurs() -> None:
    golden = np.load(GOLDEN / "06_gaussian_blur.npz", allow_pickle=False)
    ours = [2 * transforms.blur_radius(int(height)) + 1 for height in golden["heights"]]

    assert ours == [max(3, int(taps)) for taps in golden["effective_kernel_for_height"]]


def test_cutout_fills_its_boxes_and_nothing_else(images: Tensor) -> None:
    cut = torch.tensor([[0, 0, 8, 16], [16, 16, 32, 32], [5, 5, 5, 9]])
    expected = images[:3].clone()
    expected[0, :, :8, :16] = 0.5
    expected[1, :, 16:, 16:] = 0.5

    assert torch.equal(transforms.cutout(images[:3], cut), expected)


def test_sobel_is_scipy_s(images: Tensor) -> None:
    gray = tv.rgb_to_grayscale(images, 1)[:, 0].double().numpy()
    gradients = [[ndimage.sobel(image, axis, mode="nearest") for image in gray] for axis in (0, 1)]
    ours = transforms.sobel(images)

    assert_allclose(ours[:, 0], np.hypot(*gradients) / (4 * np.sqrt(2)), atol=2e-6)
    assert torch.equal(ours[:, 0], ours[:, 1])
    assert torch.equal(ours[:, 0], ours[:, 2])


def test_sobel_of_the_steepest_edge_is_what_the_scale_promises() -> None:
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1

    assert transforms.sobel(edge).max() == pytest.approx(4 * 0.9999 / (4 * 2**0.5))  # the gray weights sum to .9999


def test_noise_has_each_image_s_sigma_and_stays_in_range() -> None:
    gray = torch.full((3, 3, 64, 64), 0.5)
    sigma = torch.tensor([0.0, 0.05, 0.1])
    noisy = transforms.add_noise(gray, sigma, torch.Generator().manual_seed(0))

    assert torch.equal(noisy[0], gray[0])
    assert_close(noisy.std((1, 2, 3))[1:], sigma[1:], atol=0, rtol=0.03)
    assert_close(noisy.mean((1, 2, 3)), torch.full((3,), 0.5), atol=0.005, rtol=0)
    loud = transforms.add_noise(gray, torch.full((3,), 2.0), torch.Generator().manual_seed(0))
    assert (loud.min(), loud.max()) == (0, 1)


def test_rotation_is_exact(images: Tensor) -> None:
    turns = torch.arange(COUNT) % 4
    expected = np.stack([np.rot90(image, turn, (1, 2)) for image, turn in zip(images.numpy(), turns, strict=True)])
    rotated = transforms.rotate(images, turns)

    assert np.array_equal(rotated.numpy(), expected)
    assert torch.equal(transforms.rotate(rotated, (4 - turns) % 4), images)


EVERY_OPERATION: dict[str, Callable[[Tensor], Tensor]] = {
    "crop_resize": lambda x: transforms.crop_resize(x, boxes(), SIZE),
    "hflip": lambda x: transforms.hflip(x, torch.ones(COUNT, dtype=torch.bool)),
    "color_jitter": lambda x: transforms.color_jitter(
        x, torch.arange(4).expand(COUNT, 4), torch.tensor([1.8, 1.8, 1.8, 0.2]).expand(COUNT, 4)
    ),
    "grayscale": transforms.grayscale,
    "gaussian_blur": lambda x: transforms.gaussian_blur(x, torch.ones(COUNT), 1),
    "cutout": lambda x: transforms.cutout(x, torch.tensor([[0, 0, 16, 16]]).expand(COUNT, 4)),
    "sobel": transforms.sobel,
    "add_noise": lambda x: transforms.add_noise(x, torch.ones(COUNT), torch.Generator().manual_seed(0)),
    "rotate": lambda x: transforms.rotate(x, torch.ones(COUNT, dtype=torch.long)),
}


@pytest.mark.parametrize("name", EVERY_OPERATION)
def test_results_stay_in_range_and_the_argument_as_it_was(images: Tensor, name: str) -> None:
    before = images.clone()
    out = EVERY_OPERATION[name](images)

    assert torch.equal(images, before)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("name", sorted(set(EVERY_OPERATION) - {"add_noise"}))
def test_an_image_s_result_does_not_depend_on_the_others(images: Tensor, name: str) -> None:
    other = uniform(*images.shape, seed=9)
    other[7] = images[7]

    assert torch.equal(EVERY_OPERATION[name](images)[7], EVERY_OPERATION[name](other)[7])
