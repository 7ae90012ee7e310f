"""What submissions left in ``<store>/.submissions``: which job ran which runs, and where it wrote its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations.queued import Queued
from ablations.store import Store
from simclr_core.records import read_json

FOLDER = ".submissions"
_TAIL_BYTES = 16_384


@dataclass(frozen=True)
class SubmittedJob:
    """A job, or an array of them."""

    job_id: str
    run_ids: tuple[tuple[str, ...], ...]  # per array index; one entry for a job that is no array


@dataclass(frozen=True)
class Submission:
    """One ``ablate submit``."""

    folder: Path
    time: float  # unix seconds
    grids: tuple[str, ...]
    scale: str
    jobs: tuple[SubmittedJob, ...]

    @property
    def run_ids(self) -> set[str]:
        """Every run that it brought."""
        return {run_id for job in self.jobs for runs in job.run_ids for run_id in runs}


def read_all(store: Store) -> list[Submission]:
    """The submissions to a store, oldest first; what cannot be read is left out."""
    found = []
    for path in sorted((store.root / FOLDER).glob("*/submission.json")):
        try:
            content = read_json(path)
            jobs = tuple(
                SubmittedJob(job["job_id"], tuple(tuple(runs) for runs in job["run_ids"])) for job in content["jobs"]
            )
            grids = tuple(content["grids"])
            found.append(Submission(path.parent, float(content["time"]), grids, str(content["scale"]), jobs))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda submission: submission.time)


def log_path(store: Store, attempts: Sequence[Mapping[str, Any]], record: Queued | None, ending: str) -> Path | None:
    """The file that a run's newest job writes, ``ending`` being out or err; None for a run of no job."""
    if record and record.job_name:
        return store.root / FOLDER / record.submission / f"{record.job_name}_0_log.{ending}"
    newest: Mapping[str, Any] = attempts[-1] if attempts else {}
    if not newest.get("submission"):
        return None
    index = newest["array_index"]
    name = newest["job_id"] if index is None else f"{newest['job_id']}_{index}"
    return store.root / FOLDER / str(newest["submission"]) / f"{name}_0_log.{ending}"


def log_tail(store: Store, attempts: Sequence[Mapping[str, Any]], record: Queued | None) -> str:
    """The end of the standard error of a run's newest job; "" where there is none."""
    path = log_path(store, attempts, record, "err")
    try:
        if path is None:
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
