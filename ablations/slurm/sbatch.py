"""The batch script of a job array: a profile, as submitit takes it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from ablations.slurm.profiles import Profile
from ablations.slurm.resources import Batch
from ablations.slurm.source import Code
from ablations.slurm.submissions import job_name

SIGNAL_BEFORE_S = 120
"""SLURM sends SIGUSR2 so long before a time limit, or up to a minute earlier."""

SIGNAL = "USR2"
"""That signal, as SLURM and submitit name it."""

_BLOCK = f"env --block-signal={SIGNAL}"
_HOLD_BACK = f'trap "" {SIGNAL}; {_BLOCK} true 2>/dev/null && exec {_BLOCK} "$@"; exec "$@"'
"""Starts a program with the signal blocked, so that one which comes before the program listens waits until then.

Where ``env`` cannot do that (coreutils before 8.31), the signal is ignored until then: at least it does not kill.
"""

MANY = 1_000_000
"""Requeues and tasks at a time that submitit does not limit: a task counts its attempts itself."""


def script(profile: Profile, batch: Batch, code: Code, folder: Path) -> str:
    """What sbatch is given, made without SLURM."""
    from submitit import SlurmExecutor

    class Anywhere(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1

    made = Anywhere(folder, max_num_timeout=MANY, python=_python(profile))
    made.update_parameters(**parameters(profile, batch, code, folder.name))
    if len(batch.tasks) > 1:
        made.parameters["map_count"] = len(batch.tasks)
    return str(made._make_submission_file_text(made._submitit_command_str, ""))  # noqa: SLF001 - it has no public name


def parameters(profile: Profile, batch: Batch, code: Code, name: str) -> dict[str, Any]:
    """The batch's options, as submitit names them."""
    signal_delay_s = min(SIGNAL_BEFORE_S, batch.time_min * 60 // 4)
    given: dict[str, Any] = {
        "job_name": name_of(batch, name),
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "time": batch.time_min,
        "mem": None if profile.mem_gb is None else f"{max(1, round(profile.mem_gb * 1024))}M",
        "nodes": profile.nodes,
        "ntasks_per_node": profile.tasks_per_node,
        "cpus_per_task": profile.cpus,
        "gpus_per_node": profile.gpus_per_node or None,
        "array_parallelism": batch.max_parallel or MANY,
        "setup": _setup(profile, code),
        # srun no longer takes the cores of a task from sbatch, from SLURM 22.05 on
        "srun_args": [f"--cpus-per-task={profile.cpus}", "--kill-on-bad-exit=1"],
        "wckey": None,
        "use_srun": True,  # a batch script gets no signals
        # submitit would take the signal from a variable of the submitting shell
        "additional_parameters": {"requeue": True, "signal": f"{SIGNAL}@{signal_delay_s}", **profile.extra},
    }
    return {key: value for key, value in given.items() if value is not None or key == "wckey"}


def name_of(batch: Batch, submission: str) -> str:
    """How the batch's job is called."""
    grids = list(dict.fromkeys(spec.grid for task in batch.tasks for spec in task))
    return job_name(grids, batch.tasks[0][0].scale, submission)


def _setup(profile: Profile, code: Code) -> list[str]:
    lines = [*(f"export {name}={shlex.quote(value)}" for name, value in profile.env.items()), *profile.setup]
    # sbatch --export=NONE would keep from srun what the script exports
    lines += ["unset SLURM_EXPORT_ENV", f"export SUBMITIT_PREEMPT_SIGNAL={SIGNAL}"]
    if not code.is_installed:
        # the packages of the submission, and not those of a working directory, which python -m puts first
        path = shlex.quote(str(code.root))
        lines += ["export PYTHONSAFEPATH=1", f'export PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}"']
    return lines


def _python(profile: Profile) -> str:
    """The words that start Python on a node."""
    python = profile.python or ("python3" if profile.container else shlex.quote(sys.executable))
    words = f"{profile.container} {python}" if profile.container else python
    return f"sh -c {shlex.quote(_HOLD_BACK)} sh {words}"
