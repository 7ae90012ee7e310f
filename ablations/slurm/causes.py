"""Why a run failed, in a word: from SLURM's state of its job, its error.txt, and the end of its log."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ablations.scheduler.jobs import Job


@dataclass(frozen=True)
class Cause:
    """``kind`` groups failures; ``line`` is what the run itself said last, "" if nothing."""

    kind: str
    line: str = ""


_BY_STATE = {
    "OUT_OF_MEMORY": "out of memory",
    "TIMEOUT": "time limit",
    "DEADLINE": "time limit",
    "CANCELLED": "cancelled",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "LAUNCH_FAILED": "node failure",
    "PREEMPTED": "preempted",
}

_BY_WORDS = (
    # SLURM's, the kernel's, CUDA's and Python's words; a time limit is told as a cancellation too, so it comes first
    ("out of memory", r"out of memory|OutOfMemoryError|MemoryError|oom.?kill|DefaultCPUAllocator: can't allocate"),
    ("time limit", r"DUE TO TIME LIMIT|timed-out too many times|timed-out and not checkpointable"),
    ("node failure", r"DUE TO NODE FAILURE|JobLaunchFailure"),
    ("preempted", r"DUE TO PREEMPTION"),
    ("cancelled", r"\bCANCELLED AT\b"),
    ("import error", r"^(ModuleNotFoundError|ImportError)\b|No module named|cannot open shared object file"),
    ("data missing", r"^(\w+\.)*(DataError|FileNotFoundError)\b"),
    ("data missing", r": no (folder|file) |; put .+ into "),
    ("code changed", r"the code has changed since the submission"),
    ("given up", r"^given up after \d+ attempts"),
    ("disk full", r"No space left on device|Disk quota exceeded"),
    ("killed", r"ended with signal 9\b"),
)

_EXCEPTION = re.compile(r"(\w+\.)*(?P<name>\w*(Error|Exception|Interrupt|Exit|Warning))(:|$)")

_CLOSING = re.compile(
    r"srun: (error: \S+: tasks? [\d,-]+: (Exited with exit code \d+|Terminated)"
    r"|(\S+ \S+: )?(Force )?Terminat(ing|ed) |Job step aborted)"
    r"|slurmstepd: error: \*\*\* STEP \S+ ON \S+ CANCELLED AT \S+ \*\*\*$"
)
"""SLURM's words on the end of a step, which follow from what went wrong in it."""


def cause_of(job: Job | None, error: str, log: str) -> Cause:
    """The cause of a failure.

    ``job``: SLURM's word, if it has one; ``error``: error.txt, or ""; ``log``: the last lines of the job's stderr.
    SLURM's word counts first: the run that it ends has no say, or an error that only follows from it.
    """
    lines = log.splitlines()
    log = "\n".join([line for line in lines if not _CLOSING.match(line)]).strip() or log
    said = _last_words(error) if "Traceback" in error else error.strip().partition("\n")[0]
    line = said or _last_words(log)
    if job and job.ended and job.state in _BY_STATE:
        return Cause(_BY_STATE[job.state], line)
    for kind, words in _BY_WORDS:
        if re.search(words, said or log, re.IGNORECASE | re.MULTILINE):
            return Cause(kind, line)
    if said:
        named = _EXCEPTION.match(said)
        return Cause(named["name"] if named else "error", line)
    return _of_job(job, line)


def _of_job(job: Job | None, line: str) -> Cause:
    """A failure on which only the way its job ended sheds light."""
    if job and job.state == "COMPLETED":
        return Cause("no result", line)
    if job and job.exit_code.endswith(":9"):
        return Cause("killed", line or "SIGKILL, as the system sends when memory runs out")
    return Cause("unknown", line or (f"{job.state}, exit code {job.exit_code}" if job and job.exit_code else ""))


def _last_words(text: str) -> str:
    """The line of a traceback, or of a log, that says what went wrong: the last exception, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    return (exceptions or lines or [""])[-1]
