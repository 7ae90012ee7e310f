"""Images a second of ``StreamedImages.crops`` beside torchvision's ImageFolder and RandomResizedCrop.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py [--workers 1] [--rounds 5]

Both read the same 400 JPEG photographs of 400 to 600 pixels a side, made in a temporary folder from those that
scikit-image and scikit-learn carry, with as many worker processes, and give two random crops an image at 224 pixels,
as uint8: torchvision decodes an image once and crops it twice on Pillow's image. The two take turns, so that other
work on the machine meets both alike; the first round is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, PILToTensor, RandomResizedCrop

from simclr_core.config import DataConfig
from simclr_core.data import load_dataset
from simclr_core.images import Images
from simclr_core.photos import PHOTOGRAPHS

NUM_IMAGES = 400
SIZE = 224
BATCH = 50
AREAS = (0.08, 1.0)
ASPECTS = (3 / 4, 4 / 3)


def write_photographs(folder: Path) -> None:
    """<folder>/<split>/<class>/<number>.JPEG; the test split holds one a class."""
    draw = np.random.default_rng(0)
    for split, count in (("train", NUM_IMAGES), ("test", len(PHOTOGRAPHS))):
        for number in range(count):
            name, place = list(PHOTOGRAPHS.items())[number % len(PHOTOGRAPHS)]
            path = folder / split / name / f"{number:03}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            with files(place[0]).joinpath(place[1]).open("rb") as file, Image.open(file) as photograph:
                extent = tuple(draw.integers(400, 601, 2).tolist())
                photograph.convert("RGB").resize(extent).save(path, quality=90)


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
    return sum(len(batch) for batch in images.crops(batches, num_workers))


def main() -> None:
    """Print the images a second of each round, their medians, and the ratio of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        write_photographs(data_dir / "photographs")
        config = DataConfig(name="photographs", image_size=SIZE, reading="stream")
        images = load_dataset(config, data_dir, data_dir / "cache").train
        readers: dict[str, Callable[[], int]] = {
            "torchvision": lambda: read_by_torchvision(data_dir / "photographs", arguments.workers),
            "stream": lambda: read_as_stream(images, arguments.workers),
        }
        speeds: dict[str, list[float]] = {name: [] for name in readers}
        for round_number in range(arguments.rounds + 1):
            for name, read in readers.items():
                start = time.perf_counter()
                speed = read() / (time.perf_counter() - start) / max(1, arguments.workers)
                if round_number:
                    speeds[name].append(speed)
                    print(f"round {round_number}: {name:12} {speed:6.1f} images a second and worker")
    for name, values in speeds.items():
        print(f"{name}: median {statistics.median(values):.1f}")
    ratios = [stream / other for stream, other in zip(speeds["stream"], speeds["torchvision"], strict=True)]
    print(
        f"stream / torchvision, by round: median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
