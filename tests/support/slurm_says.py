"""A scheduler that answers what a test lets it say, in SLURM's own formats."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablations.scheduler.jobs import TIMEOUT_S, Printed

UNKNOWN_JOB = Printed(1, "", "slurm_load_jobs error: Invalid job id specified\n")


@dataclass
class Says:
    """A client of SLURM; ``None`` stands for one that does not answer in time, an exception is raised."""

    squeue: str | Printed | Exception | None = ""
    sacct: str | Printed | Exception | None = ""
    scontrol: str | Printed | Exception | None = ""
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str]) -> Printed:
        self.asked.append(list(command))
        said = {"squeue": self.squeue, "sacct": self.sacct, "scontrol": self.scontrol}[command[0]]
        if said is None:
            raise subprocess.TimeoutExpired(list(command), TIMEOUT_S)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Printed) else Printed(0, said, "")
