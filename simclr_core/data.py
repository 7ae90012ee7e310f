"""Data sets in memory as uint8: built in (``photos``) or read once from a folder of images, then from a cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simclr_core import image_folder, photos
from simclr_core.config import DataConfig
from simclr_core.image_folder import DataError
from simclr_core.records import read_json, write_json
from simclr_core.seeding import generator

__all__ = [
    "DataError",
    "Dataset",
    "ImageSet",
    "label_indices",
    "load_dataset",
    "normalise",
    "pretrain_indices",
    "to_float",
]

Pixels = npt.NDArray[np.uint8]

NORMALIZATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Mean and standard deviation of red, green and blue over the training sets."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """``images``: uint8 (N, 3, H, W). ``labels``: int64 (N,), positions in the data set's ``classes``."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training set and a test set with the same classes; ``fingerprint``: SHA-256 of all that is in them."""

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    fingerprint: str


def load_dataset(config: DataConfig, data_dir: Path, cache_dir: Path, *, progress: bool = True) -> Dataset:
    """The data set ``config.name``: ``photos``, or the folder <data_dir>/<name>/{train,test}/<class>/*.

    Pixels are decoded once and then read from ``cache_dir``. Raises DataError with everything that is wrong: a
    missing folder, unreadable images, sizes other than ``config.image_size``, classes that differ between train and
    test, content that is not what this name and version stood for at first use in ``cache_dir``.
    """
    if config.name == photos.NAME:
        source: photos.Photos | image_folder.ImageFolder = photos.Photos(config.image_size)
    else:
        source = image_folder.scan(config.name, data_dir, config.image_size, progress=progress)
    splits: dict[str, ImageSet] = {}
    problems: list[str] = []
    for split in ("train", "test"):
        path = cache_dir / f"{config.name}-{split}-{source.key(split)}.npy"
        try:
            pixels = torch.from_numpy(_cached(path, functools.partial(source.pixels, split)))
            splits[split] = ImageSet(pixels, torch.tensor(source.labels(split)))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    fingerprint = _fingerprint(source.classes, splits["train"], splits["test"])
    _check_fingerprint(config, fingerprint, cache_dir / "fingerprints.json")
    return Dataset(config.name, source.classes, splits["train"], splits["test"], fingerprint)


def pretrain_indices(config: DataConfig, num_train: int) -> Tensor:
    """Positions, ascending, of the training images that are pre-trained on: all, or a uniform draw without labels.

    Raises DataError if there are fewer images than asked for.
    """
    if config.train_images > num_train:
        raise DataError([f"data.train_images = {config.train_images}: {config.name} has {num_train} training images"])
    if not config.train_images:
        return torch.arange(num_train)
    source = generator(config.subset_seed, "pretrain_subset")
    return torch.randperm(num_train, generator=source)[: config.train_images].sort().values


def label_indices(labels: Tensor, num_labels: int, label_seed: int) -> Tensor:
    """Positions, ascending, of the images whose labels an evaluation may see: all, or as many of each class.

    Class counts differ by one at most (while every class has images left), and a smaller choice is part of a larger
    one with the same seed. Raises DataError if there are fewer labels than asked for.
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
    """uint8 0-255 to float32 in [0, 1]."""
    return images_u8.float().div_(255)


def normalise(images: Tensor, normalization: str) -> Tensor:
    """``imagenet`` and ``cifar10`` subtract a mean and divide by a standard deviation; ``none`` changes nothing."""
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


def _check_fingerprint(config: DataConfig, fingerprint: str, path: Path) -> None:
    """Records the content of a name and version at first use; DataError if it has changed since."""
    known: dict[str, str] = read_json(path) if path.exists() else {}
    key = f"{config.name} version {config.version} at {config.image_size} px"
    if key not in known:
        # Two first uses at once may lose one of the two entries, which the next use records again.
        write_json(path, known | {key: fingerprint})
    elif known[key] != fingerprint:
        what = f"data.name = {config.name!r}, data.version = {config.version}: the images or labels have changed"
        raise DataError(
            [f"{what} since {path} recorded them; raise data.version, or give the new content another name"]
        )


def _cached(path: Path, build: Callable[[], Pixels]) -> Pixels:
    """The array kept at ``path``; built and kept if there is none, or one that cannot be read."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept: Pixels = np.load(path, allow_pickle=False)
        return kept
    built = build()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.save(file, built, allow_pickle=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return built
