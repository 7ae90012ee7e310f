"""What sbatch, and the jobs that it makes, take from the variables of the shell that submits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ablations.scheduler.place import slurm_place

_OF_JOBS = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")
_OF_LAUNCHERS = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_NAMED_OTHERWISE = {
    "ARRAY_INX": "array",
    "MEM_PER_CPU": "mem",  # which excludes it
    "MEM_PER_GPU": "mem",
    "MEM_PER_NODE": "mem",
    "NO_REQUEUE": "requeue",
    "TIMELIMIT": "time",
}


@contextmanager
def as_a_user_means_them(batch_script: str) -> Iterator[None]:
    """Hide the variables that sbatch and submitit would take for more than a user means by them.

    In a job, all that it was given: another job inside it would be thought to be the same. Everywhere, those that
    sbatch prefers to options which the script sets; others of the user's own, as ``SBATCH_ACCOUNT`` where a profile
    names no account, are obeyed. And those of a launcher of processes, which the trainer would believe.
    """
    is_job = slurm_place() is not None
    written = set(re.findall(r"^#SBATCH --([\w-]+)", batch_script, re.MULTILINE)) | {"wait"}
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name in _OF_LAUNCHERS
        or (name.startswith("SBATCH_") and _option_of(name) in written)
        or (is_job and name.startswith(_OF_JOBS) and name != "SLURM_CONF")  # which says where SLURM is
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _option_of(variable: str) -> str:
    """The option of sbatch that a variable stands for: ``job-name`` for ``SBATCH_JOB_NAME``."""
    name = variable.removeprefix("SBATCH_")
    return _NAMED_OTHERWISE.get(name, name.lower().replace("_", "-"))
