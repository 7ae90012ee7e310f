"""The built-in data set: complete, the same every time, its training and test patches from different places."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from simclr_core.config.schema import DataConfig
from simclr_core.data import photos
from simclr_core.data.datasets import Dataset, load_dataset


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(cache: Path) -> Dataset:
    return load_dataset(DataConfig(), Path("no folder is looked at"), cache, progress=False)


def test_there_are_17_classes_of_equal_size(dataset: Dataset) -> None:
    assert len(dataset.classes) == 17
    assert list(dataset.classes) == sorted(dataset.classes)
    for split, count in ((dataset.train, 8192), (dataset.test, 2048)):
        assert split.images.shape == (count, 3, 32, 32)
        assert split.images.dtype == torch.uint8
        sizes = split.labels.bincount()
        assert sizes.max() - sizes.min() <= 1
        assert len(sizes) == 17


def test_the_same_patches_every_time_and_from_the_cache(dataset: Dataset, cache: Path, tmp_path: Path) -> None:
    again = load_dataset(DataConfig(), Path(), tmp_path, progress=False)
    start = time.perf_counter()
    kept = load_dataset(DataConfig(), Path(), cache, progress=False)

    assert time.perf_counter() - start < 2
    assert dataset.fingerprint == again.fingerprint == kept.fingerprint
    assert torch.equal(dataset.train.images, again.train.images)
    assert torch.equal(dataset.test.images, kept.test.images)


@pytest.mark.parametrize("extent", [(512, 512), (451, 300), (640, 427), (300, 900)])
def test_patches_lie_in_their_split_s_part_of_the_photograph(extent: tuple[int, int]) -> None:
    width, height = extent
    draws = np.random.default_rng(0).random((500, 3))
    draws[0], draws[1] = 0, 1
    boxes = {split: np.array([photos._box(extent, split, list(draw)) for draw in draws]) for split in photos.NUM_IMAGES}

    assert boxes["train"][:, 2].max() <= 0.7 * width + 0.5
    assert boxes["test"][:, 0].min() >= boxes["train"][:, 2].max()
    assert boxes["test"][:, 2].max() <= width + 1e-9
    for left, top, right, bottom in boxes["train"].tolist() + boxes["test"].tolist():
        assert left >= 0
        assert top >= 0
        assert bottom <= height + 1e-9
        assert right - left == pytest.approx(bottom - top)
        assert 0.2 - 1e-9 <= (right - left) / min(extent) <= 0.45 + 1e-9


def test_colour_tells_the_patch_and_not_the_class(dataset: Dataset) -> None:
    means = dataset.train.images.double().mean((2, 3))
    between = torch.stack([means[dataset.train.labels == c].mean(0) for c in range(17)]).var(0)
    hues = (means - means.mean(1, keepdim=True)).std(0)

    assert (between < 0.4 * means.var(0)).all()
    assert (hues > 15).all()  # of 255: grays too are tinted


def test_every_photograph_gives_patches_that_differ(dataset: Dataset) -> None:
    for label in range(17):
        patches = dataset.train.images[dataset.train.labels == label]
        assert len(patches.flatten(1).unique(dim=0)) == len(patches)
