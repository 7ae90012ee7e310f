"""The rank of this process and the number of processes, as the launcher says: torchrun, submitit or SLURM's srun.

The launcher starts every process with the same command and gives each its own environment variables. They are read in
this order:

- ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``: torchrun, and submitit's ``TorchDistributedEnvironment().export()``. They
  take precedence over SLURM's: torchrun started by srun has more processes than the SLURM step has tasks.
- ``SLURM_PROCID``, ``SLURM_STEP_NUM_TASKS``, ``SLURM_LOCALID``: a step of several tasks, which only srun starts.
  ``SLURM_NTASKS`` is not read: a batch script and an interactive allocation have it too, with the number of tasks
  that were requested but not started, so that one process would wait for others that never come.
- none of them: this process is alone.

Several processes meet at ``MASTER_ADDR`` and ``MASTER_PORT``. If these are not set, a SLURM step meets at its first
host, at a port computed from the numbers of job and step.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from simclr_core.config.options import ConfigError

_TORCH = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
_FIRST_PORT, _NUM_PORTS = 20_000, 12_000  # below Linux' ephemeral ports, which begin at 32768


@dataclass(frozen=True)
class Launched:
    """One of the processes that a launcher started for a run.

    ``rank`` counts over all ``size`` processes, ``local_rank`` over the processes of this machine; the processes meet
    at ``address`` and ``port``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Launched:
        """Read the launcher's variables; raises ConfigError with everything that is missing or contradictory."""
        names = _names(environ)
        if not names:
            return cls()
        problems: list[str] = []
        rank, size, local_rank = (_integer(environ, name, names, problems) for name in names)
        if size is not None and size < 1:
            problems.append(f"{names[1]} = {size}: expected at least 1")
        else:
            for name, value in ((names[0], rank), (names[2], local_rank)):
                if value is not None and size is not None and not 0 <= value < size:
                    problems.append(f"{name} = {value}: expected 0 to {size - 1}, since {names[1]} = {size}")
        if size == 1 and not problems:
            return cls()
        address, port = _meeting_place(environ, problems)
        if problems:
            raise ConfigError(problems)
        assert rank is not None
        assert size is not None
        assert local_rank is not None
        return cls(rank, size, local_rank, address, port)


def _names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables for rank, size and local rank; empty for a lone process."""
    if any(name in environ for name in _TORCH):
        return _TORCH
    return _SLURM if environ.get("SLURM_STEP_NUM_TASKS", "1") != "1" else ()


def _integer(environ: Mapping[str, str], name: str, names: tuple[str, ...], problems: list[str]) -> int | None:
    if name not in environ:
        given = [other for other in names if other in environ]
        problems.append(f"{name}: missing, though {', '.join(given)} {'is' if len(given) == 1 else 'are'} set")
        return None
    try:
        return int(environ[name])
    except ValueError:
        problems.append(f"{name} = {environ[name]!r}: expected an integer")
        return None


def _meeting_place(environ: Mapping[str, str], problems: list[str]) -> tuple[str, int]:
    address = environ.get("MASTER_ADDR", "")
    if not address:
        address = first_host(environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST") or "")
    if not address:
        problems.append("MASTER_ADDR: missing; expected the host name of the machine of process 0")
    if "MASTER_PORT" in environ:
        text = environ["MASTER_PORT"]
        port = int(text) if text.isdecimal() else 0
        if not 1 <= port <= 65_535:
            problems.append(f"MASTER_PORT = {text!r}: expected 1 to 65535")
        return address, port
    job, step = (environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    if job.isdecimal() and step.isdecimal():
        # 31 steps of one job before two jobs in a row can choose the same port
        return address, _FIRST_PORT + (31 * int(job) + int(step)) % _NUM_PORTS
    problems.append("MASTER_PORT: missing; expected a free port on the machine of process 0")
    return address, 0


def first_host(node_list: str) -> str:
    """Return the host of task 0: ``gpu007`` for SLURM's ``gpu[007-010,12],cpu3``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", node_list)
    assert first is not None
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())
