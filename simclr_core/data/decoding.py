"""Decoding of one image file: its size from the header, its pixels, a crop of it, and errors of unreadable files."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from simclr_core.data.class_folders import FORMATS
from simclr_core.data.errors import DataError

_AS_PILLOW_HAS_IT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
"""Modes that Pillow converts to 8-bit RGB without a loss other than transparency."""
_GRAY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_GRAY_16_AS_32 = ("PNG", "PPM")
"""Formats whose 16-bit gray Pillow reads as 32-bit integers (PNG: in older versions)."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8
_PADDING_GRAY = (128, 128, 128)
"""The colour that libjpeg fills in for the missing blocks of a JPEG file."""


def image_extent(path: Path) -> tuple[int, int]:
    """Return height and width in pixels from the header; an EXIF rotation is not applied. Raises DataError."""
    with _opened(path) as image:
        return image.height, image.width


def decode(path: Path, side: int = 0) -> Tensor:
    """Decode an image to uint8 (3, H, W), stored channels last; gray, palette and CMYK become RGB.

    16-bit gray is scaled from the full range of its format. Transparency is dropped: pixels keep the colour in the
    file. Of several frames or pages the first is read; EXIF rotation is ignored. Raises DataError if the file cannot be
    read, if its mode is LAB or does not define black and white (32-bit integers, floats), if the file ends early
    (missing pixels would be gray), or if the image is not ``side`` pixels square where ``side`` is given.
    """
    with _opened(path) as image:
        if side and image.size != (side, side):
            width, height = image.size
            raise DataError([f"{path}: {width}x{height} pixels, expected {side}x{side} (data.image_size = {side})"])
        pixels = _rgb(image)
        if tuple(pixels[-1, -1]) == _PADDING_GRAY and _ends_early(path, image, pixels):
            raise DataError([f"{path}: not a readable image (image file is truncated)"])
    return torch.from_numpy(pixels).permute(2, 0, 1)


def resized_crop(image: Tensor, box: list[int], size: int, interpolation: str) -> Tensor:
    """Cut uint8 (3, H, W) to ``box`` (top, left, height, width) and resize with antialiasing to (3, size, size)."""
    resized: Tensor = vision.resized_crop(image, *box, [size, size], InterpolationMode(interpolation), antialias=True)
    return resized


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the pixels as uint8 (H, W, 3)."""
    image.load()
    image.info.pop("transparency", None)  # Pillow warns that it is dropped
    if image.mode in _AS_PILLOW_HAS_IT:
        return np.array(image.convert("RGB"))
    if image.mode == "La":
        return np.array(image.convert("LA").convert("RGB"))
    values, white = np.asarray(image).astype(np.int64), 65535
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        white = 2 ** tags[_BITS_PER_SAMPLE][0] - 1
        if tags[_PHOTOMETRIC] == _WHITE_IS_ZERO:
            values = white - values
    gray = ((values * 255 + white // 2) // white).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _check_mode(path: Path, image: Image.Image) -> None:
    is_gray_16 = image.mode in _GRAY_16 or (image.mode == "I" and image.format in _GRAY_16_AS_32)
    if not is_gray_16 and image.mode not in (*_AS_PILLOW_HAS_IT, "La"):
        problem = f"{path}: a {image.format} image of mode {image.mode}, whose values have no agreed form in 8 bits"
        raise DataError([f"{problem}; expected 8 bits a channel, or gray of 16 bits"])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=_formats()) as image:
            _check_mode(path, image)
            yield image
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError([f"{path}: no image that can be read here ({', '.join(_formats())})"]) from None
    except Exception as error:  # noqa: BLE001  decoders raise all sorts of things for a damaged file
        raise DataError([f"{path}: not a readable image ({error})"]) from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the ``FORMATS`` that this Pillow can decode."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _ends_early(path: Path, image: Image.Image, pixels: np.ndarray) -> bool:
    """Whether the end marker of a baseline JPEG comes before its last block.

    Pillow reports a file that is cut off, but not a file that a marker ends too soon. If zeros replace the marker, they
    are decoded as blocks, so they appear in the pixels if and only if blocks are missing.
    """
    if image.format != "JPEG" or image.info.get("progressive"):
        return False
    content = path.read_bytes()
    end = content.rfind(b"\xff\xd9")
    with Image.open(io.BytesIO(content[:end] + bytes(len(content))), formats=_formats()) as padded:
        return not np.array_equal(np.asarray(padded.convert("RGB")), pixels)
