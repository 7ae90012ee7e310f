"""Where and how a run executes: everything that does not change the experiment, and so is in no id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


class TrainingStopped(Exception):  # noqa: N818 - it is no error
    """The training ended between two steps because it was asked to; a checkpoint holds all that was done."""


@dataclass
class RuntimeConfig:
    """Device, threads and folders."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    num_threads: int = 1  # CPU threads of one run
    num_workers: int = 2  # processes that decode images read as a stream
    checkpoint_every_s: float = 120.0  # between checkpoints of a run in training
    tensorboard: bool = False  # also write the curves as TensorBoard scalars
    data_dir: str = "data"  # holds one folder per named data set
    cache_dir: str = ""  # decoded images; "": simclr-ablations in the user's cache folder
    store: str = "runs"  # one folder per run

    @property
    def data_path(self) -> Path:
        """Where the image folders lie."""
        return Path(self.data_dir).expanduser()

    @property
    def cache_path(self) -> Path | None:
        """Where decoded images are kept, by default under ``$XDG_CACHE_HOME`` or ``~/.cache``; None without a home."""
        if self.cache_dir:
            return Path(self.cache_dir).expanduser()
        try:
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # neither HOME nor an entry for the user's id, as in many containers
            return None
        return caches / "simclr-ablations"
