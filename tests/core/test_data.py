"""Image folders: what is read, what is kept, and what is said about a folder that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simclr_core.config.schema import DataConfig
from simclr_core.data import image_folder
from simclr_core.data.datasets import DataError, Dataset, label_indices, load_dataset, pretrain_indices

SIZE = 16
CLASSES = ("ant", "bee", "cat")
CONFIG = DataConfig(name="animals", image_size=SIZE)


def write_image(path: Path, seed: int, size: tuple[int, int] = (SIZE, SIZE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """<tmp>/data/animals: three classes of four training and two test images, JPEG and PNG, and files to pass over."""
    root = tmp_path / "data" / "animals"
    for label, name in enumerate(CLASSES):
        for number in range(4):
            suffix = ("jpg", "jpeg", "png", "JPG")[number]
            write_image(root / "train" / name / f"{number}.{suffix}", 100 * label + number)
        for number in range(2):
            write_image(root / "test" / name / f"{number}.png", 1000 + 100 * label + number)
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    return root


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    def load(config: DataConfig = CONFIG) -> Dataset:
        return load_dataset(config, tmp_path / "data", tmp_path / "cache", progress=False)

    return load


def problems(load: Callable[..., Dataset], config: DataConfig = CONFIG) -> list[str]:
    with pytest.raises(DataError) as caught:
        load(config)
    assert all("\n" not in line for line in caught.value.problems)
    return caught.value.problems


def test_a_folder_is_read_by_class_then_by_name(root: Path, load: Callable[..., Dataset]) -> None:
    dataset = load()
    names = ("0.jpg", "1.jpeg", "2.png", "3.JPG")
    expected = [np.asarray(Image.open(root / "train" / c / n)).transpose(2, 0, 1) for c in CLASSES for n in names]

    assert dataset.name == "animals"
    assert dataset.classes == CLASSES
    assert np.array_equal(dataset.train.images.numpy(), np.stack(expected))
    assert dataset.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.test.images.shape == (6, 3, SIZE, SIZE)
    assert dataset.test.images.dtype == torch.uint8
    assert dataset.test.labels.dtype == torch.int64


def test_gray_and_palette_images_become_rgb(root: Path, load: Callable[..., Dataset]) -> None:
    gray = Image.new("L", (SIZE, SIZE), 77)
    gray.save(root / "test" / "ant" / "0.png")
    gray.convert("P").save(root / "test" / "ant" / "1.png")

    assert (load().test.images[:2] == 77).all()


@pytest.mark.usefixtures("root")
def test_pixels_are_decoded_once(load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    first = load()
    monkeypatch.setattr(image_folder, "decode", lambda *_: pytest.fail("decoded again"))
    second = load()

    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.images, second.test.images)
    assert first.fingerprint == second.fingerprint


@pytest.mark.usefixtures("root")
def test_a_damaged_cache_is_built_again(tmp_path: Path, load: Callable[..., Dataset]) -> None:
    first = load()
    for kept in (tmp_path / "cache").glob("*.npy"):
        kept.write_bytes(kept.read_bytes()[:200])

    assert load().fingerprint == first.fingerprint
    assert not list((tmp_path / "cache").glob(".*"))


def test_the_fingerprint_is_of_the_content_not_of_the_files(root: Path, load: Callable[..., Dataset]) -> None:
    first = load()
    os.utime(root / "train" / "ant" / "0.jpg", (1, 1))

    assert load().fingerprint == first.fingerprint


def test_moving_an_image_to_another_class_changes_the_fingerprint(root: Path, load: Callable[..., Dataset]) -> None:
    before = load().fingerprint
    (root / "train" / "ant" / "3.JPG").rename(root / "train" / "bee" / "-1.jpg")

    assert load().fingerprint != before


def test_a_missing_folder_is_named_with_the_layout_and_the_nearest_names(
    tmp_path: Path, root: Path, load: Callable[..., Dataset]
) -> None:
    (problem,) = problems(load, DataConfig(name="animal"))
    (no_data_dir,) = problems(
        lambda config: load_dataset(config, tmp_path / "nowhere", tmp_path), DataConfig(name="photo")
    )

    assert str(root.parent / "animal") in problem
    assert "did you mean 'animals'?" in problem
    assert "train/<class>/" in problem
    assert "did you mean 'photos'?" in no_data_dir


def test_missing_splits_are_all_named(root: Path, load: Callable[..., Dataset]) -> None:
    (root / "train").rename(root / "training")
    (root / "test").rename(root / "testing")

    found = problems(load)
    assert [str(root / split) in line for split, line in zip(("train", "test"), found, strict=True)] == [True, True]
    assert all("no class folders" in line for line in found)


def test_train_and_test_must_have_the_same_classes(root: Path, load: Callable[..., Dataset]) -> None:
    (root / "test" / "ant").rename(root / "test" / "aunt")

    found = problems(load)
    assert f"{root / 'train'}: no class folder aunt, which test has" in found
    assert f"{root / 'test'}: no class folder ant, which train has" in found
    assert len(found) == 2


def test_a_class_without_images_is_named(root: Path, load: Callable[..., Dataset]) -> None:
    for path in (root / "test" / "bee").iterdir():
        path.unlink()

    (problem,) = problems(load)
    assert problem.startswith(f"{root / 'test' / 'bee'}: no image")


def test_unreadable_images_of_both_splits_are_named_and_nothing_is_kept(
    tmp_path: Path, root: Path, load: Callable[..., Dataset]
) -> None:
    truncated, text, empty = root / "train/ant/0.jpg", root / "train/cat/2.png", root / "test/bee/1.png"
    truncated.write_bytes(truncated.read_bytes()[:-40])
    text.write_text("not an image")
    empty.write_bytes(b"")

    found = problems(load)
    assert [line.split(": ")[0] for line in found] == [str(truncated), str(text), str(empty)]
    assert found[0].startswith(f"{truncated}: not a readable image (")
    assert found[1].startswith(f"{text}: no image that can be read here (JPEG, PNG, WEBP, GIF, BMP, TIFF, ")
    assert [path.name for path in (tmp_path / "cache").glob("*") if not path.stem.endswith("-contents")] == []


def test_of_many_unreadable_images_ten_are_named_and_the_rest_counted(
    root: Path, load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (root / "train").rglob("[0-9].*"):
        path.write_bytes(b"")

    found = problems(load)
    assert len(found) == 11
    assert found[-1] == f"{root / 'train'}: 2 more unusable images"
    monkeypatch.setattr(image_folder, "GIVE_UP", 12)
    assert problems(load)[-1] == f"{root / 'train'}: 2 more unusable images, and then no more were looked at"


def test_images_of_another_size_are_named_with_the_size_expected(root: Path, load: Callable[..., Dataset]) -> None:
    load()
    write_image(root / "train/bee/2.png", 0, size=(20, 12))

    (problem,) = problems(load)
    assert problem == f"{root / 'train/bee/2.png'}: 20x12 pixels, expected 16x16 (data.image_size = 16)"
    assert len(problems(load, DataConfig(name="animals", image_size=32))) == 10 + 1 + 6


def test_the_pretraining_subset_is_uniform_fixed_by_its_seed_and_ascending() -> None:
    def subset(seed: int, count: int = 300) -> list[int]:
        return pretrain_indices(DataConfig(train_images=count, subset_seed=seed), 1000).tolist()

    assert subset(0) == sorted(set(subset(0)))
    assert len(subset(0)) == 300
    assert subset(0) != subset(1)
    assert pretrain_indices(DataConfig(), 1000).tolist() == list(range(1000))
    counts = np.bincount(np.concatenate([subset(seed) for seed in range(200)]), minlength=1000)
    assert np.abs(counts - 60).max() < 5 * np.sqrt(200 * 0.3 * 0.7)
    with pytest.raises(DataError, match=r"data.train_images = 1001: photos has 1000"):
        subset(0, 1001)


def test_label_choices_are_balanced_and_nested() -> None:
    labels = torch.randint(0, 7, (1000,), generator=torch.Generator().manual_seed(0))
    previous: set[int] = set()
    for count in (1, 6, 7, 50, 700, 999):
        chosen = label_indices(labels, count, 3)
        assert len(chosen) == count
        assert chosen.tolist() == sorted(set(chosen.tolist()))
        assert previous <= set(chosen.tolist())
        previous = set(chosen.tolist())
        if count <= 700:
            per_class = labels[chosen].bincount(minlength=7)
            assert per_class.max() - per_class.min() <= 1
    assert label_indices(labels, 0, 3).tolist() == list(range(1000))
    assert not torch.equal(label_indices(labels, 50, 3), label_indices(labels, 50, 4))
    with pytest.raises(DataError, match=r"num_labels = 1001: there are 1000"):
        label_indices(labels, 1001, 0)
