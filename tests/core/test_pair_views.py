"""Pairs of transformations: the protocol of SimCLR's Fig. 5."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from view_makers import SIZE, SQUARES, pair, random_pixels, table, views

from simclr_core.config.schema import TRANSFORMATIONS, ViewsConfig
from simclr_core.data.datasets import to_float
from simclr_core.imaging import filters, geometry
from simclr_core.imaging.boxes import draw_boxes
from simclr_core.imaging.crops import crop_resize
from simclr_core.seeding import generator


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_pixels()


@pytest.mark.parametrize("first", TRANSFORMATIONS)
def test_branch_2_of_a_one_sided_pair_is_the_base_crop_alone(images: Tensor, first: str) -> None:
    boxes = draw_boxes(SQUARES, 0.08, generator(0, "views", 0, "both", "crop"))
    base = crop_resize(to_float(images), boxes, SIZE)
    view_1, view_2 = views(images, pair(first, "color" if first == "crop" else "crop"))

    assert torch.equal(view_2, base)
    assert not torch.equal(view_1, base)


def test_a_bicubic_base_crop_is_clipped(images: Tensor) -> None:
    boxes = draw_boxes(SQUARES, 0.08, generator(0, "views", 0, "both", "crop"), "tensorflow")
    base = crop_resize(to_float(images), boxes, SIZE, "bicubic")
    _, view_2 = views(images, pair("crop", "color", crop_law="tensorflow", crop_interpolation="bicubic"))

    assert base.max() > 1
    assert torch.equal(view_2, base.clamp(0, 1))


def test_both_branches_share_the_base_crop(images: Tensor) -> None:
    view_1, view_2 = views(images, pair("color", "color", jitter_probability=0, gray_probability=0))

    assert torch.equal(view_1, view_2)
    assert not torch.equal(view_1, to_float(images))


def test_without_a_base_crop_branch_2_is_the_image(images: Tensor) -> None:
    assert torch.equal(views(images, pair("rotate", "crop", base_crop="none"))[1], to_float(images))


def test_a_pair_is_applied_first_then_second(images: Tensor) -> None:
    one_way = views(images, pair("sobel", "cutout", base_crop="none"))[0]
    other_way = views(images, pair("cutout", "sobel", base_crop="none"))[0]
    box = table("cutout", ViewsConfig(), branch=1)["box"]

    assert torch.equal(one_way, geometry.cutout(filters.sobel(to_float(images)), box))
    assert torch.equal(other_way, filters.sobel(geometry.cutout(to_float(images), box)))


def test_a_transformation_paired_with_itself_is_applied_once(images: Tensor) -> None:
    once = views(images, pair("rotate", "rotate", base_crop="none"))[0]
    turns = table("rotate", ViewsConfig(), branch=1)["turns"]

    assert torch.equal(once, geometry.rotate(to_float(images), turns))


def test_on_both_branches_each_draws_its_own_after_the_shared_crop(images: Tensor) -> None:
    view_1, view_2 = views(images, pair("rotate", "rotate", branches="both"))
    base = views(images, pair("rotate", "rotate"))[1]

    for view in (view_1, view_2):
        turned = [any(torch.equal(v, b.rot90(k, (1, 2))) for k in range(4)) for v, b in zip(view, base, strict=True)]
        assert all(turned)
    assert not torch.equal(view_1, view_2)


def test_the_crop_of_a_pair_flips_and_the_base_crop_does_not(images: Tensor) -> None:
    config = pair("crop", "crop", crop_min_area=1, flip_probability=1)  # both boxes are the whole image
    view_1, view_2 = views(images, config)

    assert torch.equal(view_2, to_float(images))
    assert torch.equal(view_1, view_2.flip(3))
