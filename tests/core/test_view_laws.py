"""The laws of the views' parameters: frequencies, ranges, orders, and that draws are independent of each other."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from image_batches import GOLDEN, SIZE
from scipy import stats

from simclr_core.config.schema import ViewsConfig
from simclr_core.seeding import generator
from simclr_core.views.maker import ADDED, ViewMaker
from simclr_core.views.transformations import CATALOGUE, Table

DRAWS = 20_000
SIMSIAM = ViewsConfig(
    crop_min_area=0.2, jitter_brightness=0.4, jitter_contrast=0.4, jitter_saturation=0.4, jitter_hue=0.1
)
RELEASED = ViewsConfig(
    crop_law="tensorflow",
    crop_interpolation="bicubic",
    color_definition="tensorflow",
    blur_border="zero",
    blur_sigma_per="batch",
)


def draw(name: str, config: ViewsConfig | None = None, size: int = SIZE) -> Table:
    sizes = torch.full((DRAWS, 2), size)
    return CATALOGUE[name].draw(config or ViewsConfig(), sizes, generator(0, "test", name))


@pytest.mark.parametrize("config", [ViewsConfig(), RELEASED, SIMSIAM, ViewsConfig(color_strength=0.125)], ids=str)
@pytest.mark.parametrize(
    ("name", "column", "probability"),
    [("crop", "flip", 0.5), ("color", "jitter", 0.8), ("color", "gray", 0.2), ("blur", "blur", 0.5)],
)
def test_coins_come_up_as_often_as_configured(config: ViewsConfig, name: str, column: str, probability: float) -> None:
    """Gray keeps its probability at every strength of colour distortion."""
    assert draw(name, config)[column].float().mean() == pytest.approx(probability, abs=0.01)


@pytest.mark.parametrize(
    ("name", "column"), [("crop", "flip"), ("color", "jitter"), ("color", "gray"), ("blur", "blur")]
)
def test_coins_can_be_sure(name: str, column: str) -> None:
    sure = ViewsConfig(flip_probability=1, jitter_probability=1, gray_probability=1, blur_probability=1)
    never = ViewsConfig(flip_probability=0, jitter_probability=0, gray_probability=0, blur_probability=0)

    assert draw(name, sure)[column].all()
    assert not draw(name, never)[column].any()


def test_events_are_as_frequent_as_the_authors() -> None:
    golden = np.load(GOLDEN / "06_jitter_stats.npz", allow_pickle=False)
    table = draw("color")
    jitter, gray = table["jitter"], table["gray"]
    ours = {
        "freq_jitter_applied": jitter,
        "freq_grayscale": gray,
        "freq_neither": ~jitter & ~gray,
        "freq_gray_given_jitter": gray[jitter],
        "freq_flip": draw("crop")["flip"],
    }

    for name, events in ours.items():
        assert events.float().mean() == pytest.approx(float(golden[name]), abs=0.025), name
    assert ours["freq_neither"].float().mean() == pytest.approx(0.2 * 0.8, abs=0.01)


@pytest.mark.parametrize("number", [0, 1])
def test_jitter_factors_have_the_authors_quantiles(number: int) -> None:
    golden = np.load(GOLDEN / "06_jitter_stats.npz", allow_pickle=False)
    strength = float(golden["strengths"][number])
    factors = draw("color", ViewsConfig(color_strength=strength))["factors"].double().numpy()

    for column, name in enumerate(("brightness_factor", "contrast_factor", "saturation_factor", "hue_delta")):
        theirs = golden[f"s{number}_{name}_quantiles"]
        ours = np.quantile(factors[:, column], golden["quantile_levels"])
        width = 2 * strength * (0.2 if name == "hue_delta" else 0.8)
        assert np.abs(ours - theirs).max() < 0.03 * width  # their quantiles come from 4,000 draws


@pytest.mark.parametrize(
    ("config", "width", "turn"),
    [(ViewsConfig(color_strength=s), 0.8 * s, 0.2 * s) for s in (0.125, 0.25, 0.5, 1.0, 1.25)] + [(SIMSIAM, 0.4, 0.1)],
    ids=["1/8", "1/4", "1/2", "1", "5/4", "simsiam"],
)
@pytest.mark.parametrize("brightness", ["multiply", "add"])
def test_jitter_factors_are_uniform(config: ViewsConfig, width: float, turn: float, brightness: str) -> None:
    config.brightness = brightness
    factors = draw("color", config)["factors"].double().numpy()
    lows = [-width if brightness == "add" else 1 - width, 1 - width, 1 - width, -turn]

    for column, (low, half) in enumerate(zip(lows, (width, width, width, turn), strict=True)):
        assert stats.kstest(factors[:, column], stats.uniform(low, 2 * half).cdf).pvalue > 0.001
        assert low - 1e-6 <= factors[:, column].min()
        assert factors[:, column].max() <= low + 2 * half + 1e-6
    assert np.abs(np.corrcoef(factors.T) - np.eye(4)).max() < 4 / DRAWS**0.5


def test_factors_do_not_go_below_zero() -> None:
    factors = draw("color", ViewsConfig(jitter_brightness=1.5))["factors"]

    assert 0 <= factors[:, 0].min() < 0.01
    assert factors[:, 0].max() == pytest.approx(2.5, abs=0.01)


def test_added_brightness_goes_below_zero_and_draws_nothing_else_anew() -> None:
    added, multiplied = draw("color", ViewsConfig(brightness="add")), draw("color")

    assert added["factors"][:, 0].min() == pytest.approx(-0.8, abs=0.01)
    assert torch.equal(added["factors"][:, 1:], multiplied["factors"][:, 1:])
    for column in ("jitter", "order", "gray"):
        assert torch.equal(added[column], multiplied[column])


def test_all_orders_of_the_colour_operations_are_equally_likely() -> None:
    table = draw("color")
    orders, counts = np.unique(table["order"].numpy(), axis=0, return_counts=True)

    assert [tuple(order) for order in orders] == sorted(permutations(range(4)))
    assert stats.chisquare(counts).pvalue > 0.001
    golden = np.load(GOLDEN / "06_jitter_stats.npz", allow_pickle=False)
    assert stats.chi2_contingency(np.stack([counts, golden["order_counts"]])).pvalue > 0.001


def test_sigmas_turns_and_angles_are_uniform() -> None:
    assert stats.kstest(draw("blur")["sigma"], stats.uniform(0.1, 1.9).cdf).pvalue > 0.001
    assert stats.kstest(draw("motion_blur")["angle"], stats.uniform(0, 0.5).cdf).pvalue > 0.001
    assert stats.chisquare(draw("rotate")["turns"].bincount()).pvalue > 0.001


@pytest.mark.parametrize(("kind", "highest"), [("pair", 0.3), ("standard", 0.5)])
def test_noise_s_sigma_is_uniform_to_its_setting_in_a_pair_and_to_one_half_otherwise(kind: str, highest: float) -> None:
    """The setting is part of a pair's identity only, so it must not change standard views."""
    sigma = draw("noise", ViewsConfig(kind=kind, noise_max_sigma=0.3))["sigma"]

    assert stats.kstest(sigma, stats.uniform(0, highest).cdf).pvalue > 0.001


