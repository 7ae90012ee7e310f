"""The laws of the views' parameters, what they depend on, and the protocol of SimCLR's Fig. 5."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from simclr_core import transforms
from simclr_core.config import TRANSFORMATIONS, ViewsConfig
from simclr_core.data import to_float
from simclr_core.seeding import derive, generator
from simclr_core.views import CATALOGUE, Table, ViewMaker, draw_boxes

GOLDEN = Path(__file__).parent / "golden"
NUM_IMAGES = 48
SIZE = 32
DRAWS = 20_000


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


def draw(name: str, config: ViewsConfig | None = None, size: int = SIZE) -> Table:
    return CATALOGUE[name].draw(config or ViewsConfig(), DRAWS, size, generator(0, "test", name))


EVERY_CHAIN = [
    ViewsConfig(),
    *(pair(name, name) for name in TRANSFORMATIONS),
    pair("crop", "color", branches="both"),
    pair("rotate", "blur", base_crop="none"),
]
WITHOUT_NOISE = [config for config in EVERY_CHAIN if "noise" not in (config.first, config.second)]


# --- what the parameters are ---


@pytest.mark.parametrize(("size", "min_area"), [(32, 0.08), (32, 0.2), (224, 0.08), (32, 0.9)])
def test_boxes_follow_torchvision_s_law(size: int, min_area: float) -> None:
    torch.manual_seed(1)
    crop = RandomResizedCrop(size, scale=(min_area, 1.0), antialias=True)
    blank = torch.zeros(3, size, size)
    params = [crop.make_params([blank]) for _ in range(4000)]
    theirs = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in params])
    ours = draw_boxes(DRAWS, size, min_area, generator(0, "test")).numpy()

    for statistic in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 2] / b[:, 3],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 2],
        lambda b: b[:, 3],
    ):
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.001
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= size).all()
    assert (ours[:, 0] + ours[:, 2] == size).any()  # the last row and column are reached
    assert (ours[:, 1] + ours[:, 3] == size).any()


def test_the_whole_image_is_the_box_when_ten_tries_do_not_fit() -> None:
    boxes = draw_boxes(DRAWS, SIZE, 1.0, generator(0, "test"))
    whole = (boxes == torch.tensor([0, 0, SIZE, SIZE])).all(1)

    assert whole.all()  # an area of 1 fits only if it is square


@pytest.mark.parametrize(
    ("name", "column", "probability"),
    [("crop", "flip", 0.5), ("color", "jitter", 0.8), ("color", "gray", 0.2), ("blur", "blur", 0.5)],
)
def test_coins_come_up_as_often_as_configured(name: str, column: str, probability: float) -> None:
    coins = draw(name)[column]
    sure = ViewsConfig(flip_probability=1, jitter_probability=1, gray_probability=1, blur_probability=1)
    never = ViewsConfig(flip_probability=0, jitter_probability=0, gray_probability=0, blur_probability=0)

    assert coins.float().mean() == pytest.approx(probability, abs=0.01)
    assert draw(name, sure)[column].all()
    assert not draw(name, never)[column].any()


def test_jitter_and_gray_are_independent() -> None:
    table = draw("color")

    assert (~table["jitter"] & ~table["gray"]).float().mean() == pytest.approx(0.2 * 0.8, abs=0.01)


@pytest.mark.parametrize("number", [0, 1])
def test_jitter_factors_follow_the_authors_law(number: int) -> None:
    golden = np.load(GOLDEN / "06_jitter_stats.npz", allow_pickle=False)
    strength = float(golden["strengths"][number])
    factors = draw("color", ViewsConfig(color_strength=strength))["factors"].double().numpy()

    for column, name in enumerate(("brightness_factor", "contrast_factor", "saturation_factor", "hue_delta")):
        theirs = golden[f"s{number}_{name}_quantiles"]
        ours = np.quantile(factors[:, column], golden["quantile_levels"])
        width = 2 * strength * (0.2 if name == "hue_delta" else 0.8)
        assert np.abs(ours - theirs).max() < 0.03 * width  # their quantiles come from 4,000 draws
        low = -strength * 0.2 if name == "hue_delta" else 1 - strength * 0.8
        assert stats.kstest(factors[:, column], stats.uniform(low, width).cdf).pvalue > 0.001


def test_factors_do_not_go_below_zero() -> None:
    factors = draw("color", ViewsConfig(jitter_brightness=1.5))["factors"]

    assert 0 <= factors[:, 0].min() < 0.01
    assert factors[:, 0].max() == pytest.approx(2.5, abs=0.01)


def test_all_orders_of_the_colour_operations_are_equally_likely() -> None:
    orders, counts = np.unique(draw("color")["order"].numpy(), axis=0, return_counts=True)

    assert [tuple(order) for order in orders] == sorted(permutations(range(4)))
    assert stats.chisquare(counts).pvalue > 0.001


def test_sigmas_and_turns_are_uniform() -> None:
    assert stats.kstest(draw("blur")["sigma"], stats.uniform(0.1, 1.9).cdf).pvalue > 0.001
    assert stats.kstest(draw("noise")["sigma"], stats.uniform(0, 0.5).cdf).pvalue > 0.001
    assert stats.chisquare(draw("rotate")["turns"].bincount()).pvalue > 0.001


def test_cutout_centres_are_uniform_and_squares_are_clipped_at_the_border() -> None:
    box = draw("cutout")["box"]
    sides = box[:, 2:] - box[:, :2]

    assert (sides.min(), sides.max()) == (8, 16)
    assert ((box >= 0) & (box <= SIZE)).all()
    ends = box[:, 2].bincount(minlength=SIZE + 1)  # 32 centres, of which the last 17 reach the lower border
    assert stats.chisquare(ends[8:], np.array([*[1] * 24, 8]) * DRAWS / SIZE).pvalue > 0.001
    small = draw("cutout", ViewsConfig(cutout_size=0.25))["box"]
    assert (small[:, 2:] - small[:, :2]).max() == 8


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


def test_derived_seeds_are_fixed_and_names_do_not_run_together() -> None:
    assert derive(0, "views", 0, 1, "crop") == 4_788_819_077_086_216_854
    assert len({derive(1, "a", "b"), derive(1, "ab"), derive(1, "a,b"), derive(1, "1"), derive(1, 1), derive(11)}) == 6
    assert all(0 <= derive(seed, "x") < 2**63 for seed in range(100))


# --- what the chains are ---


def test_standard_views_are_crop_flip_jitter_gray_blur_in_this_order(images: Tensor) -> None:
    config = ViewsConfig()
    operations = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for branch, view in enumerate(views(images, config, epoch=2, seed=5), start=1):
        tables = {
            name: CATALOGUE[name].draw(config, NUM_IMAGES, SIZE, generator(5, "views", 2, branch, name))
            for name in ("crop", "color", "blur")
        }
        crop, color, blur = tables["crop"], tables["color"], tables["blur"]
        for row in range(NUM_IMAGES):
            expected = tv.resized_crop(to_float(images[row]), *crop["box"][row].tolist(), [SIZE, SIZE], antialias=True)
            if crop["flip"][row]:
                expected = tv.horizontal_flip(expected)
            if color["jitter"][row]:
                for number in color["order"][row].tolist():
                    expected = operations[number](expected, color["factors"][row, number].item())
            if color["gray"][row]:
                expected = tv.rgb_to_grayscale(expected, 3)
            if blur["blur"][row]:
                expected = tv.gaussian_blur(expected, [3, 3], [blur["sigma"][row].item()] * 2)
            assert_close(view[row], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("first", TRANSFORMATIONS)
def test_branch_2_of_a_one_sided_pair_is_the_base_crop_alone(images: Tensor, first: str) -> None:
    boxes = draw_boxes(NUM_IMAGES, SIZE, 0.08, generator(0, "views", 0, "both", "crop"))
    base = transforms.crop_resize(to_float(images), boxes, SIZE)
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
    box = CATALOGUE["cutout"].draw(ViewsConfig(), NUM_IMAGES, SIZE, generator(0, "views", 0, 1, "cutout"))["box"]

    assert torch.equal(one_way, transforms.cutout(transforms.sobel(to_float(images)), box))
    assert torch.equal(other_way, transforms.sobel(transforms.cutout(to_float(images), box)))


def test_a_transformation_paired_with_itself_is_applied_once(images: Tensor) -> None:
    once = views(images, pair("rotate", "rotate", base_crop="none"))[0]
    turns = CATALOGUE["rotate"].draw(ViewsConfig(), NUM_IMAGES, SIZE, generator(0, "views", 0, 1, "rotate"))["turns"]

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
