"""Label subsets given as lists of file names, such as those published for 1 % and 10 % of ImageNet."""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simclr_core.config.runtime import user_path
from simclr_core.data.errors import DataError

_SHOWN = 5


class LabelList(NamedTuple):
    """A label subset. ``rows``: positions in the training set, ascending. ``sha256``: hash of the list's file."""

    rows: tuple[int, ...]
    sha256: str


def find_label_list(name: str, folder: Path) -> Path:
    """Return the file ``name`` in the data set's folder, else as a path; raises DataError if neither exists."""
    places = (folder / name, user_path(name))
    for place in places:
        if place.is_file():
            return place
    raise DataError([f"label_list = {name!r}: no file {places[0]}, and no file {places[1]}"])


def labels_from_list(path: Path, files: Sequence[str]) -> LabelList:
    """Return the training images that a list names, one per line, by file name or with the class.

    ``files``: paths of the training images, such as ``train/n04235860/n04235860_14959.JPEG``; a line may be
    ``n04235860_14959.JPEG``. Raises DataError with the numbers of names that are not among ``files``, that occur twice,
    and that several files have.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError([f"{path}: not a list of image names ({error.strerror or error})"]) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise DataError([f"{path}: not a list of image names in UTF-8 (UTF-16 or binary); save it as UTF-8"])
    # names of files are bytes: those that are no UTF-8 are written in the same bytes here
    lines = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").splitlines()
    names = [name for line in lines if (name := line.strip())]
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row, file in enumerate(files):
        *_, class_name, name = file.split("/")
        for given in (name, f"{class_name}/{name}"):
            if given in rows:
                rows[given].append(row)
    unknown = [name for name, found in rows.items() if not found]
    ambiguous = [name for name, found in rows.items() if len(found) > 1]
    uses = Counter(row for name in names for row in rows[name][:1])
    repeated = [files[row] for row, count in uses.items() if count > 1]
    problems = [
        f"{path}: {len(found)} {what}: {', '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''}"
        for found, what in (
            (unknown, f"names that are not among the {len(files)} training images"),
            (ambiguous, "names that several training images have (write <class>/<name>)"),
            (repeated, "images that are named more than once"),
        )
        if found
    ]
    if not names:
        problems = [f"{path}: names no image"]
    if problems:
        raise DataError(problems)
    return LabelList(tuple(sorted(rows[name][0] for name in names)), hashlib.sha256(content).hexdigest())
