"""Every mode of pixels that Pillow has: what becomes of it, beside a computation of our own."""

from __future__ import annotations

import colorsys
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from simclr_core.config.schema import DataConfig
from simclr_core.data import decoding
from simclr_core.data.datasets import DataError, load_dataset
from simclr_core.data.decoding import decode, image_extent

Pixels = npt.NDArray[Any]
NOISE = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
GRAY_16 = np.random.default_rng(1).integers(0, 65536, (6, 5), dtype=np.uint16)
PALETTE = np.random.default_rng(2).integers(0, 256, (256, 3), dtype=np.uint8)


def gray(values: Pixels) -> Pixels:
    return np.repeat(values[:, :, None], 3, axis=2)


def rescaled(values: Pixels, white: int = 65535) -> Pixels:
    return gray(np.round(values / white * 255))


def in_bytes(mode: str, bands: Pixels) -> Image.Image:
    """An image of a mode whose pixels are these bytes (H, W, C)."""
    return Image.frombytes(mode, (5, 6), np.ascontiguousarray(bands).tobytes())


def with_palette(mode: str, bands: Pixels) -> Image.Image:
    image = in_bytes(mode, bands)
    image.putpalette(PALETTE.tobytes())
    return image


def transparent(image: Image.Image, transparency: Any) -> Image.Image:
    image.info["transparency"] = transparency
    return image


def divided(bands: Pixels) -> Pixels:
    """Colours that were multiplied by their alpha, which is the last band."""
    return np.minimum(255, bands[:, :, :-1] * 255.0 / np.maximum(bands[:, :, -1:], 1))


def of_ink(bands: Pixels) -> Pixels:
    cyan_magenta_yellow, black = bands[:, :, :3].astype(float), bands[:, :, 3:].astype(float)
    return (255 - cyan_magenta_yellow) * (255 - black) / 255


def of_luma(bands: Pixels) -> Pixels:
    """JFIF 1.02, page 3."""
    y, cb, cr = (bands[:, :, band].astype(float) for band in range(3))
    cb, cr = cb - 128, cr - 128
    return np.stack([y + 1.402 * cr, y - 0.34414 * cb - 0.71414 * cr, y + 1.772 * cb], axis=2).clip(0, 255)


def of_hue(bands: Pixels) -> Pixels:
    return np.array([[np.array(colorsys.hsv_to_rgb(*(pixel / 255))) * 255 for pixel in row] for row in bands])


MULTIPLIED = np.minimum(NOISE, NOISE[:, :, 3:])
BOTH = MULTIPLIED[:, :, [0, 3]]

Case = tuple[Callable[[], Image.Image], Pixels, float]
TABLE: dict[str, Case] = {
    # mode: an image, what becomes of it, levels of 255 by which Pillow's rounding of the formula may differ
    "1": (lambda: Image.fromarray(NOISE[:, :, 0] > 99), gray(np.where(NOISE[:, :, 0] > 99, 255, 0)), 0),
    "L": (lambda: in_bytes("L", NOISE[:, :, 0]), gray(NOISE[:, :, 0]), 0),
    "L, one level transparent": (lambda: transparent(in_bytes("L", NOISE[:, :, 0]), 7), gray(NOISE[:, :, 0]), 0),
    "LA": (lambda: in_bytes("LA", NOISE[:, :, :2]), gray(NOISE[:, :, 0]), 0),
    "La": (lambda: in_bytes("La", BOTH), np.repeat(divided(BOTH), 3, axis=2), 1),
    "P": (lambda: with_palette("P", NOISE[:, :, 0]), PALETTE[NOISE[:, :, 0]], 0),
    "P, one colour transparent": (
        lambda: transparent(with_palette("P", NOISE[:, :, 0]), int(NOISE[0, 0, 0])),
        PALETTE[NOISE[:, :, 0]],
        0,
    ),
    "P, an alpha each": (
        lambda: transparent(with_palette("P", NOISE[:, :, 0]), bytes(range(256))),
        PALETTE[NOISE[:, :, 0]],
        0,
    ),
    "PA": (lambda: with_palette("PA", NOISE[:, :, :2]), PALETTE[NOISE[:, :, 0]], 0),
    "RGB": (lambda: in_bytes("RGB", NOISE[:, :, :3]), NOISE[:, :, :3], 0),
    "RGBA": (lambda: in_bytes("RGBA", NOISE), NOISE[:, :, :3], 0),
    "RGBa": (lambda: in_bytes("RGBa", MULTIPLIED), divided(MULTIPLIED), 1),
    "RGBX": (lambda: in_bytes("RGBX", NOISE), NOISE[:, :, :3], 0),
    "CMYK": (lambda: in_bytes("CMYK", NOISE), of_ink(NOISE), 1),
    "YCbCr": (lambda: in_bytes("YCbCr", NOISE[:, :, :3]), of_luma(NOISE[:, :, :3]), 1.5),
    "HSV": (lambda: in_bytes("HSV", NOISE[:, :, :3]), of_hue(NOISE[:, :, :3]), 1),
    "I;16": (lambda: in_bytes("I;16", GRAY_16.astype("<u2")[:, :, None]), rescaled(GRAY_16), 0),
    "I;16L": (lambda: in_bytes("I;16L", GRAY_16.astype("<u2")[:, :, None]), rescaled(GRAY_16), 0),
    "I;16B": (lambda: in_bytes("I;16B", GRAY_16.astype(">u2")[:, :, None]), rescaled(GRAY_16), 0),
    "I;16N": (lambda: in_bytes("I;16N", GRAY_16[:, :, None]), rescaled(GRAY_16), 0),
}
REFUSED = ("I", "F", "LAB")


