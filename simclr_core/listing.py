"""The files of a folder of images, <data_dir>/<name>/{train,test}/<class>/*, by name: none is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from simclr_core.options import nearest

SUFFIXES = (".jpg", ".jpeg", ".png")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Listing:
    """The images of both splits, and everything that is wrong with their layout, one line each, in ``problems``.

    ``files`` holds (class number, path under ``root``), by class, then by name.
    """

    root: Path
    classes: tuple[str, ...] = ()
    files: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    problems: list[str] = field(default_factory=list)


def list_folder(name: str, data_dir: Path) -> Listing:
    """Lists the images of <data_dir>/<name>.

    Where ``test`` has no class folders, as in ImageNet, whose test labels are not public, ``val`` is the test set.
    """
    root = data_dir / name
    if not root.is_dir():
        there = sorted(path.name for path in data_dir.iterdir() if path.is_dir()) if data_dir.is_dir() else []
        missing = f"data.name = {name!r}: no folder {root}{nearest(name, ['photos', *there])}; {_layout(root)}"
        return Listing(root, problems=[missing])
    folders = {"train": "train", "test": "test"}
    if not _class_names(root / "test") and _class_names(root / "val"):
        folders["test"] = "val"
    names = {split: _class_names(root / folders[split]) for split in SPLITS}
    found = Listing(root, tuple(names["train"]))
    problems = [f"{root / split}: no class folders; {_layout(root)}" for split in SPLITS if not names[split]]
    if not problems:
        problems = [
            f"{root / folders[split]}: no class folder {missing}, which {folders[other]} has"
            for split, other in (("train", "test"), ("test", "train"))
            for missing in sorted(set(names[other]) - set(names[split]))
        ]
    found.problems.extend(problems)
    for split in SPLITS:
        for label, class_name in enumerate(names[split]):
            folder = f"{folders[split]}/{class_name}"
            images = _image_names(root / folder)
            found.files[split].extend((label, f"{folder}/{file}") for file in images)
            if not images:
                found.problems.append(f"{root / folder}: no image ({', '.join(SUFFIXES)})")
    return found


def _layout(root: Path) -> str:
    images = f"with images ({', '.join(SUFFIXES)})"
    return f"expected {root}/train/<class>/ and {root}/test/<class>/ (or val in place of test) {images}"


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
