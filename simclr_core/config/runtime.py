"""Where and how a run executes: settings that do not change the experiment and are part of no id."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from formats.names import nearest
from simclr_core.config.options import ConfigError, field_problems, option


def user_path(text: str | Path) -> Path:
    """Return a path whose ``~`` is expanded; raises ConfigError if that home directory is not known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError([f"{text}: that home directory is not known here; expected a path without ~"]) from None


def user_folder(variable: str, below_home: str) -> Path | None:
    """Return this project's folder in ``$variable``, else below the user's home; None for a user without a home.

    In a container a user may have no home: neither ``HOME`` nor an entry for the user's id exists.
    """
    try:
        return Path(os.environ.get(variable) or Path.home() / below_home) / "simclr-ablations"
    except RuntimeError:
        return None


def slurm_gave_gpus(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether SLURM allocated GPUs on this node to the job of this process, whichever option asked for them."""
    listed = environ.get("SLURM_JOB_GPUS") or environ.get("SLURM_STEP_GPUS")  # "0" is the first of them
    return bool(listed) or environ.get("SLURM_GPUS_ON_NODE", "") not in ("", "0")


class TrainingStopped(Exception):  # noqa: N818 - it is no error
    """The training stopped between two steps, on request; a checkpoint holds everything up to that step."""


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``phase`` is load, pretrain or evaluate; images_per_s counts every view of an image."""

    phase: str
    step: int
    num_steps: int
    images_per_s: float = 0.0


OnProgress = Callable[[Progress], None]
StopRequested = Callable[[], bool]


@dataclass
class RuntimeConfig:
    """Device, threads and folders."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...; auto takes a GPU that there is or that SLURM gave
    num_threads: int = option(1, low=1)  # CPU threads of one run
    num_workers: int = option(2, low=0)  # processes that decode images read as a stream
    checkpoint_every_s: float = option(120.0, low=0.0)  # between checkpoints of a run in training
    tensorboard: bool = False  # also write the curves as TensorBoard scalars
    data_dir: str = "data"  # holds one folder per named data set
    cache_dir: str = ""  # decoded images; "": simclr-ablations in the user's cache folder
    store: str = "runs"  # one folder per run

    @property
    def data_path(self) -> Path:
        """The folder of the data sets."""
        return user_path(self.data_dir)

    @property
    def cache_path(self) -> Path | None:
        """The folder of decoded images, by default below ``$XDG_CACHE_HOME`` or ``~/.cache``; None without a home."""
        return user_path(self.cache_dir) if self.cache_dir else user_folder("XDG_CACHE_HOME", ".cache")


def problems_of_runtime(runtime: RuntimeConfig) -> list[str]:
    """List what is wrong with a runtime configuration on any machine."""
    problem = device_problem(runtime.device)
    return field_problems(runtime, "runtime.") + ([f"runtime.device = {problem}"] if problem else [])


def device_problem(name: str) -> str:
    """Return what is wrong with the name of a device; "" for a name that a device may have."""
    if re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?", name):
        return ""
    return f"{name!r}: expected auto, cpu, cuda, or one GPU as in cuda:1{nearest(name, ['auto', 'cpu', 'cuda'])}"
