"""The local executor: a bounded number of warm worker processes, fed one run at a time.

A worker imports the trainer and reads its data once. Ctrl-C reaches the parent alone, which starts nothing more,
stops the workers and gives their runs back; what was finished stays.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ablations.display import Display, Update
from ablations.job import JobReport, load_execute, run_job
from ablations.spec import RunSpec
from ablations.store import State, Store
from simclr_core.runtime import RuntimeConfig

EXECUTE = "simclr_core.run:execute"
"""What a worker runs: it stays a path so that this process loads no torch."""

STOP_WITHIN_S = 10.0
PROGRESS_EVERY_S = 0.5


@dataclass
class Summary:
    """How a launch ended."""

    done: int = 0
    failed: list[JobReport] = field(default_factory=list)
    held: list[str] = field(default_factory=list)  # run ids that other processes work on
    problems: list[str] = field(default_factory=list)  # of input that is wrong: the launch was stopped
    interrupted: bool = False
    left: int = 0  # runs not started, or stopped


@dataclass
class _Worker:
    process: Any
    connection: Connection
    spec: RunSpec | None = None
    is_ready: bool = False  # it has loaded the trainer


def merge(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Each run once, with the evaluations of every grid that shares it; seed by seed, so that a part is useful."""
    runs: dict[str, RunSpec] = {}
    for spec in specs:
        known = runs.setdefault(spec.run_id, spec)
        both = {eval_id: e for s in (known, spec) for eval_id, e in zip(s.eval_ids, s.evaluations, strict=True)}
        runs[spec.run_id] = replace(known, evaluations=tuple(both.values()))
    ranks: dict[str, int] = {}
    order: dict[str, int] = {}
    for run_id, spec in runs.items():
        order[run_id] = ranks.get(spec.cell_id, 0)
        ranks[spec.cell_id] = order[run_id] + 1
    return sorted(runs.values(), key=lambda spec: order[spec.run_id])


def unfinished(specs: Sequence[RunSpec], store: Store) -> list[RunSpec]:
    """The runs to start: not done, not under way elsewhere, and not in a queue."""
    return [spec for spec in specs if store.state(spec) not in (State.DONE, State.RUNNING, State.QUEUED)]


def launch(specs: Sequence[RunSpec], runtime: RuntimeConfig, num_workers: int, display: Display) -> Summary:
    """Run all of ``specs`` with at most ``num_workers`` processes at a time.

    Returns when none is left, or after a Ctrl-C (``interrupted``). Once a run says that the input is wrong, only those
    under way are finished.
    """
    pending = deque(specs)
    summary = Summary()
    workers: list[_Worker] = []
    store = Store(Path(runtime.store))
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        workers.extend(_start(runtime) for _ in range(min(num_workers, len(pending))))
        while (pending and not summary.problems) or any(worker.spec for worker in workers):
            for worker in workers:
                if worker.spec is None and pending and not summary.problems:
                    worker.spec = pending.popleft()
                    with suppress(OSError):  # a worker that has just died: the next wait tells
                        worker.connection.send(worker.spec)
                    display.started(worker.process.pid, worker.spec)
            _wait_once(workers, summary, store, runtime, display)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        _stop(workers, store)
        signal.signal(signal.SIGTERM, before)
    summary.left = len(specs) - summary.done - len(summary.failed) - len(summary.held)
    return summary


def _wait_once(
    workers: list[_Worker], summary: Summary, store: Store, runtime: RuntimeConfig, display: Display
) -> None:
    """Take one round of messages; replace workers that died."""
    ready = wait([worker.connection for worker in workers])
    for i, worker in enumerate(workers):
        if worker.connection not in ready:
            continue
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            if worker.spec:
                report = _died(worker, store) if worker.is_ready else _never_ready(worker)
                _count(report, worker, summary, display)
            workers[i] = _start(runtime)
            continue
        if message is None:
            worker.is_ready = True
        elif isinstance(message, JobReport):
            _count(message, worker, summary, display)
        elif worker.spec:
            display.progress(worker.process.pid, message)


def _count(report: JobReport, worker: _Worker, summary: Summary, display: Display) -> None:
    assert worker.spec is not None
    if report.outcome == "done":
        summary.done += 1
    elif report.outcome == "held":
        summary.held.append(report.run_id)
    elif report.outcome == "refused":
        summary.problems += [problem for problem in report.problems if problem not in summary.problems]
    else:
        summary.failed.append(report)
    display.finished(worker.process.pid, worker.spec, report)
    worker.spec = None


def _died(worker: _Worker, store: Store) -> JobReport:
    """What is left to do for a run whose worker ended under it: say why, give the run back."""
    assert worker.spec is not None
    text = f"the worker process ended with {_ending(worker)}"
    run_dir = store.run_dir(worker.spec.run_id)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "error.txt").write_text(text + "\n", encoding="utf-8")
    store.release_dead(worker.spec.run_id, worker.process.pid)
    return JobReport(worker.spec.run_id, "failed", text, 0.0)


def _never_ready(worker: _Worker) -> JobReport:
    """A process that ends while it starts would do so for every run: the launch is refused, no run has failed."""
    assert worker.spec is not None
    problem = f"a worker process ended with {_ending(worker)} while it started, before any run; its own words are above"
    return JobReport(worker.spec.run_id, "refused", problem, 0.0, (problem,))


def _ending(worker: _Worker) -> str:
    worker.process.join()
    code = worker.process.exitcode
    if code >= 0:
        return f"exit code {code}"
    hint = "; out of memory? fewer workers need less" if -code == signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}){hint}"


def _start(runtime: RuntimeConfig) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, runtime, EXECUTE), name="ablate worker")
    with _blocked_sigint():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _blocked_sigint() -> Iterator[None]:
    """A child inherits the mask, so that a Ctrl-C while it starts reaches it only once it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(workers: list[_Worker], store: Store) -> None:
    """End the workers; a run under way gives itself back, or is given back here if it cannot."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave claims behind
    for worker in workers:
        if worker.spec:
            worker.process.terminate()
        else:
            worker.connection.close()
    deadline = time.monotonic() + STOP_WITHIN_S
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        if worker.spec:
            store.release_dead(worker.spec.run_id, worker.process.pid)
    signal.signal(signal.SIGINT, before)


def _work(connection: Connection, runtime: RuntimeConfig, execute_path: str) -> None:
    """A worker's life: read a run, do it, report, until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _interrupt)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read by the libraries when they load
        os.environ[name] = str(runtime.num_threads)
    try:
        try:
            execute = load_execute(execute_path)
        except ImportError as error:
            problem = f"the trainer cannot be loaded: {error}"
            connection.send(JobReport(connection.recv().run_id, "refused", problem, 0.0, (problem,)))
            return
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(runtime.num_threads)
        connection.send(None)
        while True:
            spec = connection.recv()
            connection.send(run_job(spec, runtime, execute, _Reporter(connection)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class _Reporter:
    """Sends a trainer's progress to the parent, not more often than a person reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = ("", 0.0)

    def __call__(self, progress: Any) -> None:
        phase, sent = self._last
        now = time.monotonic()
        if progress.phase == phase and now - sent < PROGRESS_EVERY_S:
            return
        self._last = (progress.phase, now)
        try:
            self._connection.send(Update(progress.phase, progress.step, progress.num_steps, progress.images_per_s))
        except OSError:  # the parent is gone: the run is worth finishing all the same
            return
