"""One image file: its size from the header, its pixels, a crop of it; and what is said when it cannot be read."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from simclr_core.data_error import DataError

FORMATS = ("JPEG", "PNG")
_PADDING_GRAY = (128, 128, 128)
"""What libjpeg fills in for the blocks that a JPEG file does not hold."""


def image_extent(path: Path) -> tuple[int, int]:
    """Height and width in pixels, from the header alone; an EXIF rotation is not applied. Raises DataError."""
    with _opened(path) as image:
        return image.height, image.width


def decode(path: Path, side: int = 0) -> Tensor:
    """The image as uint8 (3, H, W), stored channels last; gray, palette and CMYK become RGB, EXIF rotation is ignored.

    DataError if it cannot be read, if it ends early (what is missing would be gray), or if it is not ``side`` pixels
    square where ``side`` is given.
    """
    with _opened(path) as image:
        if side and image.size != (side, side):
            width, height = image.size
            raise DataError([f"{path}: {width}x{height} pixels, expected {side}x{side} (data.image_size = {side})"])
        pixels = np.array(image.convert("RGB"))
        if tuple(pixels[-1, -1]) == _PADDING_GRAY and _ends_early(path, image, pixels):
            raise DataError([f"{path}: not a readable image (image file is truncated)"])
    return torch.from_numpy(pixels).permute(2, 0, 1)


def resized_crop(image: Tensor, box: list[int], size: int, interpolation: str) -> Tensor:
    """uint8 (3, H, W) cut to ``box`` (top, left, height, width) and resized with antialiasing to (3, size, size)."""
    resized: Tensor = vision.resized_crop(image, *box, [size, size], InterpolationMode(interpolation), antialias=True)
    return resized


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError([f"{path}: neither a JPEG nor a PNG image"]) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataError([f"{path}: not a readable image ({error})"]) from None


def _ends_early(path: Path, image: Image.Image, pixels: np.ndarray) -> bool:
    """Whether the end marker of a baseline JPEG comes before its last block.

    Pillow reports a file that just stops, but not one that is closed by a marker too soon. Zeros in the marker's
    place are decoded as blocks, so they show in the pixels if, and only if, blocks are missing.
    """
    if image.format != "JPEG" or image.info.get("progressive"):
        return False
    content = path.read_bytes()
    end = content.rfind(b"\xff\xd9")
    with Image.open(io.BytesIO(content[:end] + bytes(len(content))), formats=FORMATS) as padded:
        return not np.array_equal(np.asarray(padded.convert("RGB")), pixels)
