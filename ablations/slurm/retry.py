"""Clear the way for runs that failed, or whose process went away, so that the next launch takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ablations.scheduler.holders import held
from ablations.slurm.status import RunStatus
from ablations.store import queued, sharing
from ablations.store.folder import Store


@dataclass
class Cleared:
    """What is planned again, and what is not and why."""

    runs: list[RunStatus] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)  # run id -> reason


def clear(runs: Iterable[RunStatus], store: Store) -> Cleared:
    """Remove error.txt, the claim and the queue record of each run, unless somebody may still work on it.

    Raises UserError before any is cleared where this user may not write what another has written.
    """
    runs = list(runs)
    sharing.check(store.root, (store.run_dir(run.spec.run_id) for run in runs))
    cleared = Cleared()
    for run in {run.spec.run_id: run for run in runs}.values():
        if reason := _held(run) or _clear(run, store):
            cleared.kept[run.spec.run_id] = reason
        else:
            cleared.runs.append(run)
    return cleared


def _held(run: RunStatus) -> str:
    """Who, by the survey, may still work on a run; "" if nobody does."""
    record = run.files.record
    if run.cause and run.cause.kind == "another run's folder":
        return run.cause.line
    facts = run.files.facts
    is_anothers = facts.claim_job and not run.files.is_claimed_by_job
    if is_anothers and (reason := held(facts.claim_job, run.answer, facts.claim_cluster)):
        return reason
    if not record or not record.job_name or (run.job and run.job.ended):
        return ""
    if run.job:
        return f"job {record.job_name} is still {run.job.state}; ablate cancel ends it"
    return held(record.job_name, run.answer)


def _clear(run: RunStatus, store: Store) -> str:
    """Why a run cannot be cleared; "" once it is."""
    run_id, folder = run.spec.run_id, store.run_dir(run.spec.run_id)
    record = run.files.record
    if record and queued.read(folder) != record:
        return "it has been submitted again meanwhile"
    if record and run.files.is_claimed_by_job:
        store.release_ended(run_id, record.job_name)
    owner = store.claim(run_id)  # takes over a claim that is stale, and no other
    if owner is None:
        return "another process works on it"
    (folder / "error.txt").unlink(missing_ok=True)
    if record:
        queued.remove(folder)
    store.release(run_id, owner)
    return ""
