"""Images read as a stream: the pixels of torchvision's crops, in the order asked for, and processes that end."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from image_batches import GOLDEN
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize
from torchvision.transforms import functional as on_pil
from torchvision.transforms.v2 import functional as on_tensors

from simclr_core.config.schema import DataConfig
from simclr_core.data import image_folder, streaming
from simclr_core.data.datasets import DataError, Dataset, load_dataset
from simclr_core.data.images import Images, ImageSet
from simclr_core.data.streaming import StreamedImages

SIZE = 56
CONFIG = DataConfig(name="pictures", image_size=SIZE, reading="stream")
NUM_TRAIN = 44

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # 3 workers, on any machine


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<data_dir>/pictures in ImageNet's layout: JPEGs of many sizes, some gray or CMYK or turned by EXIF, and a PNG."""
    data_dir = tmp_path_factory.mktemp("data")
    with files("sklearn.datasets.images").joinpath("china.jpg").open("rb") as file:
        photograph = Image.open(file).convert("RGB")
    draw = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be rotated by a quarter turn
    for split, count in (("train", NUM_TRAIN // 2), ("val", 3)):
        for label in ("n01", "n02"):
            folder = data_dir / "pictures" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                extent = tuple(draw.integers(60, 300, 2).tolist())
                image = photograph.resize(extent, box=(number, number, 200 + 15 * number, 150 + 10 * number))
                mode = {3: "L", 4: "CMYK", 5: "P"}.get(number, "RGB")
                path = folder / f"{label}_{number:02}.{'png' if mode == 'P' else 'JPEG'}"
                image.convert(mode).save(path, **({"exif": turned} if number == 6 else {}))
    return data_dir


@pytest.fixture
def dataset(data_dir: Path, tmp_path: Path) -> Dataset:
    return load_dataset(CONFIG, data_dir, tmp_path / "cache", progress=False)


def draw_batches(images: Images, lengths: tuple[int, ...], num_boxes: int = 2) -> list[tuple[Tensor, Tensor]]:
    """Random rows, and boxes of any place and shape in each."""
    source = torch.Generator().manual_seed(1)
    batches = []
    for length in lengths:
        rows = torch.randint(len(images), (length,), generator=source)
        assert images.sizes is not None
        extents = images.sizes[rows][:, None].expand(-1, num_boxes, -1)
        sides = 1 + (torch.rand(extents.shape, generator=source) * extents).long().clamp(max=extents - 1)
        corners = (torch.rand(extents.shape, generator=source) * (extents - sides + 1)).long()
        batches.append((rows, torch.cat([corners, sides], dim=2)))
    return batches


def path_of(data_dir: Path, dataset: Dataset, row: int) -> Path:
    return data_dir / "pictures" / dataset.train_files[row]


def test_the_folder_s_images_by_class_and_name_and_val_as_the_test_set(data_dir: Path, dataset: Dataset) -> None:
    assert isinstance(dataset.train, StreamedImages)
    assert dataset.pretrain is dataset.train
    assert dataset.classes == ("n01", "n02")
    assert dataset.train_files[:2] == ("train/n01/n01_00.JPEG", "train/n01/n01_01.JPEG")
    assert len(dataset.train) == NUM_TRAIN
    assert dataset.train.labels.tolist() == [0] * 22 + [1] * 22
    assert dataset.test.labels.tolist() == [0] * 3 + [1] * 3
    loaded = [pil_loader(str(path_of(data_dir, dataset, row))) for row in range(NUM_TRAIN)]
    assert dataset.train.sizes.tolist() == [[image.height, image.width] for image in loaded]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_torchvision_s(interpolation: str, data_dir: Path, dataset: Dataset) -> None:
    """Equal to its resized_crop on uint8, and as near to the exact one as whole levels allow: 1/4 in the mean.

    Bilinear is within one level of Pillow's. Bicubic overshoots, and both clip between their two passes, so that
    single pixels differ by several levels, from Pillow's and from the exact ones.
    """
    mode = InterpolationMode(interpolation)
    batches = draw_batches(dataset.train, (40, 3))
    errors = []
    for (rows, boxes), crops in zip(batches, dataset.train.crops(batches, 0, interpolation), strict=True):
        assert [crop.shape for crop in crops] == [(len(rows), 3, SIZE, SIZE)] * 2
        assert all(crop.dtype == torch.uint8 for crop in crops)
        for row, image_boxes, *views in zip(rows.tolist(), boxes.tolist(), *crops, strict=True):
            image = pil_loader(str(path_of(data_dir, dataset, row)))
            tensor = on_tensors.pil_to_tensor(image)
            for (top, left, height, width), view in zip(image_boxes, views, strict=True):
                box = (top, left, height, width, [SIZE, SIZE], mode)
                assert torch.equal(view, on_tensors.resized_crop(tensor, *box, antialias=True))
                cut = tensor[None, :, top : top + height, left : left + width].double()
                exact = functional.interpolate(cut, (SIZE, SIZE), mode=interpolation, antialias=True).clamp(0, 255)
                errors.append((view - exact).abs().mean())
                if interpolation == "bilinear":
                    from_pil = on_tensors.pil_to_tensor(on_pil.resized_crop(image, *box))
                    assert (view.int() - from_pil.int()).abs().max() <= 1
    assert torch.stack(errors).mean() < 0.3


def test_whole_images_are_resized_by_their_shorter_side_and_cut_at_the_centre(data_dir: Path, dataset: Dataset) -> None:
    rows = torch.tensor([5, 3, 40, 6, 4, 22, 0])
    transform = Compose([Resize(round(SIZE * 256 / 224)), CenterCrop(SIZE), PILToTensor()])
    batches = list(dataset.train.whole(rows, 3))

    assert [len(batch) for batch in batches] == [3, 3, 1]
    for row, image in zip(rows.tolist(), torch.cat(batches), strict=True):
        expected = transform(pil_loader(str(path_of(data_dir, dataset, row))))
        assert (image.int() - expected.int()).abs().max() <= 1
    assert list(dataset.train.whole(rows[:0], 3)) == []


@pytest.mark.parametrize("number", range(4))
def test_whole_images_as_the_authors_code_has_them(number: int, tmp_path: Path) -> None:
    """To the nearest of 256 levels: a file without loss, through the data set, as an evaluation reads it."""
    golden = np.load(GOLDEN / "06_crop_resize.npz", allow_pickle=False)
    for split in ("train", "test"):
        folder = tmp_path / "authors" / split / "cat"
        folder.mkdir(parents=True)
        Image.fromarray(golden[f"cimg{number}_u8"]).save(folder / "1.png")
    size = len(golden[f"eval{number}"])
    config = DataConfig(name="authors", image_size=size, reading="stream", whole_images="crop_then_resize")
    test = load_dataset(config, tmp_path, tmp_path / "cache", progress=False).test
    (batch,) = test.whole(torch.tensor([0]), 1)

    assert (batch.dtype, batch.shape) == (torch.uint8, (1, 3, size, size))
    error = batch[0].permute(1, 2, 0).numpy() / 255 - golden[f"eval{number}"]
    assert np.abs(error).max() <= 0.5 / 255 + 3e-6


def test_the_number_of_workers_changes_no_bit_and_no_order(dataset: Dataset) -> None:
    lengths = (40, 1, 33, 16, 44)
    expected = list(dataset.train.crops(draw_batches(dataset.train, lengths)))
    rows = torch.randperm(NUM_TRAIN)
    expected_whole = list(dataset.train.whole(rows, 20))

    assert [[len(crop) for crop in batch] for batch in expected] == [[length] * 2 for length in lengths]
    for num_workers in (1, 3):
        found = list(dataset.train.crops(draw_batches(dataset.train, lengths), num_workers))
        assert all(map(torch.equal, itertools.chain(*found), itertools.chain(*expected)))
        assert len(found) == len(expected)
        assert all(map(torch.equal, dataset.train.whole(rows, 20, num_workers), expected_whole))
    assert multiprocessing.active_children() == []


def test_each_image_is_decoded_once_for_all_its_boxes(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = streaming.decode
    monkeypatch.setattr(streaming, "decode", lambda path: decoded.append(path) or real(path))

    crops = next(dataset.train.crops(draw_batches(dataset.train, (10,), num_boxes=8)))
    assert [len(crop) for crop in crops] == [10] * 8
    assert len(decoded) == 10


@pytest.mark.parametrize("num_workers", [0, 1])
def test_reading_draws_no_random_numbers(num_workers: int, dataset: Dataset) -> None:
    before = torch.get_rng_state()
    list(dataset.train.crops(draw_batches(dataset.train, (5,)), num_workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_read_ahead_by_about_one(dataset: Dataset) -> None:
    """So that the next one is decoded meanwhile, and no more memory is held than that."""
    given = 0

    def batches() -> object:
        nonlocal given
        for batch in draw_batches(dataset.train, (32,) * 12):
            given += 1
            yield batch

    with contextlib.closing(dataset.train.crops(batches(), 2)) as crops:
        next(crops)
        assert 2 <= given <= 3
        next(crops)
        assert 3 <= given <= 4


def test_images_in_memory_give_the_same_crops(tmp_path: Path) -> None:
    for split, number in (("train", 0), ("train", 1), ("test", 2)):
        path = tmp_path / "data" / "pictures" / split / "ant" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    stream = load_dataset(CONFIG, tmp_path / "data", tmp_path / "cache", progress=False).train
    memory = load_dataset(DataConfig("pictures", image_size=SIZE), tmp_path / "data", tmp_path / "cache").train
    batches = draw_batches(stream, (9, 4))

    assert isinstance(memory, ImageSet)
    for interpolation in ("bilinear", "bicubic"):
        crops = [list(images.crops(batches, interpolation=interpolation)) for images in (memory, stream)]
        assert all(map(torch.equal, *(itertools.chain(*batches) for batches in crops)))
        assert len(crops[0]) == len(crops[1]) == 2
    (whole,) = memory.whole(torch.tensor([1, 0]), 2)
    assert torch.equal(whole, memory.images[[1, 0]])
    assert memory.sizes is None


def test_sizes_are_read_once(data_dir: Path, tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "image_extent", lambda _: pytest.fail("read again"))
    again = load_dataset(CONFIG, data_dir, tmp_path / "cache", progress=False)

    assert torch.equal(again.train.sizes, dataset.train.sizes)
    assert again.fingerprint == dataset.fingerprint


@pytest.fixture
def own(data_dir: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may spoil; <tmp>/data."""
    for path in (data_dir / "pictures").rglob("*_0[012].JPEG"):
        target = tmp_path / "data" / path.relative_to(data_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path / "data"


@pytest.fixture
def load(own: Path, tmp_path: Path) -> Callable[..., Dataset]:
    def load(**settings: str | int) -> Dataset:
        config = DataConfig(**{"name": "pictures", "image_size": SIZE, "reading": "stream"} | settings)
        return load_dataset(config, own, tmp_path / "cache", progress=False)

    return load


def test_the_fingerprint_is_of_names_lengths_and_labels(own: Path, load: Callable[..., Dataset]) -> None:
    first = load().fingerprint
    path = own / "pictures/train/n01/n01_00.JPEG"
    os.utime(path, (1, 1))
    assert load(image_size=32).fingerprint == first

    path.write_bytes(path.read_bytes() + b"\0")
    longer = load().fingerprint
    path.rename(path.with_name("n01_0.JPEG"))
    renamed = load().fingerprint
    path.with_name("n01_0.JPEG").rename(own / "pictures/train/n02/n01_0.JPEG")
    assert len({first, longer, renamed, load().fingerprint}) == 4


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_cannot_be_decoded_ends_the_stream_with_its_name(
    num_workers: int, own: Path, load: Callable[..., Dataset]
) -> None:
    path = own / "pictures/train/n02/n02_01.JPEG"
    path.write_bytes(path.read_bytes()[:-100])
    images = load().train

    with pytest.raises(DataError) as caught:
        list(images.whole(torch.arange(len(images)), 2, num_workers))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: not a readable image (")
    assert multiprocessing.active_children() == []


def test_a_header_that_cannot_be_read_is_told_at_once(own: Path, load: Callable[..., Dataset]) -> None:
    path = own / "pictures/val/n01/n01_00.JPEG"
    path.write_bytes(b"no image")

    with pytest.raises(DataError, match=r"n01_00.JPEG: no image that can be read here"):
        load()


def test_a_file_written_anew_during_a_run_is_told(own: Path, load: Callable[..., Dataset]) -> None:
    images = load().train
    Image.new("RGB", (20, 10)).save(own / "pictures/train/n01/n01_00.JPEG")

    with pytest.raises(DataError, match=r"n01_00.JPEG: 20x10 pixels, was \d+x\d+ when its size was read"):
        list(images.whole(torch.tensor([0]), 1))


def test_workers_are_silent_about_odd_exif_data(own: Path, load: Callable[..., Dataset]) -> None:
    images = load().train
    path = own / "pictures/train/n01/n01_00.JPEG"
    image = pil_loader(str(path))
    image.save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    with pytest.warns(UserWarning, match="EXIF"), Image.open(path) as opened:
        assert opened.size == image.size

    (batch,) = images.whole(torch.tensor([0]), 1, num_workers=1)  # a warning would be an error here
    assert batch.shape == (1, 3, SIZE, SIZE)


def test_a_worker_that_dies_is_told(dataset: Dataset) -> None:
    def rows_then_kill() -> object:
        yield from draw_batches(dataset.train, (32, 32))
        for worker in multiprocessing.active_children():
            worker.kill()
        yield from draw_batches(dataset.train, (32,) * 8)

    with pytest.raises(DataError, match="a process that decodes images has died"):
        list(dataset.train.crops(rows_then_kill(), 1))
    assert multiprocessing.active_children() == []


def test_a_consumer_that_fails_leaves_no_process(dataset: Dataset) -> None:
    crops = dataset.train.crops(draw_batches(dataset.train, (32,) * 8), 2)

    def consume() -> None:
        with contextlib.closing(crops):
            for batch in crops:
                assert len(multiprocessing.active_children()) == 2
                len(batch) / 0

    with pytest.raises(ZeroDivisionError):
        consume()
    assert multiprocessing.active_children() == []


# A test run in the background starts with SIGINT ignored, which children inherit.
ENDLESS = """
import contextlib, itertools, multiprocessing, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
import torch
from simclr_core.config.schema import DataConfig
from simclr_core.data.datasets import load_dataset

data_dir, cache_dir = map(Path, sys.argv[1:])
images = load_dataset(DataConfig("pictures", image_size=32, reading="stream"), data_dir, cache_dir).train
batches = (torch.arange(40), torch.tensor([0, 0, 50, 50]).expand(40, 2, 4))
with contextlib.closing(images.crops(itertools.repeat(batches), 2)) as crops:
    for number, batch in enumerate(crops):
        if number == 1:
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


@pytest.mark.parametrize(
    ("sent", "to_group", "status"),
    [(signal.SIGINT, False, -signal.SIGINT), (signal.SIGINT, True, -signal.SIGINT), (signal.SIGKILL, False, -9)],
    ids=["interrupt", "ctrl-c", "kill"],
)
def test_no_process_outlives_the_run(
    sent: signal.Signals, to_group: bool, status: int, data_dir: Path, tmp_path: Path
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, data_dir, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    workers = [int(pid) for pid in run.stdout.readline().split()]
    assert len(workers) == 2
    (os.killpg if to_group else os.kill)(run.pid, sent)
    _, told = run.communicate(timeout=60)

    assert run.returncode == status
    if sent == signal.SIGINT:
        assert told.count("Traceback") == 1  # the parent's alone
    deadline = time.monotonic() + 15  # torch's workers look every five seconds whether the parent lives
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
