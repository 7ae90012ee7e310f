"""The SLURM job and the user of this process, from the environment of the job."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass

SUBMISSION = "ABLATE_SUBMISSION"
"""The variable that holds the submission's id in the processes of its tasks."""


@dataclass(frozen=True)
class Place:
    """A process in a job, or in an element of an array."""

    submission: str  # "" in a job that is none of ours
    job_id: str
    array_index: int | None
    node: str
    restart_count: int  # how often SLURM has put the job back into the queue

    @property
    def job_name(self) -> str:
        """``"120"``, or ``"120_5"`` in an array."""
        return self.job_id if self.array_index is None else f"{self.job_id}_{self.array_index}"


def slurm_place(environ: Mapping[str, str] = os.environ) -> Place | None:
    """Return the job of this process; None outside SLURM."""
    if "SLURM_JOB_ID" not in environ:
        return None
    index = environ.get("SLURM_ARRAY_TASK_ID", "")
    return Place(
        submission=environ.get(SUBMISSION, ""),
        job_id=environ.get("SLURM_ARRAY_JOB_ID") or environ["SLURM_JOB_ID"],
        array_index=int(index) if index.isdecimal() else None,
        node=environ.get("SLURMD_NODENAME", ""),
        restart_count=int(environ.get("SLURM_RESTART_COUNT") or 0),
    )


def user_name() -> str:
    """Return the user's name, or the user's id if no entry names it, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the first until Python 3.13
        return str(os.getuid())
