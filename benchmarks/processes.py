"""What whole processes take: fresh interpreters, their seconds and their peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

ABLATE = "from ablations.commands.cli import app; app()"
"""The command line, as the code of a process."""

_PEAK = "next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))"
_AT_EXIT = f"import atexit, os; atexit.register(lambda: os.write({{}}, str({_PEAK}).encode()))\n"

PEAK = f"print({_PEAK})"
"""Prints MiB at the most, on Linux. Not ``ru_maxrss``, which for a child begins at the size of its parent."""


@dataclass(frozen=True)
class Process:
    """What a process took, and what it printed."""

    seconds: float
    peak_mib: float
    output: str


def whole(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
    """A fresh interpreter that runs ``code``; raises AssertionError with its messages if it fails."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", _AT_EXIT.format(theirs) + code, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, pass_fds=(theirs,), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        peak = pipe.read()
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return Process(seconds, float(peak), done.stdout)


def inside(code: str, argument: str) -> tuple[float, ...]:
    """Seconds, number and peak memory, as a fresh interpreter prints them."""
    done = subprocess.run([sys.executable, "-c", code, argument], check=True, capture_output=True, text=True)
    return tuple(map(float, done.stdout.split()))
