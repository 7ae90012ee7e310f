"""Images that do not decode: found, named, and left out where the configuration says so; caches that fail."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import DataConfig
from simclr_core.data import caching, image_folder
from simclr_core.data.caching import cached_array
from simclr_core.data.datasets import DataError, Dataset, load_dataset
from simclr_core.data.decoding import decode

SIZE = 24
READINGS = pytest.mark.parametrize("reading", ["memory", "stream"])


def write_image(path: Path, seed: int, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def close_early(path: Path) -> None:
    """Take the last third of a JPEG away and close it with an end marker: Pillow would fill it with gray."""
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3] + b"\xff\xd9")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data" / "animals"
    for label, name in enumerate(("ant", "bee")):
        for number in range(5):
            write_image(root / "train" / name / f"{number}.jpg", 10 * label + number)
        write_image(root / "test" / name / "0.png", 100 + label)
        write_image(root / "test" / name / "1.png", 200 + label)
    return root


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    caching._tell.cache_clear()

    def load(reading: str = "memory", unreadable: str = "skip", **settings: Any) -> Dataset:
        config = DataConfig("animals", image_size=SIZE, reading=reading, unreadable=unreadable, **settings)
        return load_dataset(config, tmp_path / "data", tmp_path / "cache", progress=False)

    return load


@pytest.fixture
def spoilt(root: Path) -> list[Path]:
    """One JPEG cut off, one closed too early, one PNG cut off."""
    cut, closed, png = root / "train/ant/1.jpg", root / "train/bee/4.jpg", root / "test/bee/0.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    close_early(closed)
    png.write_bytes(png.read_bytes()[:-60])
    return [cut, closed, png]


@READINGS
def test_unreadable_images_are_named_counted_and_left_out(
    reading: str, spoilt: list[Path], load: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load(reading)
    train_line, test_line = capsys.readouterr().err.splitlines()

    assert train_line.startswith("data.name = 'animals': 2 of 10 train images are unreadable and skipped: ")
    assert test_line.startswith("data.name = 'animals': 1 of 4 test images are unreadable and skipped: ")
    assert [str(path) in line for path, line in zip(spoilt, [train_line] * 2 + [test_line], strict=True)] == [True] * 3
    assert dataset.num_skipped == {"train": 2, "test": 1}
    assert dataset.train_files == tuple(
        f"train/{name}/{number}.jpg"
        for name, numbers in (("ant", (0, 2, 3, 4)), ("bee", (0, 1, 2, 3)))
        for number in numbers
    )
    assert dataset.train.labels.tolist() == [0] * 4 + [1] * 4
    assert dataset.test.labels.tolist() == [0, 0, 1]
    ((crop,),) = dataset.train.crops([(torch.arange(8), torch.tensor([0, 0, SIZE, SIZE]).expand(8, 1, 4))])
    folder = spoilt[0].parents[2]
    expected = [np.asarray(Image.open(folder / name)).transpose(2, 0, 1) for name in dataset.train_files]
    assert np.array_equal(crop.numpy(), np.stack(expected))


@READINGS
@pytest.mark.usefixtures("spoilt")
def test_the_check_is_made_once_and_told_each_time(
    reading: str, load: Callable[..., Dataset], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(reading)
    told = capsys.readouterr().err
    monkeypatch.setattr(image_folder.ImageFolder, "readable_extents", lambda *_: pytest.fail("checked again"))
    again = load(reading)

    assert capsys.readouterr().err == told
    assert again.fingerprint == first.fingerprint
    assert again.num_skipped == first.num_skipped


@READINGS
@pytest.mark.usefixtures("root")
def test_where_all_is_well_skip_changes_nothing(
    reading: str, load: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    skip, error = load(reading), load(reading, "error")

    assert capsys.readouterr().err == ""
    assert skip.fingerprint == error.fingerprint
    assert skip.train_files == error.train_files
    assert skip.num_skipped == {"train": 0, "test": 0}


def test_ten_are_named(root: Path, load: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10, 22):
        (root / f"train/ant/{number}.jpg").write_bytes(b"")
    load()

    (line,) = capsys.readouterr().err.splitlines()
    assert "12 of 22 train images" in line
    assert line.count("no image that can be read here") == 10
    assert line.endswith("; ...")


def test_a_class_that_is_left_with_no_image_is_an_error(root: Path, load: Callable[..., Dataset]) -> None:
    for path in (root / "test/bee").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"animals/test: no readable image of class bee"):
        load()


def test_an_image_of_another_size_is_no_unreadable_one(root: Path, load: Callable[..., Dataset]) -> None:
    Image.new("RGB", (SIZE, 7)).save(root / "train/ant/1.jpg")
    with pytest.raises(DataError, match="24x7 pixels, expected 24x24"):
        load()
    assert load("stream").train.sizes[1].tolist() == [7, SIZE]


def test_error_names_every_unreadable_image_of_a_folder_in_memory(
    spoilt: list[Path], load: Callable[..., Dataset]
) -> None:
    with pytest.raises(DataError) as caught:
        load(unreadable="error")
    assert [line.split(": ")[0] for line in caught.value.problems] == list(map(str, spoilt))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0, "quality": 95}, {"restart_marker_rows": 1}])
def test_a_jpeg_closed_too_early_is_unreadable_and_a_gray_one_is_not(options: dict[str, int], tmp_path: Path) -> None:
    closed, gray, corner = (tmp_path / f"{name}.jpg" for name in ("closed", "gray", "corner"))
    write_image(closed, 0, **options)
    close_early(closed)
    Image.new("RGB", (SIZE, SIZE), (128, 128, 128)).save(gray, **options)
    image = Image.fromarray(np.full((SIZE, SIZE, 3), 128, dtype=np.uint8))
    image.paste((200, 30, 60), (0, 0, 16, 16))
    image.save(corner, **options)
    corner.write_bytes(corner.read_bytes() + b"a camera's own data \xff\xd9 after the image")

    assert tuple(np.asarray(Image.open(closed))[-1, -1]) == (128, 128, 128)
    with pytest.raises(DataError, match=r"closed.jpg: not a readable image \(."):
        decode(closed)
    assert (decode(gray) == 128).all()
    assert (decode(corner)[:, -1, -1] == 128).all()


def test_a_cache_that_is_full_fails_no_run_and_is_told_once(
    root: Path,
    tmp_path: Path,
    load: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write_half(file: Any, array: np.ndarray, **_: Any) -> None:
        file.write(array.tobytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.np, "save", write_half)
    dataset = load(unreadable="error")
    assert capsys.readouterr().err == (
        f"decoded images cannot be kept in {tmp_path / 'cache'} (No space left on device); every process decodes them"
        " anew; set runtime.cache_dir (ablate: --cache-dir) to a folder that can be written\n"
    )
    first = np.asarray(Image.open(root / dataset.train_files[0])).transpose(2, 0, 1)
    assert np.array_equal(dataset.train.images[0], first)
    assert list((tmp_path / "cache").iterdir()) == []


@READINGS
def test_neither_a_file_in_place_of_the_cache_nor_its_want_fails_a_run(
    reading: str,
    root: Path,
    tmp_path: Path,
    load: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fingerprint = load(reading, "error").fingerprint
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    in_a_file = RuntimeConfig().cache_path
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError))
    config = DataConfig("animals", image_size=SIZE, reading=reading)

    for cache in (in_a_file, RuntimeConfig().cache_path):
        assert load_dataset(config, root.parent, cache, progress=False).fingerprint == fingerprint
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0].partition(":")[0] for line in told] == [
        f"decoded images cannot be kept in {tmp_path}/file/.cache/simclr-ablations",
        "no folder to keep decoded images in",
    ]


def test_two_that_build_the_same_cache_at_once_both_have_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, built = tmp_path / "a.npy", np.arange(1000)
    both_writing = threading.Barrier(2, timeout=5)
    save = np.save
    results: list[np.ndarray] = []

    def save_together(*arguments: Any, **options: Any) -> None:
        both_writing.wait()
        save(*arguments, **options)

    def read() -> None:
        results.append(cached_array(tmp_path, path.name, (1000,), np.int64, lambda: built))

    monkeypatch.setattr(caching.np, "save", save_together)
    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [np.array_equal(found, built) for found in results] == [True, True]
    assert np.array_equal(np.load(path), built)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage", [b"", b"no array", np.arange(3, dtype=np.int32).tobytes()], ids=["empty", "text", "bytes"]
)
def test_a_damaged_array_is_built_again(damage: bytes, tmp_path: Path) -> None:
    path, built = tmp_path / "a.npy", np.arange(5)
    path.write_bytes(damage)

    assert np.array_equal(cached_array(tmp_path, path.name, (5,), np.int64, lambda: built), built)
    assert np.array_equal(np.load(path), built)


def test_an_array_of_another_shape_is_built_again(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 2), dtype=np.int32))

    assert cached_array(tmp_path, path.name, (5,), np.int64, lambda: np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert np.load(path).shape == (5,)
