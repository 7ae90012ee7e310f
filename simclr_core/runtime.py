"""Where and how a run executes: everything that does not change the experiment, and so is in no id."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from simclr_core.options import field_problems, nearest, option


class TrainingStopped(Exception):  # noqa: N818 - it is no error
    """The training ended between two steps because it was asked to; a checkpoint holds all that was done."""


@dataclass
class RuntimeConfig:
    """Device, threads and folders."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    num_threads: int = option(1, low=1)  # CPU threads of one run
    num_workers: int = option(2, low=0)  # processes that decode images read as a stream
    checkpoint_every_s: float = option(120.0, low=0.0)  # between checkpoints of a run in training
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


def problems_of_runtime(runtime: RuntimeConfig) -> list[str]:
    """What is wrong with it, whatever the machine has."""
    problem = device_problem(runtime.device)
    return field_problems(runtime, "runtime.") + ([f"runtime.device = {problem}"] if problem else [])


def device_problem(name: str) -> str:
    """A name that is none of a device's, and what was expected; "" for one that could be."""
    if re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?", name):
        return ""
    return f"{name!r}: expected auto, cpu, cuda, or one GPU as in cuda:1{nearest(name, ['auto', 'cpu', 'cuda'])}"
