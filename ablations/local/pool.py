"""The local executor: a bounded number of warm worker processes, fed one run at a time.

A worker imports the trainer and reads its data once. Ctrl-C reaches the parent alone, which starts nothing more,
stops the workers and gives their runs back; what was finished stays. The task of a cluster job launches in the same
way, and stops its workers by ``Stop``.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from ablations.local import worker as workers_of
from ablations.local.display import Display
from ablations.local.job import JobReport, OnStart
from ablations.local.worker import Stop, Worker
from ablations.scheduler.holders import holders
from ablations.store.folder import State, Store
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import RuntimeConfig

EXECUTE = "simclr_core.run:execute"
"""What a worker runs: it stays a path so that this process loads no torch."""

STOP_WITHIN_S = 10.0
LOOK_EVERY_S = 0.5


class Observer(Protocol):
    """What has to know of each run as the launch goes on; what is shown of it is the display's."""

    def begun(self, spec: RunSpec, /) -> None:
        """A run makes progress; called again with every message of its worker."""

    def ended(self, spec: RunSpec, report: JobReport, /) -> None:
        """An attempt at a run has ended, as the report says."""


@dataclass
class LaunchSummary:
    """How a launch ended."""

    done: int = 0
    failed: list[JobReport] = field(default_factory=list)
    held: list[str] = field(default_factory=list)  # run ids that other processes work on
    problems: list[str] = field(default_factory=list)  # of input that is wrong: the launch was stopped
    interrupted: bool = False
    stopped: bool = False  # because ``Stop`` asked
    left: int = 0  # runs not started, or stopped


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


def unfinished(specs: Sequence[RunSpec], store: Store) -> tuple[list[RunSpec], dict[str, str]]:
    """The runs to start: not done, not under way elsewhere, and not in a queue; and those left alone (id -> why)."""
    states = {spec.run_id: store.state(spec) for spec in specs}
    left = left_alone(states, store)
    taken = (State.DONE, State.RUNNING, State.QUEUED)
    return [spec for spec in specs if states[spec.run_id] not in taken and spec.run_id not in left], left


def left_alone(states: Mapping[str, State], store: Store) -> dict[str, str]:
    """Run id -> why a run that seems stale is not taken over: SLURM still has the job that claimed it, or is silent."""
    return holders({run_id: store.facts(run_id) for run_id, state in states.items() if state is State.STALE})


def launch(
    specs: Sequence[RunSpec],
    runtime: RuntimeConfig,
    num_workers: int,
    display: Display,
    stop: Stop | None = None,
    *,
    execute_path: str | None = None,
    on_start: OnStart | None = None,
    observer: Observer | None = None,
) -> LaunchSummary:
    """Run all of ``specs`` with at most ``num_workers`` processes at a time.

    Returns when none is left, or after a Ctrl-C (``interrupted``). Once a run says that the input is wrong, only those
    under way are finished. With ``stop``, which any thread may request, signals are left alone, and runs under way end
    with a checkpoint; runs that have nothing to stop for, as in an evaluation, are finished.
    Workers run the function at ``execute_path`` (``module:name``), the trainer's if None, and call ``on_start`` before.
    """
    pending = deque(specs)
    summary = LaunchSummary()
    store = Store(Path(runtime.store))
    pool = _Pool(runtime, execute_path or EXECUTE, on_start, stop, store, display, observer, summary)
    before = signal.signal(signal.SIGTERM, workers_of.interrupt) if stop is None else None
    try:
        pool.start(min(num_workers, len(pending)))
        while (pending and not pool.closed()) or pool.is_busy():
            if pending and not pool.closed():
                pool.feed(pending)
            pool.wait_once()
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        pool.end()
        if stop is None:
            signal.signal(signal.SIGTERM, before)
    summary.stopped = stop is not None and stop.requested()
    summary.left = len(specs) - summary.done - len(summary.failed) - len(summary.held)
    return summary


