"""A folder of small images, <data_dir>/<name>/{train,test}/<class>/*.jpg: its listing, then its pixels."""

from __future__ import annotations

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from simclr_core.options import nearest

SUFFIXES = (".jpg", ".jpeg", ".png")
SPLITS = ("train", "test")
SHOWN_PROBLEMS = 10
GIVE_UP = 1000
"""Unusable images after which no more are looked at: this is not the folder that was meant."""
CHUNK = 500
"""Images decoded by one thread before it reports."""


class DataError(ValueError):
    """Everything that is wrong with a data set, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class ImageFolder:
    """The images of both splits; ``files`` holds (class number, path under ``root``), by class, then by name."""

    root: Path
    classes: tuple[str, ...]
    files: dict[str, list[tuple[int, str]]]
    image_size: int
    progress: bool

    def labels(self, split: str) -> list[int]:
        """The class number of every image."""
        return [label for label, _ in self.files[split]]

    def key(self, split: str) -> str:
        """16 hexadecimal digits that change when a file is added, removed, renamed or written, and with the size."""
        digest = hashlib.sha256(str(self.image_size).encode())
        for _, name in self.files[split]:
            stat = (self.root / name).stat()
            digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def pixels(self, split: str) -> npt.NDArray[np.uint8]:
        """All images as uint8 (N, 3, S, S); DataError naming those that cannot be read or have another size."""
        size = self.image_size
        names = [name for _, name in self.files[split]]
        shape = (len(names), 3, size, size)
        try:
            out = np.empty(shape, dtype=np.uint8)
        except MemoryError:
            raise DataError(
                [f"{self.root / split}: its pixels, {math.prod(shape)} bytes, do not fit in memory"]
            ) from None
        problems: list[str] = []

        def decode(start: int) -> list[str]:
            chunk = enumerate(names[start : start + CHUNK], start)
            return [found for row, name in chunk if (found := _decode(self.root / name, size, out[row]))]

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            starts = range(0, len(names), CHUNK)
            found = pool.map(decode, starts)
            console = Console(stderr=True)
            hidden = not (self.progress and console.is_terminal)
            label = f"decoding {self.root.name}/{split}"
            for chunk in track(found, label, len(starts), console=console, transient=True, disable=hidden):
                problems += chunk
                if len(problems) >= GIVE_UP:
                    pool.shutdown(cancel_futures=True)
                    break
        if problems:
            rest = len(problems) - SHOWN_PROBLEMS
            count = f"at least {rest}" if len(problems) >= GIVE_UP else str(rest)
            more = [f"{self.root / split}: {count} more unusable images"] if rest > 0 else []
            raise DataError(problems[:SHOWN_PROBLEMS] + more)
        return out


def scan(name: str, data_dir: Path, image_size: int, *, progress: bool) -> ImageFolder:
    """Lists the images of <data_dir>/<name>; DataError if the folder is missing or is not laid out as expected."""
    root = data_dir / name
    if not root.is_dir():
        there = sorted(path.name for path in data_dir.iterdir() if path.is_dir()) if data_dir.is_dir() else []
        raise DataError([f"data.name = {name!r}: no folder {root}{nearest(name, ['photos', *there])}; {_layout(root)}"])
    names = {split: _class_names(root / split) for split in SPLITS}
    problems = [f"{root / split}: no class folders; {_layout(root)}" for split in SPLITS if not names[split]]
    if not problems:
        problems = [
            f"{root / split}: no class folder {missing}, which {other} has"
            for split, other in (("train", "test"), ("test", "train"))
            for missing in sorted(set(names[other]) - set(names[split]))
        ]
    files: dict[str, list[tuple[int, str]]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for label, class_name in enumerate(names[split]):
            found = _image_names(root / split / class_name)
            files[split] += [(label, f"{split}/{class_name}/{file}") for file in found]
            if not found:
                problems.append(f"{root / split / class_name}: no image ({', '.join(SUFFIXES)})")
    if problems:
        raise DataError(problems)
    return ImageFolder(root, tuple(names["train"]), files, image_size, progress)


def _layout(root: Path) -> str:
    return f"expected {root}/train/<class>/ and {root}/test/<class>/ with images ({', '.join(SUFFIXES)})"


def _class_names(split: Path) -> list[str]:
    if not split.is_dir():
        return []
    return sorted(path.name for path in split.iterdir() if path.is_dir() and not path.name.startswith("."))


def _image_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
        )


def _decode(path: Path, size: int, out: npt.NDArray[np.uint8]) -> str | None:
    """Writes the image into ``out`` (3, size, size), or says what is wrong with it."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.size != (size, size):
                width, height = image.size
                return f"{path}: {width}x{height} pixels, expected {size}x{size} (data.image_size = {size})"
            out[:] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except UnidentifiedImageError:
        return f"{path}: neither a JPEG nor a PNG image"
    except (OSError, SyntaxError, ValueError) as error:
        return f"{path}: not a readable image ({error})"
    return None
