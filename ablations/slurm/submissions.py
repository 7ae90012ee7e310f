"""What submissions left in ``<store>/.submissions``: which job ran which runs, and where it wrote its output."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations import queued
from ablations.queued import Queued
from ablations.store import Store
from simclr_core.records import read_json, write_json

FOLDER = ".submissions"
RECORD = "submission.json"
_TAIL_BYTES = 16_384


Asked = Mapping[str, Mapping[str, Sequence[str]]]
"""Grid -> submission that brings them -> runs: what a grid waited for, of its own and of others, when submitted."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job, or an array of them."""

    job_id: str
    run_ids: tuple[tuple[str, ...], ...]  # per array index; one entry for a job that is no array


@dataclass(frozen=True)
class Submission:
    """One ``ablate submit``; without jobs, it found all in the queue that it would have submitted."""

    folder: Path
    time: float  # unix seconds
    scale: str
    jobs: tuple[SubmittedJob, ...]
    asked: Asked = field(default_factory=dict)

    @property
    def run_ids(self) -> set[str]:
        """Every run that it brought."""
        return {run_id for job in self.jobs for runs in job.run_ids for run_id in runs}


def read_all(store: Store) -> list[Submission]:
    """The submissions to a store, oldest first; what cannot be read is left out."""
    found = []
    for path in sorted((store.root / FOLDER).glob(f"*/{RECORD}")):
        try:
            content = read_json(path)
            jobs = tuple(
                SubmittedJob(job["job_id"], tuple(tuple(runs) for runs in job["run_ids"])) for job in content["jobs"]
            )
            when, scale = float(content["time"]), str(content["scale"])
            found.append(Submission(path.parent, when, scale, jobs, content.get("asked", {})))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda submission: submission.time)


def asked_for(grids: Mapping[str, Collection[str]], store: Store) -> dict[str, dict[str, list[str]]]:
    """What grids, given with their runs, wait for as the queue stands now."""
    found: dict[str, dict[str, list[str]]] = {}
    for grid, run_ids in grids.items():
        for run_id in run_ids:
            if record := queued.read(store.run_dir(run_id)):
                found.setdefault(grid, {}).setdefault(record.submission, []).append(run_id)
    return found


def is_on_file(asked: Asked, scale: str, store: Store) -> bool:
    """Whether earlier submissions at a scale have written down all of ``asked``."""
    known = {
        (grid, brings, run_id)
        for each in read_all(store)
        if each.scale == scale
        for grid, brings, run_id in _triples(each.asked)
    }
    return known.issuperset(_triples(asked))


def wanted(store: Store, records: Mapping[str, Queued], but_for: Collection[str], scale: str) -> dict[str, str]:
    """Run id -> a grid at its scale that waits for the run, of those in the queue now, by what brings it now.

    Grids ``but_for`` at ``scale`` are left out.
    """
    found: dict[str, str] = {}
    for each in read_all(store):
        for grid, brings, run_id in _triples(each.asked):
            is_other = grid not in but_for or each.scale != scale
            if is_other and run_id in records and records[run_id].submission == brings:
                found[run_id] = f"{grid} at scale {each.scale}"
    return found


def withdraw(grids: Collection[str], scale: str, store: Store) -> None:
    """Note that grids no longer wait for anything: they were cancelled."""
    for each in read_all(store):
        if each.scale == scale and not each.asked.keys().isdisjoint(grids):
            path = each.folder / RECORD
            left = {grid: asked for grid, asked in each.asked.items() if grid not in grids}
            write_json(path, read_json(path) | {"asked": left})


def _triples(asked: Asked) -> Iterator[tuple[str, str, str]]:
    for grid, by_submission in asked.items():
        for submission, run_ids in by_submission.items():
            for run_id in run_ids:
                yield grid, submission, run_id


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