@dataclass
class _Pool:
    runtime: RuntimeConfig
    execute_path: str
    on_start: OnStart | None
    stop: Stop | None
    store: Store
    display: Display
    observer: Observer | None
    summary: LaunchSummary
    workers: list[Worker] = field(default_factory=list)

    def start(self, number: int) -> None:
        for _ in range(number):
            self.workers.append(self._new())

    def _new(self) -> Worker:
        return workers_of.start(self.runtime, self.execute_path, self.stop, self.on_start)

    def closed(self) -> bool:
        """Nothing more is to be started."""
        return bool(self.summary.problems) or (self.stop is not None and self.stop.requested())

    def is_busy(self) -> bool:
        return any(worker.spec for worker in self.workers)

    def feed(self, pending: deque[RunSpec]) -> None:
        for worker in self.workers:
            if worker.spec is None and pending:
                worker.spec = pending.popleft()
                with suppress(OSError):  # a worker that has just died: the next wait tells
                    worker.connection.send(worker.spec)
                self.display.started(worker.process.pid, worker.spec)

    def wait_once(self) -> None:
        """Take one round of messages; replace workers that died."""
        ready = wait([worker.connection for worker in self.workers], LOOK_EVERY_S if self.stop else None)
        for i, worker in enumerate(self.workers):
            if worker.connection not in ready:
                continue
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                if worker.spec:
                    self._count(_died(worker, self.store) if worker.is_ready else _never_ready(worker), worker)
                self.workers[i] = self._new()
                continue
            if message is None:
                worker.is_ready = True
            elif isinstance(message, JobReport):
                self._count(message, worker)
            elif worker.spec:
                self.display.progress(worker.process.pid, message)
                if self.observer:
                    self.observer.begun(worker.spec)

    def _count(self, report: JobReport, worker: Worker) -> None:
        assert worker.spec is not None
        summary = self.summary
        if report.outcome == "done":
            summary.done += 1
        elif report.outcome == "held":
            summary.held.append(report.run_id)
        elif report.outcome == "refused":
            summary.problems += [problem for problem in report.problems if problem not in summary.problems]
        elif report.outcome in ("failed", "died"):
            summary.failed.append(report)
        self.display.finished(worker.process.pid, worker.spec, report)
        if self.observer:
            self.observer.ended(worker.spec, report)
        worker.spec = None

    def end(self) -> None:
        """End the workers; a run under way gives itself back, or is given back here if it cannot."""
        # a second Ctrl-C would leave claims behind
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if self.stop is None else None
        for worker in self.workers:
            if worker.spec:
                worker.process.terminate()
            else:
                worker.connection.close()
        deadline = time.monotonic() + STOP_WITHIN_S
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            if worker.spec:
                self.store.release_dead(worker.spec.run_id, worker.process.pid)
        if self.stop is None:
            signal.signal(signal.SIGINT, before)


def _died(worker: Worker, store: Store) -> JobReport:
    """What is left to do for a run whose worker ended under it: say why, give the run back."""
    assert worker.spec is not None
    text = f"the worker process ended with {_ending(worker)}"
    run_dir = store.run_dir(worker.spec.run_id)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "error.txt").write_text(text + "\n", encoding="utf-8")
    store.release_dead(worker.spec.run_id, worker.process.pid)
    return JobReport(worker.spec.run_id, "died", text, 0.0)


def _never_ready(worker: Worker) -> JobReport:
    """A process that ends while it starts would do so for every run: the launch is refused, no run has failed."""
    assert worker.spec is not None
    problem = f"a worker process ended with {_ending(worker)} while it started, before any run; its own words are above"
    return JobReport(worker.spec.run_id, "refused", problem, 0.0, (problem,))


def _ending(worker: Worker) -> str:
    worker.process.join()
    code = worker.process.exitcode
    if code >= 0:
        return f"exit code {code}"
    hint = "; out of memory? fewer workers need less" if -code == signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}){hint}"
