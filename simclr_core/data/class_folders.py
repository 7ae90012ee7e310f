"""The content of a split's class folders: images, entries that should be images but cannot be read, and other files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "AVIF": (".avif",),
}
"""The image formats that are read, by Pillow's names, with their file extensions: the common ones only."""
SUFFIXES = tuple(suffix for of_format in FORMATS.values() for suffix in of_format)
_OTHER_IMAGES = (
    *(".heic", ".heif", ".jxl", ".svg", ".svgz", ".tga", ".dib", ".ico", ".icns", ".psd", ".xcf", ".pcx", ".dds"),
    *(".dcm", ".nii", ".exr", ".hdr", ".fits", ".qoi", ".eps", ".sgi", ".xbm", ".xpm", ".mpo", ".avifs"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Split:
    """The files of a split.

    ``classes``: class -> names of its image files, both sorted. ``unusable``: one line for every entry that should be
    an image, or that holds images, and cannot be read. ``others``: paths of files whose names are not those of images,
    hidden files included.
    """

    classes: dict[str, list[str]] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def list_split(folder: Path) -> Split:
    """List the content of ``folder`` and its class folders; empty if ``folder`` does not exist. Raises OSError."""
    found = Split()
    if not folder.is_dir():
        return found
    for entry in _entries(folder):
        if entry.name.startswith("."):
            found.others.append(entry.path)
        elif entry.is_dir():
            found.classes[entry.name] = _images(Path(entry.path), found)
        elif entry.is_file() and _is_image(entry.name):
            found.unusable.append(f"{entry.path}: an image outside of the class folders")
        else:
            _other(entry, found, known=entry.is_file())
    return found


def _images(folder: Path, found: Split) -> list[str]:
    images = []
    for entry in _entries(folder):
        name = entry.name.lower()
        if name.startswith("."):
            found.others.append(entry.path)
        elif name.endswith(SUFFIXES) and entry.is_file():
            images.append(entry.name)
        elif entry.is_dir():
            found.unusable.append(f"{entry.path}: a folder within a class folder; expected its images beside it")
        elif name.endswith(_OTHER_IMAGES) and entry.is_file():
            suffix = os.path.splitext(name)[1]  # noqa: PTH122 - of a name, not of a path
            found.unusable.append(f"{entry.path}: {suffix} images are not read; expected {', '.join(FORMATS)}")
        else:
            _other(entry, found, known=not _is_image(name))
    return images


def _other(entry: os.DirEntry[str], found: Split, *, known: bool) -> None:
    """Record a file that is ``known`` to be no image, or an entry that is not a file: a broken link, a pipe."""
    if known:
        found.others.append(entry.path)
    elif entry.is_symlink():
        target = os.readlink(entry.path)  # noqa: PTH115 - a Path would tidy it up
        found.unusable.append(f"{entry.path}: a link to {target}, which is not there")
    else:
        found.unusable.append(f"{entry.path}: not a file")


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES + _OTHER_IMAGES)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with closing(os.scandir(folder)) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def named(what: str, names: Sequence[str], plural: str = "") -> str:
    """Return ``class ant``, ``classes ant, bee``, or for many names the first ones and the number of the others."""
    shown = ", ".join(names[:SHOWN_PROBLEMS])
    more = f" and {len(names) - SHOWN_PROBLEMS} more" if len(names) > SHOWN_PROBLEMS else ""
    return f"{what if len(names) == 1 else plural or what + 's'} {shown}{more}"


def shown(problems: Sequence[str], where: Path, what: str) -> list[str]:
    """Return the first problems, and one line with the number of further ``what``."""
    more = len(problems) - SHOWN_PROBLEMS
    return [*problems[:SHOWN_PROBLEMS], *([f"{where}: {more} more {what}"] if more > 0 else [])]
