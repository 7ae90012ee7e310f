"""What finished runs no longer need: checkpoints, logs of their jobs, temporary files. Nothing of unfinished runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablations.local.pool import merge
from ablations.scheduler.jobs import ask
from ablations.slurm.status import Ask
from ablations.slurm.submissions import RECORD, read_all
from ablations.store.folder import Store, is_done
from ablations.study.spec import RunSpec

CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")
LEFTOVER_AFTER_S = 3600.0
"""A temporary file is renamed within seconds; one that is as old as this was left behind."""


@dataclass(frozen=True)
class Item:
    """A file or folder to delete."""

    path: Path
    kind: str
    size: int  # bytes


@dataclass
class Pruning:
    """What can go, and what stays and why."""

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(store: Store, every: Iterable[RunSpec], chosen: set[str] | None, ask: Ask = ask) -> Pruning:
    """What can be deleted of the runs ``chosen``, or of all.

    ``every``: the runs of every grid there is at every scale, since a checkpoint is needed as long as any of them
    lacks an evaluation. A run that no grid asks for stays as it is.
    """
    needs = {spec.run_id: spec.eval_ids for spec in merge(every)}
    names = [path.name for path in _entries(store.root) if path.name[0] != "."]
    finished = set()
    found = Pruning()
    for run_id in names:
        facts = store.facts(run_id)
        if run_id in needs and is_done(facts, needs[run_id]) and not facts.claimed and not facts.queued:
            finished.add(run_id)
    for run_id in sorted(finished if chosen is None else finished & chosen):
        found.items += _of_run(store.run_dir(run_id), store.clock.now())
    if unknown := [name for name in names if name not in needs]:
        found.notes.append(f"{len(unknown)} folders of no known grid stay as they are, such as {unknown[0]}")
    over = [each for each in read_all(store) if each.run_ids and each.run_ids <= finished]
    over = [each for each in over if chosen is None or each.run_ids <= chosen]
    answer = ask({job.job_id for each in over for job in each.jobs}) if over else None
    if answer and not answer.queue:
        found.notes.append(f"logs of jobs stay, as nobody says whether the jobs have ended: {answer.silence[0]}")
    elif answer:
        if others := sorted({each.cluster for each in over if answer.cluster} - {"", answer.cluster}):
            found.notes.append(f"logs of jobs of cluster {', '.join(others)} stay, as this is {answer.cluster}")
            over = [each for each in over if each.cluster not in others]
        live = {name.partition("_")[0] for name, job in answer.jobs.items() if not job.ended}
        for each in over:
            if live.isdisjoint(job.job_id for job in each.jobs):
                logs = [path for path in _entries(each.folder) if path.name != RECORD]
                found.items += [Item(path, "log of a job", _size(path)) for path in logs]
    return found


def _of_run(folder: Path, now: float) -> Iterator[Item]:
    for path in _entries(folder):
        if path.name in CHECKPOINTS:
            yield Item(path, "checkpoint", _size(path))
        elif path.name[0] == "." and now - path.stat().st_mtime > LEFTOVER_AFTER_S:
            yield Item(path, "temporary file", _size(path))


def delete(items: Iterable[Item]) -> None:
    """Delete them; what is gone already is no error."""
    for item in items:
        if item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path, ignore_errors=True)
        else:
            item.path.unlink(missing_ok=True)


def size_text(count: int) -> str:
    """Bytes as ``"512 B"``, ``"1.5 MiB"``, ``"3.0 GiB"``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_size(inner) for inner in path.iterdir())
    return path.lstat().st_size
