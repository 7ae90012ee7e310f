"""Hand a job array to sbatch and read its answer: submitit's files and its program on the node, without its client.

Submitit's client takes the first ``job N`` that sbatch prints for the id, which may be what a site has to say about
another job, and it gives up on words that are not UTF-8.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.scheduler.jobs import cannot_run, text_of
from ablations.slurm.sbatch import MANY

_ANSWER = re.compile(r"Submitted batch job (?P<job_id>\d+)(?: on cluster (?P<cluster>\S+))?")
_PARSABLE = re.compile(r"(?P<job_id>\d+)(?:;(?P<cluster>\S+))?")


@dataclass(frozen=True)
class Sent:
    """What sbatch answered."""

    job_id: str
    cluster: str = ""  # "" where sbatch does not name it: the one that is asked


def send(tasks: Sequence[Callable[[], Any]], time_min: int, text: str, name: str, folder: Path) -> Sent:
    """Submit a batch script for ``tasks``, one for each element of its array, as a job called ``name``.

    Raises UserError with sbatch's words if it refuses, or if its answer does not say which job it made.
    """
    from submitit.core.utils import DelayedSubmission, JobPaths

    made = folder / f".{uuid.uuid4().hex}.sh"
    made.write_text(text, encoding="utf-8")
    pickles = [folder / f"{uuid.uuid4().hex}.pkl" for _ in tasks]
    try:
        for task, path in zip(tasks, pickles, strict=True):
            delayed = DelayedSubmission(task)
            delayed.set_timeout(time_min, MANY)
            delayed.dump(path)
        sent = _sbatch(made, name, len(tasks))
        JobPaths(folder, sent.job_id).move_temporary_file(made, "submission_file")
        for index, path in enumerate(pickles):  # the job waits for them
            job = f"{sent.job_id}_{index}" if len(tasks) > 1 else sent.job_id
            JobPaths(folder, job).move_temporary_file(path, "submitted_pickle")
    finally:
        for path in (made, *pickles):
            path.unlink(missing_ok=True)
    return sent


def _sbatch(path: Path, name: str, num_tasks: int) -> Sent:
    command = ["sbatch", f"--job-name={name}", str(path)]  # SBATCH_JOB_NAME of a shell outdoes the script
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise UserError([f"cannot submit: {cannot_run('sbatch', error)}"]) from None
    said, complaint = text_of(done.stdout), text_of(done.stderr).strip()
    if done.returncode:
        lines = [line.strip() for line in complaint.splitlines() if "sbatch:" in line]
        words = "; ".join(lines) or complaint or said.strip() or f"exit code {done.returncode}"
        raise UserError([f"sbatch refused {num_tasks} tasks: {words}"])
    if sent := job_in(said):
        return sent
    expected = "expected a line 'Submitted batch job N'"
    advice = f"if squeue lists a job {name}, cancel it: its runs do not wait for it"
    raise UserError([f"sbatch printed {said.strip()[-200:]!r}: {expected}; {advice}"])


def job_in(said: str) -> Sent | None:
    """The job that sbatch names in its own words, or those of ``--parsable``; None if there is none."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    answers = [found for line in lines if (found := _ANSWER.fullmatch(line))]
    answers += [found for line in lines[-1:] if not answers and (found := _PARSABLE.fullmatch(line))]
    return Sent(answers[-1]["job_id"], answers[-1]["cluster"] or "") if answers else None
