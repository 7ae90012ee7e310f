"""What a data set holds, as its name or the names of its files tell: nothing is decoded, and no torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simclr_core.config.cost import NUM_IMAGES
from simclr_core.config.schema import RunConfig
from simclr_core.data.class_folders import shown
from simclr_core.data.listing import list_folder


@dataclass(frozen=True)
class Inventory:
    """How many classes and images there are, or in ``problems``, one line each, why there is no data set.

    ``num_pretrain``: images to pre-train on; ``num_labelled``: training images that have a label; ``files``: the paths
    of these under the data set's folder, none if they are no files. ``unusable``: a line for everything that is meant
    as an image and cannot be read, as its name tells.
    """

    name: str
    num_classes: int = 0
    num_pretrain: int = 0
    num_labelled: int = 0
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()


BUILT_IN = {
    "photos": Inventory("photos", 17, NUM_IMAGES["photos"], NUM_IMAGES["photos"]),
    "cifar10": Inventory("cifar10", 10, NUM_IMAGES["cifar10"], NUM_IMAGES["cifar10"]),
    "cifar100": Inventory("cifar100", 100, NUM_IMAGES["cifar100"], NUM_IMAGES["cifar100"]),
    "stl10": Inventory("stl10", 10, NUM_IMAGES["stl10"], 5_000),  # pre-trained on are the unlabelled images
}
"""The data sets that are made or fetched, every copy of them the same; all other names are those of folders."""


def inventory(name: str, data_dir: Path) -> Inventory:
    """Of a built-in data set, or of the folder <data_dir>/<name>."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    listing = list_folder(name, data_dir)
    files = tuple(file for _, file in listing.files["train"])
    problems = tuple(shown(listing.problems, listing.root, "things that are wrong"))
    unusable = tuple(shown(listing.unusable_lines, listing.root, "things that cannot be used"))
    return Inventory(name, len(listing.classes), len(files), len(files), files, problems, unusable)


def is_here(name: str, data_dir: Path) -> bool:
    """Whether there is something to look at."""
    return name in BUILT_IN or (data_dir / name).is_dir()


def training_problems(config: RunConfig, found: Inventory) -> list[str]:
    """What forbids the pre-training of a configuration on what its data set holds, one line each."""
    if found.problems:
        return list(found.problems)
    data, method, training = config.data, config.method, config.training
    problems = list(found.unusable) if data.unreadable == "error" else []
    if data.reading != "memory" and data.name in BUILT_IN:
        problems.append(f"data.reading = {data.reading!r}: {data.name} is read into memory; expected 'memory'")
    has = f"{data.name} has {found.num_pretrain} training images"
    if data.train_images > found.num_pretrain:
        problems.append(f"data.train_images = {data.train_images}: {has}")
    elif not data.train_images and found.num_pretrain < training.global_batch_size and training.epochs:
        problems.append(f"training.global_batch_size = {training.global_batch_size}: {has}, which fill no batch")
    problems += method.data_problems(data.name, found.num_classes)
    if method.needs_labels and found.num_labelled < found.num_pretrain:
        problems.append(f"method.name = {method.name!r}: images of {data.name} have no label")
    if training.knn_epochs and training.epochs and found.num_classes < 2:
        problems.append(
            f"training.knn_epochs = {training.knn_epochs}: {data.name} has one class: nothing to tell apart"
        )
    return problems
