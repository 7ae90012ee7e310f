"""Whether a SLURM job may still work on a run without signs of life; a suspended job may continue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ablations.scheduler.jobs import Answer, ask
from ablations.scheduler.place import slurm_place


class Claim(Protocol):
    """What is known about the claim on a run."""

    @property
    def claim_job(self) -> str:
        """The SLURM job that claimed the run, such as "120_5"; "" for a process outside SLURM."""

    @property
    def claim_cluster(self) -> str:
        """The cluster of the job; "" if it is unknown."""

    @property
    def owner_is_dead(self) -> bool | None:
        """Whether the process that claimed the run has ended; None if that is unknown."""


def holders(silent: Mapping[str, Claim], scheduler: Callable[[Iterable[str]], Answer] = ask) -> dict[str, str]:
    """Return run id -> why its claim stays although it is silent: SLURM has the claim's job, or does not answer.

    SLURM is asked once, if any of the runs is claimed by a job.
    """
    here = slurm_place()
    jobs = {
        run_id: (facts.claim_job, facts.claim_cluster)
        for run_id, facts in silent.items()
        if facts.claim_job and not (here and facts.claim_job == here.job_name and facts.owner_is_dead)
    }
    answer = scheduler(job for job, _ in jobs.values()) if jobs else Answer()
    return {run_id: why for run_id, (job, cluster) in jobs.items() if (why := held(job, answer, cluster))}


def held(job_name: str, answer: Answer, cluster: str = "") -> str:
    """Return why a job may still work on its runs; "" if SLURM says that the job has ended or does not know it."""
    if cluster and answer.cluster and cluster != answer.cluster:
        return f"job {job_name} is of cluster {cluster}, and this is {answer.cluster}"
    if not answer.queue:
        return answer.not_ours or f"SLURM does not answer, and may still have its job {job_name}"
    job = answer.job(job_name)
    if job is None or (job.ended and not answer.may_come_back(job, time.time())):
        return ""
    return f"SLURM still has its job {job_name}, {job.state}"
