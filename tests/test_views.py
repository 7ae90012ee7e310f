"""What views depend on, the order of their transformations, streamed images, labels, and SimCLR's Fig. 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.v2 import functional as tv

from simclr_core import color, filters, transforms
from simclr_core.boxes import draw_boxes
from simclr_core.catalogue import CATALOGUE, Table
from simclr_core.config import TRANSFORMATIONS, ViewsConfig
from simclr_core.crops import crop_resize
from simclr_core.data import to_float
from simclr_core.options import ConfigError
from simclr_core.seeding import derive, generator
from simclr_core.views import ADDED, ViewMaker

NUM_IMAGES = 48
SIZE = 32
SQUARES = torch.full((NUM_IMAGES, 2), SIZE)


@pytest.fixture(scope="module")
def images() -> Tensor:
    shape = (NUM_IMAGES, 3, SIZE, SIZE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def maker(config: ViewsConfig, *, epoch: int = 0, seed: int = 0, normalization: str = "none") -> ViewMaker:
    made = ViewMaker(config, normalization, NUM_IMAGES, SIZE, seed)
    made.start_epoch(epoch)
    return made


def pair(first: str, second: str, **settings: object) -> ViewsConfig:
    return ViewsConfig(kind="pair", first=first, second=second, **settings)


def views(images: Tensor, config: ViewsConfig, *, step: int = 0, **settings: int) -> tuple[Tensor, Tensor]:
    return maker(config, **settings)(images, torch.arange(len(images)), step)


def table(name: str, config: ViewsConfig, *, branch: int, seed: int = 0, epoch: int = 0) -> Table:
    return CATALOGUE[name].draw(config, SQUARES, generator(seed, "views", epoch, branch, name))


RELEASED = ViewsConfig(
    crop_law="tensorflow",
    crop_interpolation="bicubic",
    color_definition="tensorflow",
    brightness="add",
    blur_border="zero",
)
NO_COLOUR = {"jitter_probability": 0, "gray_probability": 0, "blur_probability": 0}
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


# --- what a view depends on ---


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


# --- what the chains are ---


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
    expected = transforms.hflip(overshooting.clamp(0, 1), table("crop", config, branch=1)["flip"])

    assert overshooting.max() > 1
    assert torch.equal(views(images, config)[0], expected)


ADDED_OPERATIONS = {
    "equalize": lambda x, _: color.equalize(x),
    "solarize": lambda x, _: color.solarize(x),
    "motion_blur": lambda x, rows: filters.motion_blur(x, rows["angle"], 1),
    "sobel": lambda x, _: filters.sobel(x),
    "rotate": lambda x, rows: transforms.rotate(x, rows["turns"]),
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
        for name in ADDED:
            if name != "noise":
                expected = ADDED_OPERATIONS[name](expected, make._tables[branch - 1][name])  # noqa: PLW2901
        assert_close(make(images, torch.arange(NUM_IMAGES), 0)[branch - 1], expected)


def test_nothing_is_added_in_a_pair(images: Tensor) -> None:
    config = pair("crop", "color", **{f"{name}_probability": 1 for name in ADDED})

    for ours, plain in zip(views(images, config), views(images, pair("crop", "color")), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize("first", TRANSFORMATIONS)
def test_branch_2_of_a_one_sided_pair_is_the_base_crop_alone(images: Tensor, first: str) -> None:
    boxes = draw_boxes(SQUARES, 0.08, generator(0, "views", 0, "both", "crop"))
    base = crop_resize(to_float(images), boxes, SIZE)
    view_1, view_2 = views(images, pair(first, "color" if first == "crop" else "crop"))

    assert torch.equal(view_2, base)
    assert not torch.equal(view_1, base)


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

    assert torch.equal(one_way, transforms.cutout(filters.sobel(to_float(images)), box))
    assert torch.equal(other_way, filters.sobel(transforms.cutout(to_float(images), box)))


def test_a_transformation_paired_with_itself_is_applied_once(images: Tensor) -> None:
    once = views(images, pair("rotate", "rotate", base_crop="none"))[0]
    turns = table("rotate", ViewsConfig(), branch=1)["turns"]

    assert torch.equal(once, transforms.rotate(to_float(images), turns))


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


@pytest.mark.parametrize("config", EVERY_CHAIN, ids=str)
def test_views_are_float32_in_range_without_gradient(images: Tensor, config: ViewsConfig) -> None:
    for view in views(images, config):
        assert view.shape == images.shape
        assert view.dtype == torch.float32
        assert not view.requires_grad
        assert 0 <= view.min() <= view.max() <= 1


# --- images that are read as a stream ---

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
    cropped = torch.stack([crop_resize(to_float(images), boxes[:, branch], SIZE) for branch in (0, 1)], dim=1)

    for ours, expected in zip(make(color.to_uint8(cropped), rows, 0), make(images, rows, 0), strict=True):
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

    streamed = make(torch.stack([images[order], images[order]], dim=1), order, 3)
    for ours, expected in zip(streamed, whole(images[order], order, 3), strict=True):
        assert torch.equal(ours, expected)


def test_each_branch_gets_its_own_streamed_view(images: Tensor) -> None:
    config = ViewsConfig(flip_probability=0, **NO_COLOUR)
    streamed = torch.stack([images, images.flip(0)], dim=1)
    view_1, view_2 = maker(config)(streamed, torch.arange(NUM_IMAGES), 0)

    assert torch.equal(view_1, to_float(images))
    assert torch.equal(view_2, to_float(images.flip(0)))


def test_source_sizes_of_squares_change_nothing(images: Tensor) -> None:
    make = ViewMaker(ViewsConfig(), "none", NUM_IMAGES, SIZE, 0, source_sizes=SQUARES)
    make.start_epoch(0)

    for ours, plain in zip(make(images, torch.arange(NUM_IMAGES), 0), views(images, ViewsConfig()), strict=True):
        assert torch.equal(ours, plain)


# --- what was done, for the probe of SimCLR's Table 3 ---


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
