"""The files of a folder of images, <data_dir>/<name>/{train,test}/<class>/*, by name; no file is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from formats.names import nearest
from simclr_core.data.class_folders import FORMATS, list_split, named

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Listing:
    """The images of both splits, and everything that is wrong with their layout, one line each, in ``problems``.

    ``files``: split -> (class number, path under ``root``), by class, then by name. ``unusable``: split -> one line for
    every entry that should be an image, or that holds images, and is not in ``files``. ``others``: paths of files whose
    names are not those of images.
    """

    root: Path
    problems: list[str]
    classes: tuple[str, ...] = ()
    files: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    unusable: dict[str, list[str]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    others: list[str] = field(default_factory=list)

    @property
    def unusable_lines(self) -> list[str]:
        """The lines of ``unusable`` of both splits."""
        return [line for split in SPLITS for line in self.unusable[split]]


def list_folder(name: str, data_dir: Path) -> Listing:
    """List the images of <data_dir>/<name>.

    If ``test`` has no class folders, as in ImageNet, whose test labels are not public, ``val`` is the test set.
    """
    root = data_dir / name
    try:
        if not root.is_dir():
            there = sorted(path.name for path in data_dir.iterdir() if path.is_dir()) if data_dir.is_dir() else []
            problem = f"data.name = {name!r}: no folder {root}{nearest(name, ['photos', *there])}"
            return Listing(root, [f"{problem}; {_layout(root)}"])
        folders = {"train": "train", "test": "test"}
        found = {split: list_split(root / folders[split]) for split in SPLITS}
        if not found["test"].classes and (validation := list_split(root / "val")).classes:
            folders["test"], found["test"] = "val", validation
    except OSError as error:
        return Listing(root, [f"{error.filename}: {error.strerror or error}"])
    classes = {split: list(found[split].classes) for split in SPLITS}
    problems = [f"{root / split}: no class folders; {_layout(root)}" for split in SPLITS if not classes[split]]
    if not problems:
        problems = [
            f"{root / folders[split]}: no {named('class folder', missing)}, which {folders[other]} has"
            for split, other in (("train", "test"), ("test", "train"))
            if (missing := sorted(set(classes[other]) - set(classes[split])))
        ]
    for split in SPLITS:
        if empty := [each for each, images in found[split].classes.items() if not images]:
            problems.append(_no_image(root / folders[split], empty))
    files = {
        split: [
            (label, f"{folders[split]}/{each}/{image}")
            for label, (each, images) in enumerate(found[split].classes.items())
            for image in images
        ]
        for split in SPLITS
    }
    unusable = {split: found[split].unusable for split in SPLITS}
    others = [path for split in SPLITS for path in found[split].others]
    return Listing(root, problems, tuple(classes["train"]), files, unusable, others)


def _layout(root: Path) -> str:
    return (
        f"expected {root}/train/<class>/ and {root}/test/<class>/ (or val in place of test) with images"
        f" ({', '.join(FORMATS)})"
    )


def _no_image(split: Path, classes: list[str]) -> str:
    expected = f"expected {', '.join(FORMATS)}"
    if len(classes) == 1:
        return f"{split / classes[0]}: no image; {expected}"
    return f"{split}: no image in the {named('class folder', classes)}; {expected}"
