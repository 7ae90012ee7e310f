"""One run from claim to release. Nothing that goes wrong in a run ends the grid."""

from __future__ import annotations

import importlib
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ablations.errors import UserError
from ablations.store import provenance
from ablations.store.folder import State, Store
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import RuntimeConfig, TrainingStopped
from simclr_core.records import write_json

HEARTBEAT_S = 20.0

Execute = Callable[..., None]
"""``simclr_core.run.execute``: (config, evaluations, runtime, run_dir, on_progress, stop_requested) -> None."""

OnStart = Callable[[Path], None]
"""Called with the run's folder once a run is claimed, just before it is executed."""


@dataclass(frozen=True)
class JobReport:
    """How one attempt at a run ended."""

    run_id: str
    # "done", "failed", "stopped" with a checkpoint, "held" by another process, "died" with its process, or "refused":
    # the input is wrong, the grid stops
    outcome: str
    detail: str  # one line: the error
    duration_s: float
    problems: tuple[str, ...] = ()  # of a refused run, for the user
    notes: tuple[str, ...] = ()  # worth a line although the run went well


def load_execute(path: str) -> Execute:
    """The function at ``module:name``. The trainer, and torch with it, is first imported here."""
    module, _, name = path.partition(":")
    found: Execute = getattr(importlib.import_module(module), name)
    return found


def run_job(
    spec: RunSpec,
    runtime: RuntimeConfig,
    execute: Execute,
    on_progress: Callable[[Any], None],
    stop_requested: Callable[[], bool] = lambda: False,
    on_start: OnStart | None = None,
) -> JobReport:
    """Claim a run, execute it, note provenance, release it.

    An error is written to ``error.txt`` and reported. An exception with ``problems`` says that what the user gave is
    wrong (a missing folder, an unreadable image): it is reported as refused, and a folder made for it is removed unless
    a training has left something there.
    KeyboardInterrupt releases the run and goes on. Once ``stop_requested`` is true, the training leaves a checkpoint
    of its step, and the run is reported as stopped.
    """
    store = Store(Path(runtime.store))
    run_dir = store.run_dir(spec.run_id)
    start = time.perf_counter()
    is_new = not run_dir.exists()
    try:
        owner = store.claim(spec.run_id)
    except UserError as error:
        return JobReport(spec.run_id, "refused", error.problems[0], 0.0, tuple(error.problems))
    if owner is None:
        return JobReport(spec.run_id, "held", "another process works on it", 0.0)
    outcome, detail = "interrupted", ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attempt: int | None = None
    try:
        # another process may have finished it between the launcher's look and the claim
        if store.state(spec) is State.DONE:
            outcome = "done"
            return JobReport(spec.run_id, "done", "", 0.0)
        attempt = provenance.begin(run_dir, spec.command, runtime.num_threads)
        notes = tuple(f"{spec.run_id}: {name} was torn and is made anew" for name in store.set_torn_aside(spec.run_id))
        with Heartbeat(run_dir, on_progress) as beat:
            if on_start:
                on_start(run_dir)
            execute(spec.config, list(spec.evaluations), runtime, run_dir, beat.progress, stop_requested)
        outcome = "done"
        (run_dir / "error.txt").unlink(missing_ok=True)
    except TrainingStopped:
        outcome = "stopped"
    except Exception as error:  # noqa: BLE001  whatever goes wrong in a run must not end the grid
        problems = tuple(getattr(error, "problems", ()))
        outcome, detail = ("refused" if problems else "failed"), f"{type(error).__name__}: {error}".splitlines()[0]
        if not problems:
            (run_dir / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        duration_s = time.perf_counter() - start
        if attempt is not None:
            provenance.end(run_dir, attempt, outcome, duration_s)
        store.release(spec.run_id, owner)
        if outcome == "refused" and is_new and not _is_begun(run_dir):
            shutil.rmtree(run_dir)
    return JobReport(spec.run_id, outcome, detail, duration_s, problems, notes)


def _is_begun(run_dir: Path) -> bool:
    """Whether the folder holds more than what a run is described by."""
    return any(path.name not in ("provenance.json", "spec.json") for path in run_dir.iterdir())


class Heartbeat:
    """Writes ``heartbeat.json`` at the start and every ``HEARTBEAT_S``, with the progress last told."""

    def __init__(self, run_dir: Path, on_progress: Callable[[Any], None]) -> None:
        self._path = run_dir / "heartbeat.json"
        self._on_progress = on_progress
        self._last: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def progress(self, progress: Any) -> None:
        """What the trainer calls."""
        self._last = {key: getattr(progress, key) for key in ("phase", "step", "num_steps", "images_per_s")}
        self._on_progress(progress)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            self._write()

    def _write(self) -> None:
        try:
            write_json(self._path, {"time": time.time(), **self._last})
        except (OSError, ValueError):  # the disk is full, or a number is none: what counts is the file's time
            with suppress(OSError):
                self._path.touch()
