"""CIFAR-10, CIFAR-100 and STL-10, read by torchvision from <data_dir> in torchvision's layout.

A set that is missing is downloaded. CIFAR's files are Python pickles, which could run code when they are loaded:
torchvision compares the MD5 of every file with its own list before it opens the file, and refuses all other files.
"""

from __future__ import annotations

import http.client
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100, STL10
from torchvision.datasets.utils import check_integrity, download_url, extract_archive
from torchvision.transforms.v2 import functional as vision

from simclr_core.data.errors import DataError
from simclr_core.data.images import ImageSet

SETS = {"cifar10": CIFAR10, "cifar100": CIFAR100, "stl10": STL10}
TIMEOUT_S = 20.0
"""Seconds without an answer from the network after which the download fails."""
_RESIZED_TOGETHER = 1000


def load(name: str, data_dir: Path, image_size: int) -> tuple[tuple[str, ...], dict[str, ImageSet]]:
    """Return the classes, and the images of ``train`` and ``test``; for stl10 also of ``unlabeled``, with labels -1.

    If ``image_size`` differs from the set's own (CIFAR 32, STL-10 96 pixels), images are resized with antialiasing.
    Raises DataError if the set is missing and cannot be downloaded, is damaged, or does not fit in memory.
    """
    kind: Any = SETS[name]
    if not (data_dir / kind.base_folder).exists():
        _fetch(name, data_dir)
    images: dict[str, ImageSet] = {}
    classes: tuple[str, ...] = ()
    try:
        for split in ("train", "test", "unlabeled") if name == "stl10" else ("train", "test"):
            part = STL10(data_dir, split) if name == "stl10" else kind(data_dir, train=split == "train")
            images[split] = ImageSet(_resized(part, image_size), _labels(part))
            classes = tuple(part.classes)
    except (RuntimeError, AttributeError) as error:  # torchvision passes over STL-10's class names if they are missing
        damaged = [file for file, md5 in _files(name) if not check_integrity(data_dir / kind.base_folder / file, md5)]
        if not damaged:
            raise
        problem = f"data.name = {name!r}: missing or damaged in {data_dir / kind.base_folder}: {', '.join(damaged)}"
        raise DataError([f"{problem}; remove the folder, and it is fetched again"]) from error
    except MemoryError:
        raise DataError([f"data.name = {name!r}: at {image_size} px its pixels do not fit in memory"]) from None
    return classes, images


def _resized(part: Any, image_size: int) -> Tensor:
    pixels = torch.from_numpy(part.data)
    images = pixels if isinstance(part, STL10) else pixels.permute(0, 3, 1, 2)  # CIFAR's are channels last
    if images.shape[3] == image_size:
        return images.contiguous()
    resized = torch.from_numpy(np.empty((len(images), 3, image_size, image_size), dtype=np.uint8))
    for source, target in zip(images.split(_RESIZED_TOGETHER), resized.split(_RESIZED_TOGETHER), strict=True):
        target.copy_(vision.resize(source, [image_size, image_size], antialias=True))
    return resized


def _labels(part: Any) -> Tensor:
    return torch.from_numpy(np.asarray(part.labels if isinstance(part, STL10) else part.targets, dtype=np.int64))


def _files(name: str) -> list[tuple[str, str | None]]:
    """Return the files of a set with their MD5; torchvision has no MD5 for STL-10's class names."""
    kind: Any = SETS[name]
    described = (kind.class_names_file, None) if name == "stl10" else (kind.meta["filename"], kind.meta["md5"])
    return [*kind.train_list, *kind.test_list, described]


def _fetch(name: str, data_dir: Path) -> None:
    """Unpack the set's archive, from ``data_dir`` or from the network, and rename the folder into place."""
    kind: Any = SETS[name]
    folder = data_dir / kind.base_folder
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{name}-") as temporary, _network_timeout():
            archive = data_dir / kind.filename
            if not check_integrity(archive, kind.tgz_md5):
                archive = Path(temporary) / kind.filename
                download_url(kind.url, temporary, kind.filename, kind.tgz_md5)
            extract_archive(archive, temporary)
            try:
                (Path(temporary) / kind.base_folder).rename(folder)
            except OSError:
                if not folder.exists():  # otherwise another process has been quicker
                    raise
    except (OSError, RuntimeError, http.client.HTTPException, tarfile.TarError) as error:
        files = ", ".join(file for file, _ in _files(name))
        problem = f"data.name = {name!r}: no {folder}, and it cannot be fetched ({error})"
        archive_is = f"{kind.filename} (from {kind.url}, MD5 {kind.tgz_md5})"
        content_is = f"the folder {kind.base_folder} that it holds ({files})"
        raise DataError([f"{problem}; put {archive_is}, or {content_is}, into {data_dir}"]) from error


@contextmanager
def _network_timeout() -> Iterator[None]:
    """Limit the waiting for the network: torchvision sets no timeout, and a silent network would block a run."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
