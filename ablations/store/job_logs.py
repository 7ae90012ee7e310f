"""The logs of SLURM jobs: ``<store>/.submissions/<submission>/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.store.folder import Store
from ablations.store.queued import Queued

SUBMISSIONS = ".submissions"
"""The folder of a store with one folder for each submission."""

_TAIL_BYTES = 16_384


def log_path(store: Store, attempts: Sequence[Mapping[str, Any]], record: Queued | None, ending: str) -> Path | None:
    """Return the log of a run's newest job, with ``ending`` out or err; None for a run without a job."""
    if record and record.job_name:
        return store.root / SUBMISSIONS / record.submission / f"{record.job_name}_0_log.{ending}"
    newest: Mapping[str, Any] = attempts[-1] if attempts else {}
    if not newest.get("submission"):
        return None
    index = newest["array_index"]
    name = newest["job_id"] if index is None else f"{newest['job_id']}_{index}"
    return store.root / SUBMISSIONS / str(newest["submission"]) / f"{name}_0_log.{ending}"


def log_tail(store: Store, attempts: Sequence[Mapping[str, Any]], record: Queued | None) -> str:
    """Return the end of the standard error of a run's newest job; "" if there is none."""
    path = log_path(store, attempts, record, "err")
    try:
        if path is None:
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
