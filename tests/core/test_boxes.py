"""The laws of random crops: torchvision's against torchvision, TensorFlow's against boxes of the authors' code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from image_batches import GOLDEN
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop

from simclr_core.imaging.boxes import draw_boxes
from simclr_core.seeding import generator

DRAWS = 20_000
Boxes = NDArray[np.float64]

STATISTICS: dict[str, Callable[[Boxes], Boxes]] = {
    "area": lambda b: b[:, 2] * b[:, 3],
    "aspect": lambda b: b[:, 3] / b[:, 2],
    "top": lambda b: b[:, 0],
    "left": lambda b: b[:, 1],
    "height": lambda b: b[:, 2],
    "width": lambda b: b[:, 3],
}


def draw(
    height: int, width: int, min_area: float, law: str = "torchvision", count: int = DRAWS, max_area: float = 1.0
) -> Tensor:
    sizes = torch.tensor([[height, width]]).expand(count, 2)
    return draw_boxes(sizes, min_area, generator(0, "test"), law, max_area=max_area)


def torchvision_s(height: int, width: int, min_area: float, count: int, max_area: float = 1.0) -> Boxes:
    torch.manual_seed(1)
    crop = RandomResizedCrop(32, scale=(min_area, max_area), antialias=True)
    blank = torch.zeros(3, height, width)
    params = [crop.make_params([blank]) for _ in range(count)]
    return np.array([[p["top"], p["left"], p["height"], p["width"]] for p in params], dtype=np.float64)


def assert_inside(boxes: Tensor, sizes: Tensor) -> None:
    assert boxes.dtype == torch.int64
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


@pytest.mark.parametrize(
    ("height", "width", "min_area"),
    [(32, 32, 0.08), (32, 32, 0.2), (224, 224, 0.08), (32, 32, 0.9), (60, 40, 0.08), (50, 375, 0.12), (40, 22, 0.5)],
)
def test_torchvision_s_law(height: int, width: int, min_area: float) -> None:
    """Of (50, 375) most tries do not fit; the last is near the aspect at which the central crop starts to clip."""
    theirs = torchvision_s(height, width, min_area, 4000)
    ours = draw(height, width, min_area)
    same = ours.double().numpy()

    for name, statistic in STATISTICS.items():
        assert stats.ks_2samp(statistic(same), statistic(theirs)).pvalue > 0.001, name
    assert_inside(ours, torch.tensor([height, width]))
    assert (ours[:, 0] + ours[:, 2] == height).any()  # the last row and column are reached
    assert (ours[:, 1] + ours[:, 3] == width).any()


@pytest.mark.parametrize("size", [(20, 100), (100, 20), (31, 63), (63, 31), (7, 500), (500, 333), (2, 5)])
def test_when_ten_tries_do_not_fit_the_box_is_torchvision_s_central_one(size: tuple[int, int]) -> None:
    (theirs,) = torchvision_s(*size, min_area=1.0, count=1)  # the whole area with these aspects fits no such image

    assert (draw(*size, min_area=1.0, count=50).numpy() == theirs).all()


def test_of_a_square_the_central_box_is_the_whole() -> None:
    boxes = draw(32, 32, 1.0)  # an area of 1 fits only if it is square

    assert (boxes == torch.tensor([0, 0, 32, 32])).all()


def test_torchvision_s_law_has_uniform_area_and_log_uniform_aspect() -> None:
    boxes = draw(4000, 6000, 0.08)[:, 2:].double()
    small = boxes[boxes.prod(1) < 0.4 * 24e6]  # wherever the widest box fits, nothing is rejected
    area, aspect = small.prod(1) / 24e6, (small[:, 1] / small[:, 0]).log()

    assert stats.kstest(area, stats.uniform(0.08, 0.32).cdf).pvalue > 0.001
    assert stats.kstest(aspect, stats.uniform(np.log(3 / 4), np.log(16 / 9)).cdf).pvalue > 0.001


@pytest.mark.parametrize("size", [32, 224])
def test_tensorflow_s_law_is_the_authors(size: int) -> None:
    golden = np.load(GOLDEN / f"06_crop_stats_{size}x{size}.npz", allow_pickle=False)
    theirs = golden["boxes"].astype(np.float64)
    boxes = draw(size, size, 0.08, "tensorflow")
    ours = boxes.double().numpy()

    for name, statistic in STATISTICS.items():
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).statistic < 0.02, name
    assert_inside(boxes, torch.tensor([size, size]))
    whole = (boxes[:, 2:] == size).all(1).float().mean()
    assert whole == pytest.approx(float(golden["whole_image_fraction"]), abs=0.002)
    touches = boxes[:, :2] + boxes[:, 2:] == size
    assert not (touches & (boxes[:, 2:] < size)).any()
    assert float(golden["touches_bottom_fraction"]) == 0
    touches_top = ((boxes[:, 0] == 0) & (boxes[:, 2] < size)).float().mean()
    assert touches_top == pytest.approx(float(golden["touches_top_fraction"]), abs=0.015)


def test_the_two_laws_differ_by_more_than_the_limit_of_that_test() -> None:
    """About .1 for the area, says the manifest: a sampler of the other law could not pass."""
    laws = [STATISTICS["area"](draw(224, 224, 0.08, law).double().numpy()) for law in ("torchvision", "tensorflow")]

    assert stats.ks_2samp(*laws).statistic > 0.08
    assert laws[1].mean() / 224**2 == pytest.approx(0.423, abs=0.005)
    assert laws[0].mean() / 224**2 == pytest.approx(0.48, abs=0.01)


def slow_tensorflow_box(
    height: int, width: int, min_area: float, rng: np.random.Generator, max_area: float = 1.0
) -> list[int]:
    """One image at a time: list the heights that a random aspect allows and pick one; try again if it is too small."""
    whole = height * width
    for _ in range(100):
        aspect = rng.uniform(3 / 4, 4 / 3)
        most = max(h for h in range(1, height + 1) if h * h * aspect < whole + 1 and round(h * aspect) <= width)
        if max_area < 1:
            most = min(most, round(np.sqrt(max_area * whole / aspect)))
        least = min(round(np.sqrt(min_area * whole / aspect)), most)
        h = int(rng.integers(least, most + 1))
        h += h * round(h * aspect) < min_area * whole
        h -= h * round(h * aspect) > max_area * whole
        w = round(h * aspect)
        if h <= height and w <= width and max(min_area, 0.1) * whole <= h * w <= max_area * whole:
            y = int(rng.integers(height - h)) if h < height else 0
            x = int(rng.integers(width - w)) if w < width else 0
            return [y, x, h, w]
    return [0, 0, height, width]


@pytest.mark.parametrize(
    ("height", "width", "min_area"), [(60, 40, 0.08), (30, 75, 0.3), (32, 32, 0.5), (20, 28, 0.05)]
)
def test_tensorflow_s_law_for_other_shapes_and_areas(height: int, width: int, min_area: float) -> None:
    rng = np.random.default_rng(0)
    slow = np.array([slow_tensorflow_box(height, width, min_area, rng) for _ in range(4000)], dtype=np.float64)
    boxes = draw(height, width, min_area, "tensorflow")
    ours = boxes.double().numpy()

    for name, statistic in STATISTICS.items():
        assert stats.ks_2samp(statistic(ours), statistic(slow)).pvalue > 0.001, name
    assert_inside(boxes, torch.tensor([height, width]))
    assert (boxes[:, 2:].prod(1) >= max(0.1, min_area) * height * width).all()


@pytest.mark.parametrize(
    ("height", "width", "min_area", "max_area"), [(224, 224, 0.05, 0.14), (32, 32, 0.14, 0.6), (60, 40, 0.2, 0.4)]
)
def test_the_laws_with_areas_bounded_above(height: int, width: int, min_area: float, max_area: float) -> None:
    rng = np.random.default_rng(0)
    slow = [slow_tensorflow_box(height, width, min_area, rng, max_area) for _ in range(4000)]
    theirs = {
        "torchvision": torchvision_s(height, width, min_area, 4000, max_area),
        "tensorflow": np.array(slow, dtype=np.float64),
    }
    for law, expected in theirs.items():
        boxes = draw(height, width, min_area, law, max_area=max_area)
        ours = boxes.double().numpy()
        for name, statistic in STATISTICS.items():
            assert stats.ks_2samp(statistic(ours), statistic(expected)).pvalue > 0.001, (law, name)
        assert_inside(boxes, torch.tensor([height, width]))
    areas = boxes[:, 2:].prod(1)
    assert (areas >= max(0.1, min_area) * height * width).all()
    assert (areas <= max_area * height * width).all()


@pytest.mark.parametrize("law", ["torchvision", "tensorflow"])
def test_areas_up_to_the_whole_image_are_the_default(law: str) -> None:
    assert torch.equal(
        draw(40, 60, 0.08, law, max_area=1.0),
        draw_boxes(torch.tensor([[40, 60]]).expand(DRAWS, 2), 0.08, generator(0, "test"), law),
    )


def test_an_image_too_long_for_any_box_is_taken_whole_by_tensorflow_s_law() -> None:
    assert (draw(10, 1000, 0.08, "tensorflow", count=20) == torch.tensor([0, 0, 10, 1000])).all()


@pytest.mark.parametrize("law", ["torchvision", "tensorflow"])
def test_an_image_s_box_depends_on_its_own_size_alone(law: str) -> None:
    sizes = torch.tensor([[32, 32], [60, 40], [10, 500], [224, 180]]).repeat(500, 1)
    other = torch.full_like(sizes, 64)
    other[5] = sizes[5]
    source, other_source = generator(0, "test"), generator(0, "test")

    assert torch.equal(draw_boxes(sizes, 0.08, source, law)[5], draw_boxes(other, 0.08, other_source, law)[5])
    assert torch.equal(torch.rand(3, generator=source), torch.rand(3, generator=other_source))  # what comes next
    assert_inside(draw_boxes(sizes, 0.08, generator(0, "test"), law), sizes)


@pytest.mark.parametrize("law", ["torchvision", "tensorflow"])
def test_neighbours_draw_independently(law: str) -> None:
    boxes = draw(224, 224, 0.08, law).double()
    correlations = np.corrcoef(boxes[:-1].T.numpy(), boxes[1:].T.numpy())[:4, 4:]

    assert np.abs(correlations).max() < 4 / DRAWS**0.5
