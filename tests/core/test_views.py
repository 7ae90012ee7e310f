"""What a view depends on: its image, seed, epoch and branch, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv
from view_makers import NO_COLOUR, NUM_IMAGES, RELEASED, SIZE, maker, pair, random_pixels, table, views

from simclr_core.config.schema import TRANSFORMATIONS, ViewsConfig
from simclr_core.data.datasets import to_float
from simclr_core.seeding import derive, generator
from simclr_core.views.maker import ADDED


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_pixels()


EVERY_CHAIN = [
    ViewsConfig(),
    RELEASED,
    ViewsConfig(distortion="autoaugment_cifar10", crop_interpolation="bicubic"),
    ViewsConfig(**{f"{name}_probability": 0.5 for name in ADDED if name != "noise"}),
    ViewsConfig(noise_probability=0.5),
    *(pair(name, name) for name in TRANSFORMATIONS),
    pair("crop", "color", branches="both", crop_interpolation="bicubic"),
    pair("rotate", "blur", base_crop="none"),
]
WITHOUT_NOISE = [c for c in EVERY_CHAIN if not c.noise_probability and "noise" not in (c.first, c.second)]


@pytest.mark.parametrize("config", WITHOUT_NOISE, ids=str)
def test_a_view_does_not_depend_on_its_batch(images: Tensor, config: ViewsConfig) -> None:
    make = maker(config)
    whole = make(images, torch.arange(NUM_IMAGES), 0)
    order = torch.randperm(NUM_IMAGES, generator=torch.Generator().manual_seed(1))

    for rows in (order, order[:7], order[:1]):
        part = make(images[rows], rows, 5)
        for one, all_ in zip(part, whole, strict=True):
            assert_close(one, all_[rows], atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", EVERY_CHAIN, ids=str)
def test_views_come_again_for_the_same_seed_and_epoch_in_any_order(images: Tensor, config: ViewsConfig) -> None:
    first = views(images, config, epoch=3, step=8)
    make = maker(config, epoch=7)
    make(images, torch.arange(NUM_IMAGES), 1)
    make.start_epoch(3)
    again = make(images, torch.arange(NUM_IMAGES), 8)

    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_seeds_epochs_branches_and_images_draw_their_own(images: Tensor) -> None:
    copies = images[:1].expand(NUM_IMAGES, -1, -1, -1)
    config = ViewsConfig()
    view_1, view_2 = views(copies, config)

    assert len({view.numpy().tobytes() for view in (*view_1, *view_2)}) == 2 * NUM_IMAGES
    for other in (views(copies, config, epoch=1), views(copies, config, seed=1)):
        assert not (other[0] == view_1).flatten(1).all(1).any()


def test_pixel_noise_is_drawn_by_step_and_branch() -> None:
    grays = torch.full((NUM_IMAGES, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    config = pair("noise", "noise", branches="both", noise_max_sigma=0.1)  # far from where values are clipped
    once, again, later = views(grays, config), views(grays, config), views(grays, config, step=1)

    assert torch.equal(once[0], again[0])
    drawn = torch.stack([view.flatten() for view in (*once, *later)])
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.02


def test_one_sigma_blurs_a_batch_and_is_drawn_by_step_and_branch(images: Tensor) -> None:
    """The authors' code: 200 equal images give at most two results a view. Without a jitter, they are all equal."""
    copies = images[:1].expand(NUM_IMAGES, -1, -1, -1)
    config = ViewsConfig(
        crop_min_area=1, flip_probability=0, jitter_probability=0, gray_probability=0, blur_sigma_per="batch"
    )
    make = maker(config)
    rows = torch.arange(NUM_IMAGES)
    blurred = set()
    for step in range(3):
        for branch, view in enumerate(make(copies, rows, step), start=1):
            chosen = table("blur", config, branch=branch)["blur"]
            assert torch.equal(view[~chosen], to_float(copies)[~chosen])
            assert len(view[chosen].unique(dim=0)) == 1
            blurred.add(view[chosen][0].numpy().tobytes())
            sigma = 0.1 + 1.9 * torch.rand(1, dtype=torch.float64, generator=generator(0, "blur_sigma", step, branch))
            expected = tv.gaussian_blur(to_float(copies[0]), [3, 3], [sigma.item()] * 2)
            assert_close(view[chosen][0], expected, atol=1e-6, rtol=0)

    assert len(blurred) == 6  # three steps, two branches
    half = [make(copies[:24], part, 0)[0] for part in (rows[:24], rows[24:])]
    assert torch.equal(torch.cat(half), make(copies, rows, 0)[0])  # whoever sees a part of the batch has its sigma


def test_the_sigma_of_a_batch_is_uniform() -> None:
    grays = torch.zeros(NUM_IMAGES, 3, SIZE, SIZE, dtype=torch.uint8)
    grays[..., 16] = 255
    config = ViewsConfig(crop_min_area=1, **NO_COLOUR | {"blur_probability": 1}, blur_sigma_per="batch")
    make = maker(config)
    peaks = torch.tensor([make(grays[:1], torch.arange(1), step)[0].max() for step in range(250)])
    sigma = (-0.5 / ((1 - peaks) / 2 / peaks).clamp(min=1e-30).log()).sqrt()  # of taps e, 1, e over 1 + 2e

    assert stats.kstest(sigma[sigma > 0.3], stats.uniform(0.3, 1.7).cdf).pvalue > 0.001
    assert (sigma <= 0.3).float().mean() == pytest.approx(0.2 / 1.9, abs=0.06)


def test_derived_seeds_are_fixed_and_names_do_not_run_together() -> None:
    assert derive(0, "views", 0, 1, "crop") == 4_788_819_077_086_216_854
    assert len({derive(1, "a", "b"), derive(1, "ab"), derive(1, "a,b"), derive(1, "1"), derive(1, 1), derive(11)}) == 6
    assert all(0 <= derive(seed, "x") < 2**63 for seed in range(100))


@pytest.mark.parametrize("config", EVERY_CHAIN, ids=str)
def test_views_are_float32_in_range_without_gradient(images: Tensor, config: ViewsConfig) -> None:
    for view in views(images, config):
        assert view.shape == images.shape
        assert view.dtype == torch.float32
        assert not view.requires_grad
        assert 0 <= view.min() <= view.max() <= 1
