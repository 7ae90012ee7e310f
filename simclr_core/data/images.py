"""Labelled images with one interface for training and evaluations: ``Images``, and images held in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simclr_core.data.decoding import resized_crop

Batches = Iterable[tuple[Tensor, Tensor]]
"""Rows (B,) of the next images and their boxes, integers (B, V, 4): top, left, height and width in source pixels."""


class Images(Protocol):
    """N labelled images, S pixels a side once they are read.

    ``labels``: int64 (N,), positions in the data set's ``classes``, -1 if an image has no label. ``sizes``: int64 (N,
    2), heights and widths in source pixels; None if all images are S x S. The generators read ahead, and with
    ``num_workers`` they own processes: close them (``contextlib.closing``).
    """

    @property
    def labels(self) -> Tensor: ...  # noqa: D102 - described above

    @property
    def sizes(self) -> Tensor | None: ...  # noqa: D102 - described above

    def __len__(self) -> int: ...

    def whole(self, rows: Tensor, batch_size: int, num_workers: int = 0) -> Generator[Tensor, None, None]:
        """Yield the images of ``rows`` as evaluations see them, uint8 (b, 3, S, S) with b at most ``batch_size``."""
        ...

    def crops(
        self,
        batches: Batches,
        num_workers: int = 0,
        interpolation: str = "bilinear",
        sizes: Sequence[int] | None = None,
    ) -> Generator[list[Tensor], None, None]:
        """For each batch its V boxes resized with antialiasing, uint8 (B, 3, s, s) each; ``bilinear`` or ``bicubic``.

        ``sizes``: s of each of the V boxes, in pixels; None: S for all of them.
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in memory: uint8 (N, 3, S, S), and ``labels``, int64 (N,). No worker processes are needed."""

    images: Tensor
    labels: Tensor

    @property
    def sizes(self) -> None:
        """None, because all images have the same size."""
        return

    def __len__(self) -> int:
        return len(self.labels)

    def whole(self, rows: Tensor, batch_size: int, num_workers: int = 0) -> Generator[Tensor, None, None]:  # noqa: ARG002
        """Yield the images of ``rows`` unchanged, uint8 (b, 3, S, S)."""
        for part in rows.split(batch_size):
            yield self.images[part]

    def crops(
        self,
        batches: Batches,
        num_workers: int = 0,  # noqa: ARG002 - as for images that are decoded
        interpolation: str = "bilinear",
        sizes: Sequence[int] | None = None,
    ) -> Generator[list[Tensor], None, None]:
        """For each batch its V boxes resized with antialiasing, uint8 (B, 3, s, s) each."""
        for rows, boxes in batches:
            images = self.images[rows]
            yield [
                torch.stack(
                    [
                        resized_crop(image, box, size, interpolation)
                        for image, box in zip(images, boxes_of_view.tolist(), strict=True)
                    ]
                )
                for size, boxes_of_view in zip(
                    sizes or [self.images.shape[3]] * boxes.shape[1], boxes.unbind(1), strict=True
                )
            ]
