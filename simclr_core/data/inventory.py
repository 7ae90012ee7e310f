"""What a data set holds, by its name or by the names of its files. Decodes nothing and loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simclr_core.config.cost import NUM_IMAGES
from simclr_core.config.schema import RunConfig
from simclr_core.data.class_folders import shown
from simclr_core.data.listing import list_folder


@dataclass(frozen=True)
class Inventory:
    """The numbers of classes and images of a data set, or in ``problems``, one line each, why there is none.

    ``num_pretrain``: number of images to pre-train on; ``num_labelled``: number of training images that have a label;
    ``files``: their paths under the data set's folder, empty if they are not files. ``unusable``: one line for every
    entry that should be an image but, by its name or kind, cannot be read.
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
"""The data sets whose every copy is the same, because they are generated or downloaded; all other names are folders."""


def inventory(name: str, data_dir: Path) -> Inventory:
    """Return the inventory of a built-in data set, or of the folder <data_dir>/<name>."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    listing = list_folder(name, data_dir)
    files = tuple(file for _, file in listing.files["train"])
    problems = tuple(shown(listing.problems, listing.root, "things that are wrong"))
    unusable = tuple(shown(listing.unusable_lines, listing.root, "things that cannot be used"))
    return Inventory(name, len(listing.classes), len(files), len(files), files, problems, unusable)


def is_here(name: str, data_dir: Path) -> bool:
    """Whether the data set can be inspected on this machine."""
    return name in BUILT_IN or (data_dir / name).is_dir()


def training_problems(config: RunConfig, found: Inventory) -> list[str]:
    """List what forbids the pre-training of a configuration on this data set."""
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
