"""Images a second of ``StreamedImages.crops`` beside torchvision's ImageFolder and RandomResizedCrop.

Both read the same JPEG photographs, made in a temporary folder from those that scikit-image and scikit-learn carry.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, PILToTensor, RandomResizedCrop

from benchmarks.tables import Table, in_turns, speed_ratio
from simclr_core.config.schema import DataConfig
from simclr_core.data.datasets import load_dataset
from simclr_core.data.decoding import decode
from simclr_core.data.images import Images
from simclr_core.data.photos import PHOTOGRAPHS

NUM_IMAGES = 400
EXTENTS = ((500, 375), (375, 500))
NUM_WORKERS = 1
ROUNDS = 3
SIZE = 224
BATCH = 50
AREAS = (0.08, 1.0)
ASPECTS = (3 / 4, 4 / 3)


def write_photographs(folder: Path) -> None:
    """<folder>/<split>/<class>/<number>.JPEG; the test split holds one a class."""
    for split, count in (("train", NUM_IMAGES), ("test", len(PHOTOGRAPHS))):
        for number in range(count):
            name, place = list(PHOTOGRAPHS.items())[number % len(PHOTOGRAPHS)]
            path = folder / split / name / f"{number:03}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            with files(place[0]).joinpath(place[1]).open("rb") as file, Image.open(file) as photograph:
                photograph.convert("RGB").resize(EXTENTS[number % 2]).save(path, quality=90)


def read_by_torchvision(folder: Path, num_workers: int) -> int:
    """One epoch of two views; the number of images."""
    crop = Compose([RandomResizedCrop(SIZE, AREAS, ASPECTS), PILToTensor()])
    images = ImageFolder(str(folder / "train"), lambda image: torch.stack([crop(image), crop(image)]))
    return sum(len(batch) for batch, _ in DataLoader(images, BATCH, shuffle=True, num_workers=num_workers))


def draw_boxes(images: Images, rows: Tensor) -> Tensor:
    """Two boxes an image (B, 2, 4) by the law of RandomResizedCrop."""
    assert images.sizes is not None
    extents = images.sizes[rows].tolist()
    blanks = [torch.empty(1).expand(3, height, width) for height, width in extents]
    areas, aspects = list(AREAS), list(ASPECTS)
    return torch.tensor([[RandomResizedCrop.get_params(blank, areas, aspects) for _ in range(2)] for blank in blanks])


def read_as_stream(images: Images, num_workers: int) -> int:
    """One epoch of two views; the number of images."""
    batches = ((rows, draw_boxes(images, rows)) for rows in torch.randperm(len(images)).split(BATCH))
    return sum(len(views[0]) for views in images.crops(batches, num_workers))


def decode_alone(folder: Path) -> None:
    """What no reader can be quicker than."""
    for path in sorted((folder / "train").glob("*/*.JPEG")):
        decode(path)


def tables() -> list[Table]:
    """Images a second and worker of both, which take turns, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        write_photographs(data_dir / "photographs")
        config = DataConfig(name="photographs", image_size=SIZE, reading="stream")
        images = load_dataset(config, data_dir, data_dir / "cache").train
        readers: dict[str, Callable[[], object]] = {
            "ours": lambda: read_as_stream(images, NUM_WORKERS),
            "torchvision's ImageFolder in a DataLoader": lambda: read_by_torchvision(
                data_dir / "photographs", NUM_WORKERS
            ),
            "decoding alone, by Pillow": lambda: decode_alone(data_dir / "photographs"),
        }
        timings = in_turns(readers, ROUNDS)
    rows: list[tuple[str | float, ...]] = [
        (name, NUM_IMAGES / statistics.median(seconds), speed_ratio(timings, "ours", name))
        for name, seconds in timings.items()
    ]
    note = (
        f"{NUM_IMAGES} JPEG photographs of 500 x 375 pixels, two random crops of {SIZE} pixels of each, by"
        f" {NUM_WORKERS} worker process of one thread. All decode an image once for both crops, in full."
    )
    return [Table("Reading large images", ("what", "images a second", "ours is x times as fast"), rows, note)]
