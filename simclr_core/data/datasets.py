"""Data sets: built in (``photos``), torchvision's, or folders of images, in memory as uint8 or read as a stream."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import torch
from torch import Tensor

from simclr_core.config.schema import DataConfig
from simclr_core.data import image_folder, photos, torchvision_sets
from simclr_core.data.caching import cached_array
from simclr_core.data.class_folders import SHOWN_PROBLEMS
from simclr_core.data.errors import DataError, printable
from simclr_core.data.image_folder import ImageFolder
from simclr_core.data.images import Images, ImageSet
from simclr_core.data.inventory import BUILT_IN
from simclr_core.data.listing import SPLITS
from simclr_core.data.streaming import StreamedImages
from simclr_core.seeding import generator

__all__ = [
    "BUILT_IN",
    "DataError",
    "Dataset",
    "ImageSet",
    "Images",
    "label_indices",
    "load_dataset",
    "normalise",
    "pretrain_indices",
    "to_float",
    "transferred_to",
]

NORMALIZATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Mean and standard deviation of red, green and blue over the training sets."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training set and a test set with the same classes.

    ``pretrain``: the images to pre-train on, stl10's unlabelled images, for other data sets the object ``train``.
    ``fingerprint``: SHA-256 of the classes, images and labels; for streams, names and lengths of the files replace the
    pixels. ``train_files``: paths of the training images under <data_dir>/<name>, empty if the images are not files.
    ``num_skipped``: split -> number of unreadable images left out, including broken links and folders among images.
    """

    name: str
    classes: tuple[str, ...]
    pretrain: Images
    train: Images
    test: Images
    fingerprint: str
    train_files: tuple[str, ...] = ()
    num_skipped: Mapping[str, int] = field(default_factory=lambda: {"train": 0, "test": 0})


def load_dataset(config: DataConfig, data_dir: Path, cache_dir: Path | None, *, progress: bool = True) -> Dataset:
    """Load the data set ``config.name``: ``photos``, one of torchvision's, or a folder of images.

    A folder is <data_dir>/<name>/{train,test}/<class>/*, with ``val`` if there is no ``test``. In memory, its images
    must have ``config.image_size``; they are decoded once and later read from ``cache_dir``, if there is one. As a
    stream, images may have any size, and only their headers are read here, once. With ``unreadable: skip`` every image
    is decoded once to find unreadable ones, which are named on stderr and left out. With ``error``, a DataError names
    unreadable images: all of them here, or for a stream the first one when it is reached. Files whose names are not
    those of images are skipped, and counted on stderr.

    Raises DataError with everything that is wrong: a missing folder, unreadable images, sizes other than
    ``config.image_size``, classes that differ between train and test.
    """
    if config.name in BUILT_IN and config.reading != "memory":
        problem = f"data.reading = {config.reading!r}: {config.name} is read into memory; expected 'memory'"
        raise DataError([problem])
    if config.name in torchvision_sets.SETS:
        classes, splits = torchvision_sets.load(config.name, data_dir, config.image_size)
        return _in_memory(config.name, classes, splits)
    if config.name == photos.NAME:
        source = photos.Photos(config.image_size)
        return _in_memory(config.name, source.classes, _pixels(config.name, source, source.key, cache_dir))
    return _from_folder(config, data_dir, cache_dir, progress=progress)


def transferred_to(name: str, own: DataConfig) -> DataConfig:
    """Return the configuration by which an evaluation of a network pre-trained on ``own`` reads the set ``name``."""
    reading = "memory" if name in BUILT_IN else own.reading
    return DataConfig(name=name, image_size=own.image_size, reading=reading, whole_images=own.whole_images)


def _from_folder(config: DataConfig, data_dir: Path, cache_dir: Path | None, *, progress: bool) -> Dataset:
    skip = config.unreadable == "skip"
    folder = image_folder.scan(config.name, data_dir, config.image_size, progress=progress, skip=skip)
    _note_others(folder)
    num_skipped = dict.fromkeys(SPLITS, 0)
    extents: dict[str, npt.NDArray[np.int32]] = {}
    if config.reading == "stream" or skip:
        for split in SPLITS:
            name = f"{config.name}-{split}-{folder.listing_key(split)}-{'readable' if skip else 'sizes'}.npy"
            build = functools.partial(folder.readable_extents if skip else folder.extents, split)
            extents[split] = cached_array(cache_dir, name, (len(folder.files[split]), 2), np.int32, build)
        unreadable = {split: np.flatnonzero(extents[split][:, 0] == 0).tolist() for split in SPLITS}
        num_skipped = {split: len(rows) + len(folder.unusable[split]) for split, rows in unreadable.items()}
        _warn(folder, unreadable)
        folder = folder.without(unreadable)
        extents = {split: found[found[:, 0] > 0] for split, found in extents.items()}
    files = tuple(name for _, name in folder.files["train"])
    if config.reading == "memory":
        key = functools.partial(_content_key, config.name, folder, cache_dir)
        dataset = _in_memory(config.name, folder.classes, _pixels(config.name, folder, key, cache_dir))
        return replace(dataset, train_files=files, num_skipped=num_skipped)
    train, test = (StreamedImages.of(folder, split, extents[split], config.whole_images) for split in SPLITS)
    return Dataset(config.name, folder.classes, train, train, test, folder.fingerprint, files, num_skipped)


