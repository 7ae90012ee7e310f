"""Images too many or too large for memory: decoded whenever they are needed, by worker processes.

Every file is decoded once for all its boxes, in full: libjpeg's reduced-scale decoding would be quicker for large
boxes, but it changes pixels. Results come in the order asked for, the same for every number of workers.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as vision

from simclr_core.data.decoding import decode, resized_crop
from simclr_core.data.errors import DataError
from simclr_core.data.image_folder import ImageFolder
from simclr_core.data.images import Batches
from simclr_core.imaging.crops import evaluation_view

TEST_RESIZE = 256 / 224
"""Shorter side over the centre crop's, at test time (SimCLR B.8; SimSiam and MoCo code)."""
PIECE = 16
"""Images that a worker hands over at a time: few enough that all workers share in every batch."""

Piece = tuple[Tensor, Tensor | None]
"""Rows (b,) and their boxes (b, V, 4), or None for whole images."""


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """N images on disk.

    ``files``: paths under ``root``, as bytes (N,). ``labels``: int64 (N,). ``sizes``: int64 (N, 2), height and width.
    """

    root: Path
    files: npt.NDArray[np.bytes_]  # one block of memory, which processes share; a list of str they would copy
    labels: Tensor
    sizes: Tensor
    image_size: int
    whole_images: str

    @classmethod
    def of(cls, folder: ImageFolder, split: str, extents: npt.NDArray[np.int32], whole_images: str) -> StreamedImages:
        """The images of a split; ``extents``: their heights and widths (N, 2)."""
        files = np.array([os.fsencode(name) for _, name in folder.files[split]])
        labels = torch.tensor(folder.labels(split))
        return cls(folder.root, files, labels, torch.from_numpy(extents).long(), folder.image_size, whole_images)

    def __len__(self) -> int:
        return len(self.labels)

    def whole(self, rows: Tensor, batch_size: int, num_workers: int = 0) -> Generator[Tensor, None, None]:
        """The images of ``rows``, uint8 (b, 3, S, S), their middle .875.

        ``resize_then_crop``: the shorter side resized to 256/224 S, then the centre S x S. ``crop_then_resize``:
        ``crops.evaluation_view``, to the nearest of 256 levels. DataError naming the first file that cannot be read.
        """
        pieces = ((part, None) for part in rows.split(batch_size))
        with contextlib.closing(self._read(pieces, num_workers, "bilinear", None)) as read:
            for (images,) in read:
                yield images

    def crops(
        self,
        batches: Batches,
        num_workers: int = 0,
        interpolation: str = "bilinear",
        sizes: Sequence[int] | None = None,
    ) -> Generator[list[Tensor], None, None]:
        """For each batch its V boxes resized with antialiasing, uint8 (B, 3, s, s) each, as torchvision's resized_crop.

        ``sizes``: s of each of the V boxes, in pixels; None: ``image_size`` for all of them. ``batches`` is read ahead
        by about one batch. DataError naming the first file that cannot be read, or that has been written since its
        size was.
        """
        return self._read(batches, num_workers, interpolation, sizes)

    def read(self, row: int) -> Tensor:
        """The decoded image, uint8 (3, H, W)."""
        path = self.root / os.fsdecode(self.files[row])
        image = decode(path)
        expected = self.sizes[row].tolist()
        if list(image.shape[1:]) != expected:
            height, width = image.shape[1:]
            raise DataError(
                [f"{path}: {width}x{height} pixels, was {expected[1]}x{expected[0]} when its size was read"]
            )
        return image

    def _read(
        self, batches: Iterable[Piece], num_workers: int, interpolation: str, sizes: Sequence[int] | None
    ) -> Generator[list[Tensor], None, None]:
        batches = iter(batches)
        first = next(batches, None)
        if first is None:
            return
        if sizes is None:
            sizes = [self.image_size] * (1 if first[1] is None else first[1].shape[1])
        num_bytes = [3 * size**2 for size in sizes]
        lengths: deque[int] = deque()
        pieces = _pieces(itertools.chain([first], batches), lengths)
        # At least one batch is under way while another is trained on.
        in_flight = 1 + math.ceil(len(first[0]) / (PIECE * num_workers)) if num_workers else None
        loader: DataLoader[Any] = DataLoader(
            _Reader(self, interpolation, sizes),  # type: ignore[arg-type]  # a mapping from pieces, where torch has Dataset
            batch_size=None,
            sampler=pieces,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_quieten,
            generator=torch.Generator(),  # the global one stays as it is
            prefetch_factor=in_flight,
        )
        results = iter(loader)
        try:
            for result in results:
                batch = torch.empty((lengths[0], sum(num_bytes)), dtype=torch.uint8)
                filled = 0
                for piece in itertools.chain([result], results):
                    pixels = _checked(piece)
                    batch[filled : filled + len(pixels)] = pixels
                    filled += len(pixels)
                    if filled == lengths[0]:
                        break
                lengths.popleft()
                yield [
                    part.unflatten(1, (3, size, size))
                    for size, part in zip(sizes, batch.split(num_bytes, dim=1), strict=True)
                ]
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            hint = "it may have run out of memory or of shared memory (/dev/shm)"
            raise DataError([f"{self.root}: a process that decodes images has died; {hint}: {error}"]) from error
        finally:
            if num_workers:
                # Nothing public ends the processes while a traceback, say, still refers to the iterator.
                results._shutdown_workers()  # type: ignore[attr-defined]  # noqa: SLF001


