"""What a SLURM job does: its runs in processes of their own, each to its end or to a checkpoint, then the next.

submitit calls the task on a node and, when SLURM sends SIGUSR2 before a time limit or a preemption, calls
``checkpoint`` in the signal's handler, writes down what that returns, and puts the job back into the queue. The handler
runs in the main thread, which does nothing but wait; another thread looks after the processes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ablations.console import say
from ablations.errors import UserError
from ablations.local.display import Display
from ablations.local.job import JobReport
from ablations.local.pool import launch
from ablations.local.worker import Stop
from ablations.scheduler.holders import holders
from ablations.scheduler.place import SUBMISSION, Place, slurm_place
from ablations.slurm import additions, ranks, runs_file
from ablations.slurm.queue import dequeue, name_job
from ablations.store import provenance, queued
from ablations.store.folder import State, Store
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import RuntimeConfig, slurm_gave_gpus
from simclr_core.records import write_text

# A job that waits in a queue has a pickle of its task, which may name a module as it was called at the submission.
sys.modules.setdefault("simclr_core.runtime", sys.modules[RuntimeConfig.__module__])

STOP_WITHIN_S = 60.0
"""How long the handler waits for a checkpoint; SLURM sends its signal earlier than that before it kills."""

KILLED_WITHIN_S = 1800.0
"""A job that was told to end and is not killed for so long goes on."""

BARREN_STARTS = 5
"""A job that was told to stop so often in a row before any run had got to work is not put back into the queue."""

LOOK_EVERY_S = 2.0


class RunsFailedError(Exception):
    """Some runs of a task have failed: the job counts as failed too."""


@dataclass
class Task:
    """The runs of one job, or of one element of an array: what submitit pickles."""

    folder: str  # of the submission
    run_ids: tuple[str, ...]
    runtime: RuntimeConfig
    num_workers: int  # runs at a time
    max_attempts: int  # of a run
    execute: str  # the trainer, as module:name
    num_barren: int = 0  # starts in a row that were told to stop before a run had begun
    _session: Session | None = field(default=None, init=False, repr=False, compare=False)

    def __call__(self) -> list[str]:
        """Bring all runs to their end; what became of each, for the log. Raises RunsFailedError."""
        os.environ[SUBMISSION] = Path(self.folder).name
        if slurm_gave_gpus():
            self.runtime.device = "cuda"
        # submitit listens by now: a signal that came while Python started is delivered here
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        if ranks.rank() > 0:
            ranks.follow(Path(self.folder), self.run_ids, self.runtime, self.execute)
            return []
        while True:
            self._session = session = self._new_session()
            signal.signal(signal.SIGTERM, session.terminated)
            session.run()
            if session.is_finished():
                break
            _wait_for_the_kill()
        if session.failures:
            raise RunsFailedError(session.said())
        return session.endings

    def checkpoint(self) -> Any:
        """Called in submitit's signal handler: stop, and say what to do when the job is back.

        None, which ends the job, once ``BARREN_STARTS`` in a row have come to nothing.
        """
        from submitit.helpers import DelayedSubmission

        session = self._session or self._new_session()
        session.stop_now()
        num_barren = 0 if session.has_begun else self.num_barren + 1
        if num_barren == BARREN_STARTS:
            session.give_up(
                f"given up after {num_barren} starts, each told to stop before a run had begun: the time limit, or"
                " what the partition grants before a preemption, is too short for the start; raise time_min"
            )
            return None
        return DelayedSubmission(replace(self, num_barren=num_barren))

    def _new_session(self) -> Session:
        place = slurm_place()
        assert place is not None, "a task runs in a SLURM job"
        return Session(self, replace(place, submission=Path(self.folder).name))


class Session:
    """One execution of a task, from the job's start to its end or to the next signal."""

    def __init__(self, task: Task, place: Place) -> None:
        self.task, self.place = task, place
        self.store = Store(Path(task.runtime.store))
        self.stop = Stop()
        self.endings: list[str] = []
        self.failures: dict[str, str] = {}  # run id -> why
        self.has_begun = False  # some run has got to work
        self._left = list(task.run_ids)  # which no ending is known of
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="runs", daemon=True)

    def run(self) -> None:
        """Do the work in another thread, so that this one, the main one, is free for signals."""
        self._thread.start()
        while self._thread.is_alive():
            self._thread.join(LOOK_EVERY_S)
        if self._error:
            raise self._error

    def is_finished(self) -> bool:
        """Nothing is left, as far as this job is concerned."""
        return not self._left

    def stop_now(self) -> None:
        """Ask all runs for a checkpoint and wait for it, as long as there is time."""
        self.stop.request()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN_S)

    def terminated(self, *_: object) -> None:
        """SIGTERM: scancel, or a preemption that sends nothing else. The kill follows."""
        self.stop.request()

    def _guarded(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it again
            self._error = error

    def _work(self) -> None:
        try:
            todo = runs_file.read(Path(self.task.folder), self.task.run_ids)
        except UserError as error:
            for run_id in self.task.run_ids:
                self._fail(run_id, "\n".join(error.problems))
            return
        while todo and not self.stop.requested():
            todo = [additions.added(spec, self.store.run_dir(spec.run_id)) for spec in todo]
            todo = [spec for spec in todo if self._may_start(spec)]
            with Display(Console(width=200), len(todo), self.task.num_workers) as display:
                summary = launch(
                    todo,
                    self.task.runtime,
                    self.task.num_workers,
                    display,
                    self.stop,
                    execute_path=self.task.execute,
                    on_start=ranks.start_together if ranks.size() > 1 else None,
                    observer=self,
                )
            if problems := [problem for problem in summary.problems if problem.startswith("runtime.")]:
                self.give_up("\n".join(problems))  # what is wrong with this node is so for every run
            for run_id in summary.held:
                self._await(run_id)
            todo = [spec for spec in todo if spec.run_id in self._left]
            lost = [spec for spec in todo if self.store.state(spec) is not State.DONE] if ranks.size() > 1 else []
            if lost and not self.stop.requested():
                ranks.requeue()  # the other processes hang in what they were doing: all start again

    def _may_start(self, spec: RunSpec) -> bool:
        """Whether the run is still this job's to do; notes the end of one that is not."""
        run_dir, mine = self.store.run_dir(spec.run_id), self.place.submission
        if not name_job(run_dir, mine, self.place.job_id, self.place.array_index):
            found = queued.read(run_dir)
            self._end(spec.run_id, f"belongs to submission {found.submission}" if found else "was taken from the queue")
            return False
        try:
            state = self.store.state(spec)
        except UserError as error:  # the folder is another configuration's
            self._fail(spec.run_id, "\n".join(error.problems))
            return False
        if state is State.DONE:
            self._end(spec.run_id, "was done already")
            return False
        attempts = [a for a in provenance.read(run_dir) if a.get("submission") == mine]
        lost = [a for a in attempts if a["outcome"] not in ("done", "stopped")]
        if len(lost) >= self.task.max_attempts:
            ends = ", ".join("lost" if a["outcome"] == "running" else a["outcome"] for a in lost)
            self._fail(spec.run_id, f"given up after {len(lost)} attempts of submission {mine}, which ended: {ends}")
            return False
        if lost:
            (run_dir / "error.txt").unlink(missing_ok=True)  # of a process that died; there is another attempt
        return True

    def _await(self, run_id: str) -> None:
        """Wait until a run that another process holds shows to be alive, or to be abandoned."""
        sign = self.store.facts(run_id).last_sign_of_life
        while not self.stop.requested():
            facts = self.store.facts(run_id)
            if not facts.is_alive:
                if facts.claimed and (why := holders({run_id: facts}).get(run_id)):
                    self._end(run_id, f"is another process's: {why}")
                return
            if facts.owner_is_dead is False or facts.last_sign_of_life > sign:
                self._end(run_id, "is another process's")
                return
            time.sleep(LOOK_EVERY_S)

    def begun(self, _: RunSpec) -> None:
        """A run has got to work."""
        self.has_begun = True

    def ended(self, spec: RunSpec, report: JobReport) -> None:
        """Note how an attempt ended; a run whose process died, or that was stopped, is left for another one."""
        if report.outcome == "done":
            if additions.added(spec, self.store.run_dir(spec.run_id)) is spec:
                self._end(spec.run_id, "done")
        elif report.outcome == "refused":
            self._fail(spec.run_id, "\n".join(report.problems))
        elif report.outcome == "failed":
            self.failures[spec.run_id] = report.detail
            self._end(spec.run_id, "failed")

    def said(self) -> str:
        """Why runs have failed, each reason once."""
        reasons = dict.fromkeys(self.failures.values())
        runs = {reason: [run_id for run_id, why in self.failures.items() if why == reason] for reason in reasons}
        return "; ".join(f"{', '.join(run_ids)}: {reason}" for reason, run_ids in runs.items())

    def give_up(self, text: str) -> None:
        """Fail what is left, all for one reason."""
        for run_id in list(self._left):
            self._fail(run_id, text)

    def _fail(self, run_id: str, text: str) -> None:
        write_text(self.store.run_dir(run_id) / "error.txt", text + "\n")
        self.failures[run_id] = text
        self._end(run_id, "failed")

    def _end(self, run_id: str, ending: str) -> None:
        self.endings.append(f"{run_id} {ending}")
        say(self.endings[-1])
        dequeue(self.store.run_dir(run_id), self.place.submission)
        with suppress(ValueError):
            self._left.remove(run_id)


def _wait_for_the_kill() -> None:
    """SLURM was about to end the job. If it does not, the job goes on."""
    say("stopped; waiting for the end of this job")
    deadline = time.monotonic() + KILLED_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