def test_cutout_centres_are_uniform_and_squares_are_clipped_at_the_border() -> None:
    box = draw("cutout")["box"]
    sides = box[:, 2:] - box[:, :2]

    assert (sides.min(), sides.max()) == (8, 16)
    assert ((box >= 0) & (box <= SIZE)).all()
    ends = box[:, 2].bincount(minlength=SIZE + 1)  # 32 centres, of which the last 17 reach the lower border
    assert stats.chisquare(ends[8:], np.array([*[1] * 24, 8]) * DRAWS / SIZE).pvalue > 0.001
    small = draw("cutout", ViewsConfig(cutout_size=0.25))["box"]
    assert (small[:, 2:] - small[:, :2]).max() == 8


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", ADDED)
def test_added_transformations_come_as_often_as_configured(name: str, probability: float) -> None:
    make = ViewMaker(ViewsConfig(**{f"{name}_probability": probability}), "none", DRAWS, SIZE, 0)
    make.start_epoch(0)
    branches = [table[name]["chosen"].float() for table in make._tables]

    for chosen in branches:
        assert chosen.mean() == pytest.approx(probability, abs=0.012)
    if probability < 1:
        assert torch.corrcoef(torch.stack(branches))[0, 1].abs() < 4 / DRAWS**0.5


def test_simsiam_s_crops_have_at_least_a_fifth_of_the_image() -> None:
    boxes = draw("crop", SIMSIAM, size=224)["box"]
    share = boxes[:, 2:].double().prod(1) / 224**2

    assert 0.195 < share.min() < 0.21
    small = share[share < 0.6]  # below that nothing is rejected: the area is uniform
    assert stats.kstest(small, stats.uniform(0.2, 0.4).cdf).pvalue > 0.001


def columns_of(make: ViewMaker, branch: int) -> torch.Tensor:
    """Every number that is drawn for an image, (columns, images)."""
    columns = [values.double().view(DRAWS, -1) for table in make._tables[branch].values() for values in table.values()]
    return torch.cat(columns, dim=1).T


@pytest.mark.parametrize("config", [ViewsConfig(), RELEASED], ids=["default", "released"])
def test_branches_epochs_seeds_and_neighbours_draw_independently(config: ViewsConfig) -> None:
    def drawn(seed: int, epoch: int, branch: int) -> torch.Tensor:
        make = ViewMaker(config, "none", DRAWS, SIZE, seed)
        make.start_epoch(epoch)
        return columns_of(make, branch)

    one = drawn(0, 0, 0)
    others = {"branch": drawn(0, 0, 1), "epoch": drawn(0, 1, 0), "seed": drawn(1, 0, 0), "place": one.roll(1, dims=1)}
    for name, other in others.items():
        correlations = torch.corrcoef(torch.cat([one, other]))[: len(one), len(one) :]
        assert correlations.abs().max() < 4.5 / DRAWS**0.5, name


def test_the_transformations_of_a_branch_draw_independently() -> None:
    make = ViewMaker(ViewsConfig(), "none", DRAWS, SIZE, 0)
    make.start_epoch(0)
    columns = columns_of(make, 0)
    crop, color, blur = columns[:5], columns[5:15], columns[15:]
    assert len(blur) == 2

    for one, other in ((crop, color), (crop, blur), (color, blur), (crop[:4], crop[4:]), (color[:1], color[1:])):
        correlations = torch.corrcoef(torch.cat([one, other]))[: len(one), len(one) :]
        assert correlations.abs().max() < 4.5 / DRAWS**0.5
