"""The record ``queued/job.json``: which job of a scheduler will execute a run, or executes it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from simclr_core.records import read_json

RECORD = Path("queued", "job.json")


@dataclass(frozen=True)
class Queued:
    """The place of a run in a queue."""

    submission: str
    job_id: str | None  # None until the scheduler has given one
    array_index: int | None
    host: str  # where it was submitted
    user: str
    time: float  # unix seconds
    profile: str
    partition: str | None

    @property
    def job_name(self) -> str:
        """``"120_5"`` for an element of an array, ``"120"`` for a job, ``""`` as long as there is no id."""
        if self.job_id is None:
            return ""
        return self.job_id if self.array_index is None else f"{self.job_id}_{self.array_index}"


def read(run_dir: Path) -> Queued | None:
    """Return the record of a run; None if it is missing or cannot be read."""
    try:
        content = read_json(run_dir / RECORD)
        return Queued(**{field.name: content[field.name] for field in fields(Queued)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove(run_dir: Path) -> None:
    """Remove the record of a run; the scheduler is not informed."""
    shutil.rmtree(run_dir / RECORD.parent, ignore_errors=True)