def _note_others(folder: ImageFolder) -> None:
    """Print one line on stderr if there are files whose names are not those of images."""
    if folder.others:
        shown = ", ".join(str(Path(path).relative_to(folder.root)) for path in folder.others[:SHOWN_PROBLEMS])
        more = ", ..." if len(folder.others) > SHOWN_PROBLEMS else ""
        count = f"passed over as no images, by their names: {len(folder.others)}"
        sys.stderr.write(printable(f"data.name = {folder.root.name!r}: {count} ({shown}{more})\n"))


def _warn(folder: ImageFolder, unreadable: Mapping[str, Sequence[int]]) -> None:
    """Print one line on stderr for each split with skipped images."""
    for split, rows in unreadable.items():
        unusable = folder.unusable[split]
        if num_skipped := len(rows) + len(unusable):
            read = (folder.problem(split, row) for row in rows[:SHOWN_PROBLEMS])
            named = "; ".join([*read, *unusable][:SHOWN_PROBLEMS])
            more = "; ..." if num_skipped > SHOWN_PROBLEMS else ""
            num_images = len(folder.files[split]) + len(unusable)
            count = f"{num_skipped} of {num_images} {split} images are unreadable and skipped"
            sys.stderr.write(printable(f"data.name = {folder.root.name!r}: {count}: {named}{more}\n"))


def _content_key(name: str, folder: ImageFolder, cache_dir: Path | None, split: str) -> str:
    """Return the cache key of a split's pixels: a hash of the content of its files and of what decodes them."""
    if cache_dir is None:
        return ""
    listing = f"{name}-{split}-{folder.listing_key(split)}-contents.npy"
    shape = (len(folder.files[split]), hashlib.sha256().digest_size)
    contents = cached_array(cache_dir, listing, shape, np.uint8, functools.partial(folder.contents, split))
    digest = hashlib.sha256(f"{image_folder.DECODING} {PIL.__version__} {folder.image_size}".encode())
    digest.update(contents.data)
    return digest.hexdigest()[:16]


def _pixels(
    name: str, source: photos.Photos | ImageFolder, key: Callable[[str], str], cache_dir: Path | None
) -> dict[str, ImageSet]:
    splits: dict[str, ImageSet] = {}
    problems: list[str] = []
    for split in SPLITS:
        labels = torch.tensor(source.labels(split))
        shape = (len(labels), 3, source.image_size, source.image_size)
        try:
            file = f"{name}-{split}-{key(split)}.npy"
            pixels = cached_array(cache_dir, file, shape, np.uint8, functools.partial(source.pixels, split))
        except DataError as error:
            problems += error.problems
        else:
            splits[split] = ImageSet(torch.from_numpy(pixels), labels)
    if problems:
        raise DataError(problems)
    return splits


def _in_memory(name: str, classes: tuple[str, ...], splits: dict[str, ImageSet]) -> Dataset:
    fingerprint = _fingerprint(classes, *splits.values())
    pretrain = splits.get("unlabeled", splits["train"])
    return Dataset(name, classes, pretrain, splits["train"], splits["test"], fingerprint)


def pretrain_indices(config: DataConfig, num_train: int) -> Tensor:
    """Return the positions, ascending, of the training images to pre-train on: all, or a uniform draw without labels.

    Raises DataError if the data set has fewer images than requested.
    """
    if config.train_images > num_train:
        raise DataError([f"data.train_images = {config.train_images}: {config.name} has {num_train} training images"])
    if not config.train_images:
        return torch.arange(num_train)
    source = generator(config.subset_seed, "pretrain_subset")
    return torch.randperm(num_train, generator=source)[: config.train_images].sort().values


def label_indices(labels: Tensor, num_labels: int, label_seed: int) -> Tensor:
    """Return the positions, ascending, of the images whose labels an evaluation may use: all, or a balanced choice.

    Class counts differ by at most one (while every class has images left), and a smaller choice is part of a larger
    choice with the same seed. Raises DataError if the data set has fewer labels than requested.
    """
    if num_labels > len(labels):
        raise DataError([f"num_labels = {num_labels}: there are {len(labels)} labelled training images"])
    if not num_labels:
        return torch.arange(len(labels))
    shuffled = torch.randperm(len(labels), generator=generator(label_seed, "labels"))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    counts = labels.bincount()
    first_of_class = counts.cumsum(0) - counts
    rank_in_class = torch.arange(len(labels)) - first_of_class[labels[by_class]]
    return by_class[rank_in_class.argsort(stable=True)][:num_labels].sort().values


def to_float(images_u8: Tensor) -> Tensor:
    """Convert uint8 0-255 to float32 in [0, 1]."""
    return images_u8.float().div_(255)


def normalise(images: Tensor, normalization: str) -> Tensor:
    """Subtract the mean and divide by the standard deviation (``imagenet``, ``cifar10``); ``none`` changes nothing."""
    if normalization == "none":
        return images
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in NORMALIZATIONS[normalization])
    return (images - mean).div_(std)


def _fingerprint(classes: tuple[str, ...], *splits: ImageSet) -> str:
    digest = hashlib.sha256(json.dumps(classes).encode())
    for split in splits:
        digest.update(json.dumps(list(split.images.shape)).encode())
        digest.update(split.images.numpy().data)
        digest.update(split.labels.numpy().data)
    return digest.hexdigest()
