"""What lies in a folder of images: formats that are read, what cannot be, what is no image; names of any bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simclr_core.config.schema import DataConfig
from simclr_core.data.class_folders import FORMATS, SHOWN_PROBLEMS, SUFFIXES
from simclr_core.data.datasets import DataError, Dataset, load_dataset
from simclr_core.data.label_lists import labels_from_list

SIZE = 16
READINGS = pytest.mark.parametrize("reading", ["memory", "stream"])
Load = Callable[..., Dataset]


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """<tmp>/data/animals: two classes of three training images and a test image."""
    root = tmp_path / "data" / "animals"
    for name in ("ant", "bee"):
        for number in range(3):
            write_image(root / "train" / name / f"{number}.png", number)
        write_image(root / "test" / name / "0.png")
    return root


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(reading: str = "memory", unreadable: str = "error") -> Dataset:
        config = DataConfig("animals", image_size=SIZE, reading=reading, unreadable=unreadable)
        return load_dataset(config, tmp_path / "data", tmp_path / "cache", progress=False)

    return load


def problems(load: Load, *arguments: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        load(*arguments)
    return caught.value.problems


def make_holes(root: Path) -> list[str]:
    """Things that are left out of ``train``, and the first words of the line for each, in the order of the lines."""
    ant = root / "train" / "ant"
    (ant / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    write_image(ant / "more" / "0.png")
    os.mkfifo(ant / "pipe.png")
    write_image(ant / "phone.HEIC")
    (root / "train" / "wasp").symlink_to("/nowhere/wasp")
    write_image(root / "train" / "stray.png")
    return [
        f"{ant}/gone.jpg: a link to /nowhere/gone.jpg, which is not there",
        f"{ant}/more: a folder within a class folder; expected its images beside it",
        f"{ant}/phone.HEIC: .heic images are not read; expected JPEG, PNG, WEBP",
        f"{ant}/pipe.png: not a file",
        f"{root}/train/stray.png: an image outside of the class folders",
        f"{root}/train/wasp: a link to /nowhere/wasp, which is not there",
    ]


@READINGS
def test_what_cannot_be_used_is_an_error_that_names_it(reading: str, root: Path, load: Load) -> None:
    expected = make_holes(root)
    (root / "test" / "bee" / "0.png").unlink()
    found = problems(load, reading)

    assert found[0].startswith(f"{root}/test/bee: no image; expected JPEG, PNG")
    assert [line[: len(start)] for line, start in zip(found[1:], expected, strict=True)] == expected


@READINGS
def test_what_cannot_be_used_is_counted_and_named_where_it_is_skipped(
    reading: str, root: Path, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load(reading)
    expected = make_holes(root)
    after = load(reading, "skip")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("data.name = 'animals': 6 of 12 train images are unreadable and skipped: ")
    assert [start in line for start in expected] == [True] * 6
    assert after.num_skipped == {"train": 6, "test": 0}
    assert after.train_files == before.train_files
    assert after.fingerprint == before.fingerprint


def test_a_few_are_named_and_the_others_counted(root: Path, load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (root / "train" / "ant" / f"{number + 10}.jpg").symlink_to("/nowhere")

    found = problems(load)
    assert len(found) == SHOWN_PROBLEMS + 1
    assert found[-1] == f"{root}: 20 more things that cannot be used"
    load("memory", "skip")
    line = capsys.readouterr().err
    assert "30 of 36 train images" in line
    assert line.count("which is not there") == SHOWN_PROBLEMS
    assert line.endswith("; ...\n")


def test_many_missing_classes_are_few_lines(root: Path, load: Load) -> None:
    for number in range(30):
        write_image(root / "train" / f"c{number:02}" / "0.png")
        (root / "train" / f"e{number:02}").mkdir()
        (root / "test" / f"e{number:02}").mkdir()

    first = ", ".join(f"c{number:02}" for number in range(10))
    empty = first.replace("c", "e")
    assert [line.partition("; expected")[0] for line in problems(load)] == [
        f"{root}/test: no class folders {first} and 20 more, which train has",
        f"{root}/train: no image in the class folders {empty} and 20 more",
        f"{root}/test: no image in the class folders {empty} and 20 more",
    ]


def test_files_that_are_no_images_are_counted_in_one_note(
    root: Path, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load().fingerprint
    for name in (
        "train/ant/.0.png",
        "train/ant/Thumbs.db",
        "train/list.csv",
        "train/bee/README",
        "train/bee/x.png.txt",
    ):
        (root / name).write_text("no image")
    (root / "train/.git").mkdir()
    capsys.readouterr()

    assert load().fingerprint == before
    assert capsys.readouterr().err == (
        "data.name = 'animals': passed over as no images, by their names: 6 (train/.git, train/ant/.0.png,"
        " train/ant/Thumbs.db, train/bee/README, train/bee/x.png.txt, train/list.csv)\n"
    )


def test_a_folder_that_may_not_be_looked_into_is_named(root: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(str(path)).name == "bee":  # rmtree lists open folders by number
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert problems(load) == [f"{root}/train/bee: Permission denied"]


LOSSLESS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "TIFF": {},
    "PPM": {},
    "JPEG2000": {"irreversible": False},
}


@READINGS
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_that_pillow_reads_here_is_read(name: str, reading: str, root: Path, load: Load) -> None:
    Image.init()
    if name not in Image.SAVE:
        pytest.skip(f"this Pillow has no {name}")
    image = Image.fromarray(np.tile(np.arange(0, 240, 15, dtype=np.uint8), (SIZE, 1))).convert("RGB")
    suffix = FORMATS[name][0]
    image.save(root / f"train/ant/3{suffix}", name, **LOSSLESS.get(name, {}))

    dataset = load(reading)
    row = dataset.train_files.index(f"train/ant/3{suffix}")
    ((crop,),) = dataset.train.crops([(torch.tensor([row]), torch.tensor([[[0, 0, SIZE, SIZE]]]))])
    exact = np.asarray(image).transpose(2, 0, 1).astype(int)
    difference = np.abs(crop[0].numpy().astype(int) - exact)
    assert difference.max() <= (0 if name in (*LOSSLESS, "GIF") else 20)


def test_the_first_frame_of_several_is_read(root: Path, load: Load) -> None:
    frames = [Image.new("RGB", (SIZE, SIZE), (shade, 0, 0)) for shade in (10, 120, 250)]
    for suffix in ("gif", "webp", "png", "tif"):
        options = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(root / f"train/ant/f.{suffix}", save_all=True, append_images=frames[1:], **options)

    dataset = load()
    rows = [dataset.train_files.index(f"train/ant/f.{suffix}") for suffix in ("gif", "webp", "png", "tif")]
    (whole,) = dataset.train.whole(torch.tensor(rows), 4)
    assert whole[:, 0].unique().tolist() == [10]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_image_of_any_format_is_told(suffix: str, root: Path, load: Load) -> None:
    path = root / f"train/ant/9{suffix}"
    path.write_bytes(b"")
    (empty,) = problems(load)
    assert empty.startswith(f"{path}: no image that can be read here (JPEG, PNG, WEBP")
    name = next(each for each, suffixes in FORMATS.items() if suffix in suffixes)
    if name in Image.SAVE:
        Image.open(root / "train/ant/1.png").save(path, name)
        path.write_bytes(path.read_bytes()[:-150])
        (cut,) = problems(load)
        assert cut.startswith(f"{path}: no")


def is_possible(folder: Path) -> bool:
    """Whether this file system takes names that are no UTF-8."""
    try:
        os.mkdir(os.fsencode(folder) + b"\xe9")  # noqa: PTH102 - a name of bytes
    except OSError:
        return False
    os.rmdir(os.fsencode(folder) + b"\xe9")  # noqa: PTH106 - a name of bytes
    return True


@READINGS
def test_names_that_are_no_utf_8_work(reading: str, root: Path, tmp_path: Path, load: Load) -> None:
    if not is_possible(tmp_path / "x"):
        pytest.skip("this file system takes names in UTF-8 only")
    rows = torch.arange(6)
    plain = load(reading)
    (pixels,) = plain.train.whole(rows, 6)
    for split in ("train", "test"):
        os.rename(root / split / "bee", os.fsencode(root / split) + b"/\xe9")  # noqa: PTH104 - names of bytes
    os.rename(root / "train/ant/2.png", os.fsencode(root / "train/ant") + b"/caf\xe9.png")  # noqa: PTH104
    dataset = load(reading)

    (found,) = dataset.train.whole(rows, 6)
    assert torch.equal(found, pixels)
    assert dataset.fingerprint != plain.fingerprint
    names = tmp_path / "names.txt"
    names.write_bytes(b"caf\xe9.png\n\xe9/0.png\n")
    assert labels_from_list(names, dataset.train_files).rows == (2, 3)
    names.write_bytes(b"th\xe9.png\n")
    with pytest.raises(DataError, match=r"training images: th\\xe9\.png$"):
        labels_from_list(names, dataset.train_files)


@READINGS
def test_a_message_about_a_name_that_is_no_utf_8_can_be_written(
    reading: str, root: Path, tmp_path: Path, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_possible(tmp_path / "x"):
        pytest.skip("this file system takes names in UTF-8 only")
    (Path(os.fsdecode(os.fsencode(root / "train/ant") + b"/caf\xe9.png"))).write_text("no image")
    (Path(os.fsdecode(os.fsencode(root / "train/ant") + b"/caf\xe9.txt"))).write_text("no image")

    (problem,) = problems(load, reading)
    assert problem.startswith(rf"{root}/train/ant/caf\xe9.png: no image that can be read here")
    assert r"(train/ant/caf\xe9.txt)" in capsys.readouterr().err
    load(reading, "skip")
    assert r"ant/caf\xe9.png: no image" in capsys.readouterr().err


def test_what_a_folder_of_jpeg_and_png_was_told_by_stays(root: Path, load: Load) -> None:
    """Fingerprints in results of before other formats were read."""
    shutil.rmtree(root)
    for number, name in enumerate(("train/a/0.png", "train/b/1.png", "test/a/0.png", "test/b/1.png")):
        path = root / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (SIZE, SIZE), (number, 2 * number, 250)).save(path)
        path.write_bytes(path.read_bytes() + bytes(1000 - path.stat().st_size))

    assert load().fingerprint == "bb7684baa1120882bdcd4f2439166f8e224674fd829ba13e37305db332e4dd8e"
    assert load("stream").fingerprint == "2d303e3dd4a6401f50793d6e55b8364509ab14588c40bff11f8945a44d5ae20c"
