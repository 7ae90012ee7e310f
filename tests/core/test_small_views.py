"""Views of two sizes (SwAV's multi-crop), from memory and from a stream, and a method that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch.nn.functional import normalize
from torch.testing import assert_close
from toy import toy_config
from view_makers import NO_COLOUR

from simclr_core.config.identity import run_id
from simclr_core.config.methods import METHODS, MethodConfig
from simclr_core.config.options import Above, option, override
from simclr_core.config.runtime import RuntimeConfig, TrainingStopped
from simclr_core.config.schema import RunConfig, problems_of
from simclr_core.data.datasets import Images, ImageSet, load_dataset
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.processes.distributed import World
from simclr_core.records import read_json
from simclr_core.run import execute
from simclr_core.training import checkpoint
from simclr_core.training.batches import Batches


@dataclass
class CropsConfig(MethodConfig):
    """Small views agree with the mean of the large ones."""

    module = f"{__name__}:Crops"
    takes_small_views = True

    name: str = option("crops", choices=("crops",))


class Crops(Method):
    def step(self, batch: Batch) -> Step:
        assert [view.shape[3] for view in batch.views] == [32, 32, 16, 16, 16]
        large = self.net.project(batch.views[:2])
        small = self.net.project(batch.views[2:])
        target = normalize(torch.stack(large).mean(0).detach(), dim=1)
        likeness = torch.stack([(normalize(z, dim=1) * target).sum(1).mean() for z in (*large, *small)])
        return Step(-likeness.mean(), [*large, *small])


@pytest.fixture(autouse=True)
def crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "crops", CropsConfig)


SMALL = {"method.name": "crops", "views.small_views": 3, "views.small_size": 16}


def config(values: dict[str, object] | None = None) -> RunConfig:
    return toy_config("simclr_mini", SMALL | {"data.image_size": 32} | (values or {}))


def pixels(count: int, size: int = 32) -> ImageSet:
    images = torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0))
    return ImageSet(images.to(torch.uint8), torch.zeros(count, dtype=torch.long))


def loaded(made: RunConfig, runtime: RuntimeConfig) -> Images:
    return load_dataset(made.data, Path(runtime.data_dir), Path(runtime.cache_dir), progress=False).pretrain


def steps(made: RunConfig, images: Images, world: World | None = None, num_workers: int = 0) -> list[Batch]:
    batches = Batches(made, images, world or World(), num_workers)
    return list(batches.steps(0, 2 * batches.steps_per_epoch))


def test_a_batch_has_the_large_views_then_the_small_ones() -> None:
    images = pixels(40)
    for batch, plain in zip(steps(config(), images), steps(toy_config(), images), strict=True):
        assert [view.shape for view in batch.views] == [(8, 3, 32, 32)] * 2 + [(8, 3, 16, 16)] * 3
        assert all(map(torch.equal, batch.views[:2], plain.views)), "small views change nothing of the others"
        assert len({view.numpy().tobytes() for view in batch.views[2:]}) == 3


def test_fewer_small_views_are_the_first_of_more() -> None:
    images = pixels(40)
    for one, three in zip(steps(config({"views.small_views": 1}), images), steps(config(), images), strict=True):
        assert torch.equal(one.views[2], three.views[2])
        assert len(one.views) == 3


def test_crops_have_the_areas_of_their_size() -> None:
    """Of images that show where they were cut: red is the row and green the column."""
    count, side = 300, 128
    ramp = torch.arange(side, dtype=torch.uint8)
    image = torch.stack([ramp[:, None].expand(side, side), ramp[None].expand(side, side), torch.zeros(side, side)])
    images = ImageSet(image.to(torch.uint8).expand(count, -1, -1, -1), torch.zeros(count, dtype=torch.long))
    made = config(
        {
            "data.image_size": side,
            "data.train_images": 0,
            "training.global_batch_size": count,
            "views.small_size": 32,
            "views.crop_min_area": 0.3,
            "views.crop_max_area": 0.6,
            "views.flip_probability": 0,
        }
        | {f"views.{key}": value for key, value in NO_COLOUR.items()}
    )
    (batch,) = Batches(made, images, World(), 0).steps(0, 1)
    for view, (least, most) in zip(batch.views, [(0.3, 0.6)] * 2 + [(0.05, 0.14)] * 3, strict=True):
        size = view.shape[3]
        middle = view[:, :2, size // 4, size // 4], view[:, :2, 3 * size // 4, 3 * size // 4]  # far from borders
        sides = (middle[1] - middle[0]) * 255 / (2 * (size // 4)) * size / side
        area = sides.prod(1).numpy()
        assert least - 0.01 < area.min() < area.max() < most + 0.01
        assert stats.kstest(area, stats.uniform(least, most - least).cdf).pvalue > 0.001


def test_a_stream_of_the_same_images_gives_the_same_views(toy_runtime: RuntimeConfig) -> None:
    """To a crop's rounding to whole levels, of boxes smaller and larger than the views.

    Bicubic views differ by more: a stream clips between its two passes (``test_streaming``).
    """
    values: dict[str, object] = {f"views.{key}": value for key, value in NO_COLOUR.items()}
    values["views.small_max_area"] = 1.0
    memory, stream = config(values), config(values | {"data.reading": "stream"})
    pairs = zip(steps(stream, loaded(stream, toy_runtime)), steps(memory, loaded(memory, toy_runtime)), strict=True)
    for ours, expected in pairs:
        assert torch.equal(ours.indices, expected.indices)
        for one, other in zip(ours.views, expected.views, strict=True):
            assert_close(one, other, atol=1 / 255 + 1e-5, rtol=0)


@pytest.mark.parametrize("reading", ["memory", "stream"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_two_processes_see_the_views_of_one(toy_runtime: RuntimeConfig, reading: str, noise: float) -> None:
    made = config({"data.reading": reading, "views.noise_probability": noise})
    images = loaded(made, toy_runtime)
    parts = [steps(made, images, World(rank, 2)) for rank in (0, 1)]

    for first, second, whole in zip(*parts, steps(made, images), strict=True):
        assert torch.equal(torch.cat([first.indices, second.indices]), whole.indices)
        for one, other, both in zip(first.views, second.views, whole.views, strict=True):
            assert_close(torch.cat([one, other]), both, atol=1e-6, rtol=0)


def test_a_view_depends_on_its_own_row_alone() -> None:
    images = pixels(40)
    made = config()
    alone = {}
    for size in (8, 4):
        batches = steps(override(made, {"training.global_batch_size": size}), images)[: 40 // size]
        rows = torch.cat([batch.indices for batch in batches]).argsort()
        alone[size] = [torch.cat([batch.views[place] for batch in batches])[rows] for place in range(5)]

    for one, other in zip(alone[8], alone[4], strict=True):
        assert_close(one, other, atol=1e-6, rtol=0)


def test_the_number_of_workers_changes_no_bit(toy_runtime: RuntimeConfig) -> None:
    made = config({"data.reading": "stream"})
    images = loaded(made, toy_runtime)
    for ours, expected in zip(steps(made, images, num_workers=2), steps(made, images), strict=True):
        assert all(map(torch.equal, ours.views, expected.views))


@pytest.mark.parametrize("reading", ["memory", "stream"])
def test_a_training_with_small_views_goes_on_to_the_bit(
    toy_runtime: RuntimeConfig, tmp_path: Path, reading: str
) -> None:
    made = config({"data.reading": reading, "training.epochs": 2})
    runtime = replace(toy_runtime, checkpoint_every_s=0.0)
    execute(made, [], runtime, tmp_path / "whole")
    for stop in (3, 7):
        with pytest.raises(TrainingStopped):
            execute(made, [], runtime, tmp_path / "stopped", stop_requested=_after(stop, tmp_path / "stopped"))
    execute(made, [], runtime, tmp_path / "stopped")

    ends = [checkpoint.read(tmp_path / name / checkpoint.NAME) for name in ("whole", "stopped")]
    weights = [checkpoint.checksum(end["method"]) for end in ends if end is not None]
    assert len(weights) == 2
    assert weights[0] == weights[1]
    curves = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "stopped")]
    assert curves[0] == curves[1]
    result = read_json(tmp_path / "stopped" / "result.json")
    assert [resume["step"] for resume in result["resumes"]] == [3, 7]


def _after(step: int, run_dir: Path) -> Callable[[], bool]:
    """Asks to stop once so many lines of the curve are written."""

    def stop_requested() -> bool:
        path = run_dir / "metrics.jsonl"
        return path.exists() and len(path.read_text().splitlines()) >= step

    return stop_requested


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"method.name": "simclr"},
            "views.small_views = 3: method.name = 'simclr' takes views of one size; expected 0",
        ),
        ({"views.kind": "pair"}, "views.small_views = 3: expected 0, or views.kind = 'standard'"),
        ({"views.small_size": 33}, "views.small_size = 33: expected at most data.image_size = 32"),
        (
            {"views.small_min_area": 0.2},
            "views.small_max_area = 0.14: expected at least views.small_min_area = 0.2",
        ),
        (
            {"views.crop_max_area": 0.05},
            "views.crop_max_area = 0.05: expected at least views.crop_min_area = 0.08",
        ),
        (
            {"views.crop_law": "tensorflow", "views.small_max_area": 0.1},
            (
                "views.small_max_area = 0.1: with views.crop_law = 'tensorflow' a crop covers a tenth of the image or"
                " more; expected above 0.1"
            ),
        ),
        ({"views.small_views": -1}, "views.small_views = -1: expected at least 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(values: dict[str, object], problem: str) -> None:
    assert problems_of(config(values)) == [problem]


def test_settings_of_small_views_name_a_run_only_where_there_are_some() -> None:
    without = {"views.small_views": 0}
    settings = [{}, {"views.small_size": 24}, {"views.small_min_area": 0.1}, {"views.small_max_area": 0.2}]

    assert len({run_id(config(each)) for each in settings}) == 4
    assert len({run_id(config(each | without)) for each in settings}) == 1
    assert problems_of(config({"views.small_size": 99, **without})) == []


@pytest.mark.parametrize(("value", "held"), [(0, False), (1, True), (0.5, True), (-1, False), ("1", False)])
def test_numbers_above_a_bound(value: object, held: bool) -> None:
    assert (value in Above(0)) is held