@dataclass(frozen=True, eq=False)
class _Reader:
    """What a worker process does; problems are returned, since torch would raise another exception for them.

    Of each image all views, one after the other, in one row of bytes: a piece is one tensor, and so one open file,
    however many views it has.
    """

    images: StreamedImages
    interpolation: str
    sizes: Sequence[int]

    def __getitem__(self, piece: Piece) -> Tensor | list[str]:
        rows, boxes = piece
        try:
            if boxes is None:
                view = WHOLE_IMAGES[self.images.whole_images]
                size = self.images.image_size
                return torch.stack([view(self.images.read(row), size).flatten() for row in rows.tolist()])
            images = map(self.images.read, rows.tolist())
            return torch.stack(
                [self._crops(image, image_boxes) for image, image_boxes in zip(images, boxes.tolist(), strict=True)]
            )
        except DataError as error:
            return error.problems

    def _crops(self, image: Tensor, boxes: list[list[int]]) -> Tensor:
        crops = (
            resized_crop(image, box, size, self.interpolation) for size, box in zip(self.sizes, boxes, strict=True)
        )
        return torch.cat([crop.flatten() for crop in crops])


def _resize_then_crop(image: Tensor, size: int) -> Tensor:
    resized = vision.resize(image, [round(TEST_RESIZE * size)], antialias=True)
    centre: Tensor = vision.center_crop(resized, [size, size])
    return centre


def _crop_then_resize(image: Tensor, size: int) -> Tensor:
    return evaluation_view(image[None] / 255, size)[0].mul_(255).round_().to(torch.uint8)


WHOLE_IMAGES = {"resize_then_crop": _resize_then_crop, "crop_then_resize": _crop_then_resize}


def _pieces(batches: Iterator[Piece], lengths: deque[int]) -> Iterator[Piece]:
    for rows, boxes in batches:
        lengths.append(len(rows))
        for start in range(0, len(rows), PIECE):
            part = slice(start, start + PIECE)
            yield rows[part], None if boxes is None else boxes[part]


def _checked(result: Tensor | list[str]) -> Tensor:
    if isinstance(result, list):
        raise DataError(result)
    return result


def _as_it_is(result: Tensor | list[str]) -> Tensor | list[str]:
    return result


def _quieten(_: int) -> None:
    """In a worker: odd EXIF data is not told of anew in every epoch, and Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
