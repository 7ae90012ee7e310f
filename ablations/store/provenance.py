"""The provenance of a result: one entry per attempt in a run's ``provenance.json``."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import socket
import sys
import time
from pathlib import Path
from typing import Any

import simclr_core
from ablations.scheduler.place import slurm_place
from ablations.store import git
from simclr_core.records import read_json, write_json

SCHEMA_VERSION = 1
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")


def begin(run_dir: Path, command: str, num_threads: int) -> int:
    """Record the start of an attempt and return its number, from 1 on; an earlier unfinished attempt becomes lost."""
    attempts, here = read(run_dir), slurm_place()
    for attempt in attempts:
        if attempt["outcome"] == "running":
            attempt["outcome"] = "lost"
    attempts.append(
        {
            "attempt": len(attempts) + 1,
            "outcome": "running",
            "start": _now(),
            "end": None,
            "duration_s": None,
            "command": command,
            "source": source(),
            "versions": versions(),
            "host": socket.gethostname(),
            "cpu": cpu_model(),
            "gpu": None,
            "num_threads": num_threads,
            **({} if here is None else vars(here)),
        }
    )
    write_json(run_dir / "provenance.json", {"schema_version": SCHEMA_VERSION, "attempts": attempts})
    return len(attempts)


def end(run_dir: Path, attempt: int, outcome: str, duration_s: float) -> None:
    """Record how an attempt ended: done, failed, stopped or interrupted."""
    attempts = read(run_dir)
    attempts[attempt - 1].update(outcome=outcome, end=_now(), duration_s=round(duration_s, 3), gpu=gpu_name())
    write_json(run_dir / "provenance.json", {"schema_version": SCHEMA_VERSION, "attempts": attempts})


def read(run_dir: Path) -> list[dict[str, Any]]:
    """Return the attempts, oldest first; empty if the file is missing or damaged."""
    try:
        attempts = read_json(run_dir / "provenance.json")["attempts"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return list(attempts)


@functools.cache
def source() -> dict[str, Any]:
    """Return the trainer's code: commit and whether files differ from it, or the installed version; and a hash.

    The commit is that of the repository which tracks ``simclr_core``, never that of the working directory. Answers that
    git does not give are null, and ``git_error`` holds git's message. Computed once per process, because a process
    executes the code that it has loaded.
    """
    from importlib import metadata

    package = Path(simclr_core.__file__).parent
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    found: dict[str, Any] = {"sha256": content.hexdigest(), "commit": None, "dirty": None, "version": None}
    try:
        if git.is_tracked(package / "__init__.py"):
            found["commit"] = git.run(package, "rev-parse", "HEAD").strip()
            found["dirty"] = bool(git.run(package, "status", "--porcelain", "--", "."))
    except git.GitError as error:
        found["git_error"] = str(error)
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["version"] = metadata.version("simclr-ablations")
    return found


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect numbers."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def cpu_model() -> str:
    """Return the name of the processor, as far as the system states it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def gpu_name() -> str | None:
    """Return the name of the GPU in use; None without one. Does not load torch; a job that trained has loaded it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