def test_the_table_has_every_mode() -> None:
    assert {name.partition(",")[0] for name in TABLE} | {*REFUSED} == {
        *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"),
        *("I", "F", "I;16", "I;16L", "I;16B", "I;16N"),
    }


@pytest.mark.parametrize("name", TABLE)
def test_what_becomes_of_a_mode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a file, as no format has all modes."""
    make, expected, tolerance = TABLE[name]
    monkeypatch.setattr(decoding.Image, "open", lambda *_, **__: make())

    assert make().mode == name.partition(",")[0]
    found = decode(Path("image")).permute(1, 2, 0).numpy().astype(float)
    assert found.shape == (6, 5, 3)
    assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("mode", REFUSED)
def test_modes_without_an_agreed_white_are_refused_by_name(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.tiff"
    Image.new(mode, (5, 6)).save(path)
    for read in (decode, image_extent):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path}: a TIFF image of mode {mode}, whose values have no agreed form in 8 bits; expected 8 bits a"
            " channel, or gray of 16 bits"
        )


def test_inverted_ink_of_adobe_s_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "ink.jpg"
    Image.new("CMYK", (16, 16), (200, 100, 20, 60)).save(path, quality=100)
    assert b"Adobe" in path.read_bytes()

    expected = of_ink(np.array([[[200, 100, 20, 60]]]))
    assert np.abs(decode(path).permute(1, 2, 0).numpy() - expected).max() <= 3


def tiff(values: Pixels, bits: int, photometric: int) -> bytes:
    """Uncompressed gray; of 12 bits two pixels in three bytes (TIFF 6.0)."""
    if bits == 12:
        even, odd = (values.ravel()[start::2].astype(int) for start in (0, 1))
        data = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=1).astype(np.uint8).tobytes()
    else:
        data = values.astype("<u2").tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(("bits", "photometric"), [(16, 1), (16, 0), (12, 1)])
def test_gray_of_a_tiff_has_the_range_that_its_tags_say(bits: int, photometric: int, tmp_path: Path) -> None:
    values = GRAY_16[:, :4] >> (16 - bits)
    path = tmp_path / "gray.tif"
    path.write_bytes(tiff(values, bits, photometric))

    white = 2**bits - 1
    expected = rescaled(values if photometric else white - values, white)
    assert np.array_equal(decode(path).permute(1, 2, 0).numpy(), expected)


@settings(deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    suffix=st.sampled_from(["png", "tif", "pgm", "jp2"]),
    big_endian=st.booleans(),
)
def test_a_picture_of_8_and_of_16_bits_is_one(values: Pixels, suffix: str, big_endian: bool, tmp_path: Path) -> None:
    """Whatever is in it, however it is saved."""
    in_8, in_16 = tmp_path / "8.png", tmp_path / f"16.{suffix}"
    Image.fromarray(np.round(values / 257).astype(np.uint8)).save(in_8)
    is_tiff = suffix == "tif"
    height, width = values.shape
    mode, kind = ("I;16B", ">u2") if big_endian and is_tiff else ("I;16", "<u2")
    Image.frombytes(mode, (width, height), values.astype(kind).tobytes()).save(in_16)

    difference = decode(in_16).int() - decode(in_8).int()
    assert difference.abs().max() <= 1
    assert torch.equal(decode(in_16)[0], decode(in_16)[2])


@pytest.mark.parametrize("reading", ["memory", "stream"])
def test_folders_of_gray_images_of_8_and_16_bits_are_alike(reading: str, tmp_path: Path) -> None:
    ramp = np.linspace(2000, 50000, 32 * 32).reshape(32, 32)
    for split in ("train", "test"):
        for name, factor in (("dark", 0.5), ("bright", 1.0)):
            for kind, values in (
                ("g8", (ramp * factor / 257).round().astype(np.uint8)),
                ("g16", (ramp * factor).round().astype(np.uint16)),
            ):
                folder = tmp_path / kind / split / name
                folder.mkdir(parents=True)
                Image.fromarray(values).save(folder / "0.png")
    found = []
    for kind in ("g8", "g16"):
        config = DataConfig(kind, image_size=32, reading=reading)
        images = load_dataset(config, tmp_path, tmp_path / "cache", progress=False).train
        ((crop,),) = images.crops([(torch.arange(2), torch.tensor([0, 0, 32, 32]).expand(2, 1, 4))])
        found.append(crop.int())

    assert (found[0] - found[1]).abs().max() <= 1
    assert found[0].float().mean() < 150
