"""What a launch shows: bars on a terminal, one line per finished run elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from ablations.local.job import JobReport
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


def duration(seconds: float) -> str:
    """``"45 s"``, ``"12 min"``, ``"3.4 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Display:
    """Counts runs; on a terminal also a bar for the whole and a line for each worker."""

    def __init__(self, console: Console, total: int, num_workers: int) -> None:
        self._console = console
        self._total, self._num_workers = total, num_workers
        self._done, self._failed = 0, 0
        self._durations: list[float] = []
        self._start = time.monotonic()
        self._bars: Bars | None = None
        self._lines: dict[int, TaskID] = {}
        if console.is_terminal:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[detail]}"))
            self._bars = Bars(*columns, console=console)
            self._whole = self._bars.add_task("all runs", total=total, detail="")

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def started(self, worker: int, spec: RunSpec) -> None:
        """A worker takes a run."""
        if self._bars:
            if worker not in self._lines:
                self._lines[worker] = self._bars.add_task("", detail="")
            self._bars.reset(self._lines[worker], description=_title(spec), detail="starting")

    def progress(self, worker: int, update: Progress) -> None:
        """A worker says how far it is."""
        if self._bars and worker in self._lines:
            speed = f", {update.images_per_s:.0f} images/s" if update.images_per_s else ""
            detail = f"{update.phase} {update.step}/{update.num_steps}{speed}"
            self._bars.update(self._lines[worker], completed=update.step, total=max(update.num_steps, 1), detail=detail)

    def finished(self, worker: int, spec: RunSpec, report: JobReport) -> None:
        """A worker is free again."""
        if report.outcome == "done":
            self._done += 1
            self._durations.append(report.duration_s)
        self._failed += report.outcome in ("failed", "died")
        for note in report.notes:
            self._console.print(note, style="yellow", markup=False, highlight=False)
        if report.outcome in ("failed", "died"):
            self._console.print(
                f"failed: {_title(spec)} ({spec.run_id}): {report.detail}", style="red", markup=False, highlight=False
            )
        if self._bars:
            self._bars.update(self._whole, completed=self._done + self._failed, detail=self._summary())
            if worker in self._lines:
                self._bars.remove_task(self._lines.pop(worker))
        elif report.outcome == "done":
            number = f"[{self._done + self._failed}/{self._total}]"
            line = f"{number} {_title(spec)}: done in {duration(report.duration_s)}; {self._summary()}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _summary(self) -> str:
        left = self._total - self._done - self._failed
        parts = [f"{self._done} done"] + ([f"{self._failed} failed"] if self._failed else [])
        if self._durations and left:
            mean = sum(self._durations) / len(self._durations)
            parts.append(f"about {duration(mean * left / min(self._num_workers, left))} left")
        return ", ".join(parts)


def _title(spec: RunSpec) -> str:
    return f"{spec.grid} {spec.label} seed {spec.seed}"
