"""A folder of images, <data_dir>/<name>/{train,test}/<class>/*: its list of files, its fingerprint, its pixels."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from simclr_core.data.class_folders import named, shown
from simclr_core.data.decoding import decode, image_extent
from simclr_core.data.errors import DataError
from simclr_core.data.listing import SPLITS, list_folder

DECODING = 1
"""Version of the decoding; raise it when the same files would give other pixels."""
GIVE_UP = 1000
"""Number of unusable images after which the search ends: this is not the intended folder."""
CHUNK = 100
"""Number of images that one thread reads before it reports."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of both splits; ``files`` holds (class number, path under ``root``), by class, then by name.

    ``unusable``: split -> one line for every entry that should be an image, or that holds images, and is not in
    ``files``. ``others``: paths of files whose names are not those of images.
    """

    root: Path
    classes: tuple[str, ...]
    files: dict[str, list[tuple[int, str]]]
    unusable: dict[str, list[str]]
    others: list[str]
    image_size: int
    progress: bool

    def labels(self, split: str) -> list[int]:
        """Return the class number of every image of a split."""
        return [label for label, _ in self.files[split]]

    def listing_key(self, split: str) -> str:
        """Return 16 hexadecimal digits that change if a file is added, removed, renamed, moved or written."""
        digest = hashlib.sha256(os.fsencode(self.root.resolve()))
        for (_, name), stats in zip(self.files[split], self._stats[split], strict=True):
            digest.update(os.fsencode(name) + b"\0%d\0%d\0%d\n" % stats)
        return digest.hexdigest()[:16]

    def contents(self, split: str) -> npt.NDArray[np.uint8]:
        """Return the SHA-256 (N, 32) of every file; raises DataError naming the files that cannot be read."""
        out = np.zeros((len(self.files[split]), 32), dtype=np.uint8)

        def keep(row: int, path: Path) -> None:
            try:
                out[row] = np.frombuffer(hashlib.sha256(path.read_bytes()).digest(), dtype=np.uint8)
            except OSError as error:
                raise DataError([f"{path}: not a readable image ({error.strerror or error})"]) from None

        self._raise(split, self._look(split, f"reading {self.root.name}/{split}", keep, GIVE_UP))
        return out

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of the names, lengths in bytes and labels of all files, without their pixels."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for split in SPLITS:
            digest.update(f"{split}\n".encode())
            for (label, name), (length, *_) in zip(self.files[split], self._stats[split], strict=True):
                digest.update(os.fsencode(f"{name.partition('/')[2]}\0{length}\0{label}\n"))
        return digest.hexdigest()

    def pixels(self, split: str) -> npt.NDArray[np.uint8]:
        """Return all images as uint8 (N, 3, S, S); raises DataError naming unreadable or wrongly sized images."""
        size = self.image_size
        shape = (len(self.files[split]), 3, size, size)
        try:
            out = np.empty(shape, dtype=np.uint8)
        except MemoryError:
            raise DataError(
                [f"{self.root / split}: its pixels, {math.prod(shape)} bytes, do not fit in memory"]
            ) from None

        def keep(row: int, path: Path) -> None:
            out[row] = decode(path, size).numpy()

        self._raise(split, self._look(split, f"decoding {self.root.name}/{split}", keep, GIVE_UP))
        return out

    def extents(self, split: str) -> npt.NDArray[np.int32]:
        """Return height and width (N, 2) of every image from its header; raises DataError naming unreadable headers."""
        out = np.zeros((len(self.files[split]), 2), dtype=np.int32)

        def keep(row: int, path: Path) -> None:
            out[row] = image_extent(path)

        self._raise(split, self._look(split, f"reading sizes of {self.root.name}/{split}", keep, GIVE_UP))
        return out

    def readable_extents(self, split: str) -> npt.NDArray[np.int32]:
        """Return what ``extents`` returns, but decode every image; an image that cannot be decoded gets 0, 0."""
        out = np.zeros((len(self.files[split]), 2), dtype=np.int32)

        def keep(row: int, path: Path) -> None:
            out[row] = decode(path).shape[1:]

        self._look(split, f"checking {self.root.name}/{split}", keep)
        return out

    def problem(self, split: str, row: int) -> str:
        """Return what is wrong with an unreadable image."""
        path = self.root / self.files[split][row][1]
        try:
            decode(path)
        except DataError as error:
            return str(error)
        return f"{path}: was not readable when it was checked"

    def without(self, unreadable: dict[str, list[int]]) -> ImageFolder:
        """Return the folder without these rows of each split; raises DataError if a class has no image left."""
        files = {}
        for split, rows in unreadable.items():
            left_out = set(rows)
            files[split] = [file for row, file in enumerate(self.files[split]) if row not in left_out]
        problems = []
        for split in SPLITS:
            left = {label for label, _ in files[split]}
            if empty := [each for label, each in enumerate(self.classes) if label not in left]:
                problems.append(f"{self.root / split}: no readable image of {named('class', empty, 'classes')}")
        if problems:
            raise DataError(problems)
        return replace(self, files=files)

    @cached_property
    def _stats(self) -> dict[str, list[tuple[int, int, int]]]:
        """Return length in bytes and times of writing and of change, in nanoseconds, of every file.

        A copy can keep the time of writing of the file that it replaces; its time of change is its own.
        """
        with _told():
            found = {split: [(self.root / name).stat() for _, name in self.files[split]] for split in SPLITS}
        return {split: [(s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats] for split, stats in found.items()}

    def _look(self, split: str, label: str, look: Callable[[int, Path], None], give_up: float = math.inf) -> list[str]:
        """Call ``look`` with every row and path, in threads; raise its exceptions as one DataError, ordered by row."""
        files = self.files[split]

        def chunk(start: int) -> list[str]:
            problems: list[str] = []
            for row in range(start, min(start + CHUNK, len(files))):
                try:
                    look(row, self.root / files[row][1])
                except DataError as error:
                    problems += error.problems
            return problems

        problems: list[str] = []
        starts = range(0, len(files), CHUNK)
        console = Console(stderr=True)
        hidden = not (self.progress and console.is_terminal)
        pool = ThreadPoolExecutor(max_workers=os.cpu_count())
        try:
            found = pool.map(chunk, starts)
            for more in track(found, label, len(starts), console=console, transient=True, disable=hidden):
                problems += more
                if len(problems) >= give_up:
                    break
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt waits for the chunks in hand, not for all
        return problems

    def _raise(self, split: str, problems: list[str]) -> None:
        if problems:
            what = "unusable images, and then no more were looked at" if len(problems) >= GIVE_UP else "unusable images"
            raise DataError(shown(problems, self.root / split, what))


def scan(name: str, data_dir: Path, image_size: int, *, progress: bool, skip: bool = False) -> ImageFolder:
    """List the images of <data_dir>/<name>; raises DataError if the folder is missing or has another layout.

    If ``test`` has no class folders, as in ImageNet, whose test labels are not public, ``val`` is the test set. An
    entry that should be an image, or that holds images, and cannot be read is an error unless ``skip``.
    """
    found = list_folder(name, data_dir)
    if problems := found.problems + ([] if skip else found.unusable_lines):
        raise DataError(shown(problems, found.root, "things that cannot be used"))
    return ImageFolder(found.root, found.classes, found.files, found.unusable, found.others, image_size, progress)


@contextmanager
def _told() -> Iterator[None]:
    """Turn the system's error for a file or folder into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError([f"{error.filename}: {error.strerror or error}"]) from None
