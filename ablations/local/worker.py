"""A worker process: it loads the trainer once, then does one run after the other until its parent has no more."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from ablations.local.job import JobReport, OnStart, load_execute, run_job
from ablations.study.spec import RunSpec
from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import Progress, RuntimeConfig

PROGRESS_EVERY_S = 0.5
DEVICES = "simclr_core.processes.distributed"
"""Where the trainer picks a device: one that is not there would fail every run, so a worker asks before its first."""

_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
_OF_A_CLUSTER = (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2)


class Stop:
    """A request to stop, which workers see between two steps: each leaves a checkpoint, and nothing more is started.

    One byte that all share. A lock could be held for ever by a worker that is killed.
    """

    def __init__(self) -> None:
        self._shared: Any = _SPAWN.RawValue("b", 0)

    def request(self) -> None:
        """Ask; may be called by a signal's handler."""
        self._shared.value = 1

    def requested(self) -> bool:
        """Whether anyone asked."""
        return bool(self._shared.value)


@dataclass
class Worker:
    """A process, how to talk to it, and what it is doing."""

    process: Any
    connection: Connection
    spec: RunSpec | None = None
    is_ready: bool = False  # it has loaded the trainer


def start(runtime: RuntimeConfig, execute_path: str, stop: Stop | None, on_start: OnStart | None) -> Worker:
    """Start a worker that runs ``module:name``, after ``on_start``, a function of a module (the worker imports it).

    With ``stop``, it obeys that alone and no signal.
    """
    resource_tracker.ensure_running()  # which unblocks signals, and would do so below
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_work, args=(theirs, runtime, execute_path, stop, on_start), name="ablate worker")
    with _blocked((signal.SIGINT, *_OF_A_CLUSTER) if stop else (signal.SIGINT,)), _without_main():
        process.start()
    theirs.close()
    return Worker(process, ours)


@contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """A child inherits the mask, so that a signal while it starts reaches it only once it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """A child imports the parent's main module first: a command line, or submitit, of which it needs nothing."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def interrupt(*_: object) -> None:
    """A signal's handler: as if Ctrl-C had been pressed."""
    raise KeyboardInterrupt


def _never() -> bool:
    return False


def _work(
    connection: Connection, runtime: RuntimeConfig, execute_path: str, stop: Stop | None, on_start: OnStart | None
) -> None:
    """Read a run, do it, report, until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, interrupt)
    if stop:
        for number in _OF_A_CLUSTER:  # SLURM signals every process of a step; the parent decides what is meant
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, *_OF_A_CLUSTER})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read by the libraries when they load
        os.environ[name] = str(runtime.num_threads)
    stop_requested: Callable[[], bool] = stop.requested if stop else _never
    try:
        try:
            execute = load_execute(execute_path)
            if torch := sys.modules.get("torch"):
                torch.set_num_threads(runtime.num_threads)
                importlib.import_module(DEVICES).device_of(runtime.device)
        except (ImportError, ConfigError) as error:
            problem = str(error) if isinstance(error, ConfigError) else f"the trainer cannot be loaded: {error}"
            connection.send(JobReport(connection.recv().run_id, "refused", problem, 0.0, (problem,)))
            return
        connection.send(None)
        while True:
            spec = connection.recv()
            connection.send(run_job(spec, runtime, execute, _Reporter(connection), stop_requested, on_start))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


class _Reporter:
    """Sends a trainer's progress to the parent, not more often than a person reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = ("", 0.0)

    def __call__(self, progress: Progress) -> None:
        phase, sent = self._last
        now = time.monotonic()
        if progress.phase == phase and now - sent < PROGRESS_EVERY_S:
            return
        self._last = (progress.phase, now)
        try:
            self._connection.send(progress)
        except OSError:  # the parent is gone: the run is worth finishing all the same
            return
