"""Images that are read as a stream, and what was done to a view, for the probe of SimCLR's Table 3."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from view_makers import NO_COLOUR, NUM_IMAGES, RELEASED, SIZE, SQUARES, maker, random_pixels, views

from simclr_core.config.options import ConfigError
from simclr_core.config.schema import ViewsConfig
from simclr_core.data.datasets import to_float
from simclr_core.imaging import color
from simclr_core.imaging.boxes import draw_boxes
from simclr_core.imaging.crops import crop_resize
from simclr_core.seeding import generator
from simclr_core.views.maker import ViewMaker


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_pixels()


SIZES = torch.stack([torch.arange(NUM_IMAGES) * 3 + 20, torch.arange(NUM_IMAGES).flip(0) * 5 + 9], dim=1)


@pytest.mark.parametrize("law", ["torchvision", "tensorflow"])
def test_crop_boxes_are_of_the_source_images(law: str) -> None:
    config = ViewsConfig(crop_law=law)
    make = ViewMaker(config, "none", NUM_IMAGES, SIZE, 4, source_sizes=SIZES)
    make.start_epoch(6)
    rows = torch.tensor([5, 40, 0])
    boxes = make.crop_boxes(rows)

    assert boxes.dtype == torch.int64
    assert boxes.shape == (3, 2, 4)
    for branch in (1, 2):
        expected = draw_boxes(SIZES, 0.08, generator(4, "views", 6, branch, "crop"), law)
        assert torch.equal(boxes[:, branch - 1], expected[rows])
    assert (boxes[..., :2] + boxes[..., 2:] <= SIZES[rows][:, None]).all()


def test_views_cropped_by_the_reader_are_those_cropped_here(images: Tensor) -> None:
    """To the rounding of a crop to whole numbers; a flip and a quarter turn keep it as it is."""
    config = ViewsConfig(**NO_COLOUR, rotate_probability=1)
    make = maker(config)
    rows = torch.arange(NUM_IMAGES)
    boxes = make.crop_boxes(rows)
    cropped = [color.to_uint8(crop_resize(to_float(images), boxes[:, branch], SIZE)) for branch in (0, 1)]

    for ours, expected in zip(make(cropped, rows, 0), make(images, rows, 0), strict=True):
        assert_close(ours, expected, atol=0.5 / 255 + 1e-6, rtol=0)


@pytest.mark.parametrize("config", [ViewsConfig(), RELEASED], ids=["default", "released"])
def test_a_streamed_view_goes_through_all_but_the_crop(images: Tensor, config: ViewsConfig) -> None:
    """The same pixels, streamed and as whole images that fill their boxes, give the same views."""
    make = ViewMaker(config, "cifar10", NUM_IMAGES, SIZE, 0, source_sizes=SIZES)
    make.start_epoch(1)
    order = torch.randperm(NUM_IMAGES, generator=torch.Generator().manual_seed(2))[:20]
    whole = ViewMaker(config, "cifar10", NUM_IMAGES, SIZE, 0)
    whole.start_epoch(1)
    for branch_tables in whole._tables:
        branch_tables["crop"]["box"] = torch.tensor([[0, 0, SIZE, SIZE]]).expand(NUM_IMAGES, 4)

    streamed = make([images[order], images[order]], order, 3)
    for ours, expected in zip(streamed, whole(images[order], order, 3), strict=True):
        assert torch.equal(ours, expected)


def test_each_branch_gets_its_own_streamed_view(images: Tensor) -> None:
    config = ViewsConfig(flip_probability=0, **NO_COLOUR)
    view_1, view_2 = maker(config)([images, images.flip(0)], torch.arange(NUM_IMAGES), 0)

    assert torch.equal(view_1, to_float(images))
    assert torch.equal(view_2, to_float(images.flip(0)))


def test_source_sizes_of_squares_change_nothing(images: Tensor) -> None:
    make = ViewMaker(ViewsConfig(), "none", NUM_IMAGES, SIZE, 0, source_sizes=SQUARES)
    make.start_epoch(0)

    for ours, plain in zip(make(images, torch.arange(NUM_IMAGES), 0), views(images, ViewsConfig()), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize("branch", [1, 2])
def test_labels_of_colour_are_the_gray_views(images: Tensor, branch: int) -> None:
    make = maker(ViewsConfig(gray_probability=0.5), epoch=3)
    view = make(images, torch.arange(NUM_IMAGES), 0)[branch - 1]
    labels = make.labels("color", branch)

    assert labels.dtype == torch.int64
    assert labels.tolist() == (view == view[:, :1]).flatten(1).all(1).long().tolist()
    assert 10 < labels.sum() < 38


@pytest.mark.parametrize("branch", [1, 2])
@pytest.mark.parametrize("probability", [0.6, 1.0])
def test_labels_of_rotation_are_the_turns(images: Tensor, branch: int, probability: float) -> None:
    make = maker(ViewsConfig(rotate_probability=probability), epoch=3)
    view = make(images, torch.arange(NUM_IMAGES), 0)[branch - 1]
    plain = views(images, ViewsConfig(), epoch=3)[branch - 1]
    labels = make.labels("rotate", branch)

    assert set(labels.tolist()) == {0, 1, 2, 3}
    for row, turns in enumerate(labels.tolist()):
        assert torch.equal(view[row], plain[row].rot90(turns, (1, 2)))


@pytest.mark.parametrize("branch", [1, 2])
@pytest.mark.parametrize("task", ["noise", "sobel"])
def test_labels_of_noise_and_sobel_are_where_the_view_differs(images: Tensor, branch: int, task: str) -> None:
    make = maker(ViewsConfig(**{f"{task}_probability": 0.5}), epoch=3)
    view = make(images, torch.arange(NUM_IMAGES), 0)[branch - 1]
    plain = views(images, ViewsConfig(), epoch=3)[branch - 1]
    differs = (view != plain).flatten(1).any(1)

    assert make.labels(task, branch).tolist() == differs.long().tolist()
    assert 10 < differs.sum() < 38


def test_labels_change_with_the_epoch_and_the_branch() -> None:
    make = maker(ViewsConfig(rotate_probability=1))
    first = make.labels("rotate", 1)
    assert not torch.equal(first, make.labels("rotate", 2))
    make.start_epoch(1)
    assert not torch.equal(first, make.labels("rotate", 1))


@pytest.mark.parametrize(
    ("task", "config", "expected"),
    [
        ("rotate", ViewsConfig(), "views.rotate_probability above 0"),
        ("color", ViewsConfig(distortion="autoaugment_cifar10"), "views.distortion = 'color'"),
    ],
)
def test_a_probe_of_what_is_never_applied_is_refused(task: str, config: ViewsConfig, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"task = '{task}'.*{expected}"):
        maker(config).labels(task, 1)


def test_of_a_pair_the_reader_makes_the_shared_crop(images: Tensor) -> None:
    """The same base crops, made beforehand, give the same views: of the crop in the pair too."""
    config = ViewsConfig(kind="pair", first="blur", second="crop", blur_probability=1.0)
    whole = maker(config)
    streamed = ViewMaker(
        config, "none", NUM_IMAGES, images.shape[3], 0, source_sizes=torch.full((NUM_IMAGES, 2), images.shape[3])
    )
    streamed.start_epoch(0)
    indices = torch.arange(NUM_IMAGES)
    boxes = streamed.crop_boxes(indices)
    assert boxes.shape == (NUM_IMAGES, streamed.num_crops, 4) == (NUM_IMAGES, 1, 4)
    cropped = crop_resize(to_float(images), boxes[:, 0], images.shape[3]).clamp(0, 1)

    ours = streamed([(cropped * 255).round().byte()], indices, 0)

    for view, expected in zip(ours, whole(images, indices, 0), strict=True):
        torch.testing.assert_close(view, expected, atol=0.5 / 255 + 1e-5, rtol=0)  # a rounding to 8 bits
