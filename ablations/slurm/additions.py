"""Evaluations that a grid needs of a run which another submission has queued: the job that brings the run makes them.

They are left as files in the run's place in the queue, one a submission, and go with it when the run leaves.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ablations.slurm import runs_file
from ablations.store import queued
from ablations.store.folder import Store
from ablations.store.job_logs import SUBMISSIONS
from ablations.study.spec import RunSpec
from simclr_core.config.identity import eval_id
from simclr_core.config.options import flatten, override
from simclr_core.config.schema import EvalConfig
from simclr_core.records import read_json, write_json

_FILES = "more-*.json"


def ask(specs: Iterable[RunSpec], store: Store) -> int:
    """Ask the jobs that bring queued runs for what these lack; of how many runs that is something."""
    asked = 0
    brought: dict[str, dict[str, set[str]]] = {}  # by submission
    for spec in specs:
        run_dir = store.run_dir(spec.run_id)
        record = queued.read(run_dir)
        if record is None:  # it has left the queue just now
            continue
        if record.submission not in brought:
            brought[record.submission] = runs_file.evaluations(store.root / SUBMISSIONS / record.submission)
        known = {eval_id(evaluation) for evaluation in _asked(run_dir)}
        known |= brought[record.submission].get(spec.run_id, set()) | store.facts(spec.run_id).evaluations
        more = [e for name, e in zip(spec.eval_ids, spec.evaluations, strict=True) if name not in known]
        asked += bool(more) and _leave(more, run_dir)
    return asked


def added(spec: RunSpec, run_dir: Path) -> RunSpec:
    """The run with all that has been asked of its job meanwhile."""
    known = dict(zip(spec.eval_ids, spec.evaluations, strict=True))
    more = {eval_id(evaluation): evaluation for evaluation in _asked(run_dir)}
    return spec if known.keys() >= more.keys() else replace(spec, evaluations=tuple({**more, **known}.values()))


def _asked(run_dir: Path) -> list[EvalConfig]:
    found = []
    for path in sorted((run_dir / queued.RECORD.parent).glob(_FILES)):
        with suppress(OSError, ValueError):
            found += [override(EvalConfig(), values) for values in read_json(path)]
    return found


def _leave(evaluations: Iterable[EvalConfig], run_dir: Path) -> bool:
    """Put a file into the run's place in the queue; False if that is gone, which a write alone would make again."""
    name = uuid.uuid4().hex
    prepared = run_dir / f".more-{name}"
    write_json(prepared, [dict(flatten(evaluation)) for evaluation in evaluations])
    try:
        prepared.rename(run_dir / queued.RECORD.parent / _FILES.replace("*", name))
    except OSError:
        prepared.unlink()
        return False
    return True
