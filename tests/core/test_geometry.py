"""The simplest transformations, and what all of them keep: range, argument, independence of the other images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from image_batches import COUNT, SIZE, boxes, images, uniform
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from simclr_core.imaging import color, crops, filters, geometry
from simclr_core.imaging.autoaugment import autoaugment


def test_hflip_mirrors_the_chosen_ones() -> None:
    flip = uniform(COUNT) < 0.5
    expected = torch.stack([tv.horizontal_flip(i) if f else i for i, f in zip(images(), flip, strict=True)])

    assert torch.equal(geometry.hflip(images(), flip), expected)


def standard_normal(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


def test_cutout_fills_its_boxes_and_nothing_else() -> None:
    cut = torch.tensor([[0, 0, 8, 16], [16, 16, 32, 32], [5, 5, 5, 9]])
    expected = images()[:3]
    expected[0, :, :8, :16] = 0.5
    expected[1, :, 16:, 16:] = 0.5

    assert torch.equal(geometry.cutout(images()[:3], cut), expected)


def test_noise_has_each_image_s_sigma_and_stays_in_range() -> None:
    gray = torch.full((3, 3, 64, 64), 0.5)
    sigma = torch.tensor([0.0, 0.05, 0.1])
    noisy = geometry.add_noise(gray, sigma, standard_normal(gray))

    assert torch.equal(noisy[0], gray[0])
    assert_close(noisy.std((1, 2, 3))[1:], sigma[1:], atol=0, rtol=0.03)
    assert_close(noisy.mean((1, 2, 3)), torch.full((3,), 0.5), atol=0.005, rtol=0)
    loud = geometry.add_noise(gray, torch.full((3,), 2.0), standard_normal(gray))
    assert (loud.min(), loud.max()) == (0, 1)


def test_rotation_is_exact() -> None:
    turns = torch.arange(COUNT) % 4
    expected = np.stack([np.rot90(image, turn, (1, 2)) for image, turn in zip(images().numpy(), turns, strict=True)])
    rotated = geometry.rotate(images(), turns)

    assert np.array_equal(rotated.numpy(), expected)
    assert torch.equal(geometry.rotate(rotated, (4 - turns) % 4), images())


def jitter(x: Tensor, *names: str) -> Tensor:
    factors = torch.tensor([0.8 if "add" in names else 1.8, 1.8, 1.8, 0.2])
    return color.color_jitter(x, torch.arange(4).expand(COUNT, 4), factors.expand(COUNT, 4), *names)


def drawn_autoaugment(x: Tensor) -> Tensor:
    policy = torch.arange(COUNT)
    return autoaugment(x, "cifar10", policy, torch.zeros(COUNT, 2, dtype=torch.float64), torch.ones(COUNT, 2).long())


EVERY_OPERATION: dict[str, Callable[[Tensor], Tensor]] = {
    "crop_resize": lambda x: crops.crop_resize(x, boxes(), SIZE),
    "evaluation_view": lambda x: crops.evaluation_view(x, SIZE),
    "hflip": lambda x: geometry.hflip(x, torch.ones(COUNT, dtype=torch.bool)),
    "color_jitter": jitter,
    "color_jitter_tensorflow": lambda x: jitter(x, "tensorflow", "add"),
    "grayscale": color.grayscale,
    "equalize": color.equalize,
    "solarize": color.solarize,
    "gaussian_blur": lambda x: filters.gaussian_blur(x, torch.ones(COUNT), 1),
    "gaussian_blur_zero": lambda x: filters.gaussian_blur(x, torch.ones(COUNT), 2, "zero"),
    "motion_blur": lambda x: filters.motion_blur(x, torch.full((COUNT,), 0.2), 3),
    "cutout": lambda x: geometry.cutout(x, torch.tensor([[0, 0, 16, 16]]).expand(COUNT, 4)),
    "sobel": filters.sobel,
    "add_noise": lambda x: geometry.add_noise(x, torch.ones(COUNT), standard_normal(x)),
    "rotate": lambda x: geometry.rotate(x, torch.ones(COUNT, dtype=torch.long)),
    "autoaugment": drawn_autoaugment,
}


@pytest.mark.parametrize("name", EVERY_OPERATION)
def test_results_stay_in_range_and_the_argument_as_it_was(name: str) -> None:
    argument = images()
    out = EVERY_OPERATION[name](argument)

    assert torch.equal(argument, images())
    assert out.shape == argument.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("name", sorted(set(EVERY_OPERATION) - {"add_noise"}))
def test_an_image_s_result_does_not_depend_on_the_others(name: str) -> None:
    other = uniform(COUNT, 3, SIZE, SIZE, seed=9)
    other[7] = images()[7]

    assert torch.equal(EVERY_OPERATION[name](images())[7], EVERY_OPERATION[name](other)[7])
