"""What SLURM reports about jobs, with one call of ``squeue`` and one of ``sacct`` for any number of jobs.

``squeue`` reads slurmctld and counts for every job that it lists: accounting is seconds behind, and reports NODE_FAIL
for a job that the queue lists as PENDING again. ``sacct`` says how jobs ended that are no longer in the queue.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

TIMEOUT_S = 15.0
"""Seconds to wait for a client; if the controller is down, clients wait for minutes."""

_LONGEST_ARGUMENT = 100_000
"""The largest number of characters in one argument; Linux allows 128 KiB."""

WAITING = ("PENDING", "CONFIGURING", "REQUEUE", "RESV_DEL_HOLD", "SPECIAL_EXIT")  # REQUEUED, _HOLD and _FED
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT")
MAY_COME_BACK = ("NODE_FAIL", "PREEMPTED")
"""States that accounting reports for a job which may return to the queue."""

GRACE_S = 60.0
"""Seconds by which SLURM's parts, or a shared file system, may be behind each other."""


@dataclass(frozen=True)
class Printed:
    """The output of a client of SLURM."""

    code: int
    out: str
    err: str


Client = Callable[[Sequence[str]], Printed]
"""Runs a command; raises OSError if the client is missing, subprocess.TimeoutExpired if it does not answer."""


@dataclass(frozen=True)
class Job:
    """A job, or an element of an array, as SLURM reports it."""

    state: str  # without what follows it, as in "CANCELLED by 0"
    exit_code: str = ""  # "1:0": status and signal; "" where the queue alone told
    reason: str = ""  # why it waits
    node: str = ""
    start: float | None = None  # unix seconds
    end: float | None = None
    user_id: str = ""  # "" where it was not told
    name: str = ""

    @property
    def waits(self) -> bool:
        """Whether the job is in the queue, possibly again."""
        return self.state.startswith(WAITING)

    @property
    def runs(self) -> bool:
        """Whether the job is on a node, or is just leaving it."""
        return self.state.startswith(RUNNING)

    @property
    def ended(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return not (self.waits or self.runs)


@dataclass(frozen=True)
class Answer:
    """The answer of the scheduler."""

    jobs: dict[str, Job] = field(default_factory=dict)  # by "120" or "120_5"
    queue: bool = False  # squeue answered
    accounting: bool = False  # sacct answered
    silence: tuple[str, ...] = ()  # one line for each that did not
    cluster: str = ""  # whose word it is; "" where that is unknown
    not_ours: str = ""  # why it says nothing of a submission's job, whose number it may hold: see submissions.py

    def job(self, name: str) -> Job | None:
        """Return what is known about a job, by its name as in ``jobs``."""
        found = self.jobs.get(name)
        base = name.partition("_")[0]
        # a range of waiting elements that SLURM cut short stands for those that it does not name
        return found or self.jobs.get(f"{base}_...")

    def joined(self, other: Answer) -> Answer:
        """Return this answer combined with an answer about other jobs."""
        silence = tuple(dict.fromkeys((*self.silence, *other.silence)))
        both = self.queue and other.queue, self.accounting and other.accounting
        return Answer({**other.jobs, **self.jobs}, *both, silence, self.cluster or other.cluster)

    def may_come_back(self, job: Job, now: float) -> bool:
        """Whether an ended job may return to the queue soon, or may be there while the queue does not answer."""
        return job.state in MAY_COME_BACK and (not self.queue or now - (job.end or 0.0) <= GRACE_S)


def run_client(command: Sequence[str]) -> Printed:
    """Run a client of SLURM so that times are in seconds, array ranges are complete, and user filters are ignored."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}
    environment = {**kept, "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    done = subprocess.run(list(command), env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    return Printed(done.returncode, text_of(done.stdout), text_of(done.stderr))


def text_of(output: bytes) -> str:
    """Decode the output of a program; a site's own messages may have any encoding."""
    return output.decode("utf-8", errors="backslashreplace")


def settings(client: Client = run_client) -> str:
    """Return what ``scontrol show config`` prints; "" if there is no answer."""
    try:
        return client(["scontrol", "show", "config"]).out
    except (OSError, subprocess.TimeoutExpired):
        return ""


def cluster_in(settings: str) -> str:
    """Return the name of the cluster from its settings; "" if they are unknown."""
    found = re.search(r"(?m)^ClusterName\s*=\s*(\S+)", settings)
    return found[1] if found else ""


def ask(job_ids: Iterable[str], client: Client = run_client) -> Answer:
    """Return what SLURM reports about jobs, given by ids of jobs or arrays; all clients are called at the same time."""
    wanted = sorted({job_id.partition("_")[0] for job_id in job_ids})
    if not wanted:
        return Answer()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as threads:
        whose = threads.submit(settings, client)
        queue = threads.submit(_jobs, _QUEUE, _queue_job, wanted, client)
        accounting = threads.submit(_jobs, _ACCOUNTING, _past_job, wanted, client)
    present, queue_problem = queue.result()
    past, accounting_problem = accounting.result()
    if not queue_problem:  # what accounting alone calls live has left the queue, how it does not know yet
        past = {name: job for name, job in past.items() if job.ended}
    for name, job in present.items():
        known = past.get(name)
        same = known is not None and known.state == job.state
        past[name] = replace(job, exit_code=known.exit_code) if known and same else job
    silence = tuple(problem for problem in (queue_problem, accounting_problem) if problem)
    return Answer(past, not queue_problem, not accounting_problem, silence, cluster_in(whose.result()))


# a job's name comes last: it may hold the sign between the values
_QUEUE = ("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N|%S|%e|%U|%j")
_ACCOUNTING = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,ExitCode,NodeList,Start,End,UID,JobName")


def _queue_job(state: str, reason: str, node: str, start: str, end: str, user_id: str = "", name: str = "") -> Job:
    """Return a job of the queue without its expected times: the start of a waiting job, the end of a running job."""
    job = Job(word(state), reason=_known(reason), node=_known(node), user_id=user_id, name=name)
    return replace(job, start=None if job.waits else _time(start), end=_time(end) if job.ended else None)


def _past_job(state: str, exit_code: str, node: str, start: str, end: str, user_id: str = "", name: str = "") -> Job:
    return Job(word(state), exit_code, "", _known(node), _time(start), _time(end), user_id, name)


def _jobs(
    command: Sequence[str], read: Callable[..., Job], job_ids: list[str], client: Client
) -> tuple[dict[str, Job], str]:
    """Return the jobs that a client prints, or a line that says why there are none."""
    jobs: dict[str, Job] = {}
    lines, problem = rows(command, job_ids, client)
    for name, *values in (line.split("|", 7) for line in lines):
        if len(values) < 5:
            continue
        names = _names(name)
        if names == [name]:
            jobs[name] = read(*values)
        else:  # accounting's range of waiting elements may still hold some that it lists apart
            jobs = dict.fromkeys(names, read(*values)) | jobs
    return jobs, problem


def rows(command: Sequence[str], job_ids: list[str], client: Client) -> tuple[list[str], str]:
    """Return the lines about jobs that a client prints, or a line that says why there are none."""
    found: list[str] = []
    for chunk in _chunks(job_ids):
        try:
            printed = client([*command, "-j", chunk])
        except subprocess.TimeoutExpired:
            return [], f"{command[0]} did not answer within {TIMEOUT_S:.0f} s"
        except OSError as error:
            return [], cannot_run(command[0], error)
        # so squeue says that it knows none of them
        if printed.code and "Invalid job id specified" not in printed.err:
            said = (printed.err or printed.out).strip().splitlines()
            return [], f"{command[0]} failed: {said[-1] if said else f'exit code {printed.code}'}"
        lines = [line for line in printed.out.splitlines() if line.strip() and not line.startswith("CLUSTER: ")]
        of_jobs = [line for line in lines if line[0].isdecimal() and "|" in line]
        if lines and not of_jobs:  # a site's script in the client's place: what it does not say is not known
            return [], f"{command[0]} printed something else than jobs: {lines[0].strip()[:100]}"
        found += of_jobs
    return found, ""


def cannot_run(program: str, error: OSError) -> str:
    """Return a line about a client that could not be started."""
    if isinstance(error, FileNotFoundError) and not shutil.which(program):
        return f"there is no {program} here"
    return f"{shutil.which(program) or program} cannot be run: {error.strerror or error}"


def _chunks(job_ids: list[str]) -> Iterator[str]:
    chunk = ""
    for job_id in job_ids:
        if len(chunk) + len(job_id) + 1 > _LONGEST_ARGUMENT:
            yield chunk
            chunk = ""
        chunk += f",{job_id}" if chunk else job_id
    yield chunk


def _names(text: str) -> list[str]:
    """Expand ``"120_[5-7,9%2]"`` to 120_5, 120_6, 120_7, 120_9; a truncated range also gives 120_..."""
    match = re.fullmatch(r"(\d+)_\[([^%\]]*)(?:%\d+)?\]?", text)
    if not match:
        return [text]
    names = []
    for part in match[2].split(","):
        bounds = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if bounds:
            first, last, step = bounds[1], bounds[2] or bounds[1], bounds[3] or "1"
            names += [f"{match[1]}_{index}" for index in range(int(first), int(last) + 1, int(step))]
        else:
            names.append(f"{match[1]}_...")
    return names


def word(state: str) -> str:
    """Return the first word of a state, such as CANCELLED for "CANCELLED by 0"."""
    words = state.split()
    return words[0].rstrip("+") if words else "UNKNOWN"


def _known(text: str) -> str:
    return "" if text in ("None", "None assigned", "(null)", "n/a") else text


def _time(text: str) -> float | None:
    """Read seconds, or SLURM's own local time; None for Unknown and N/A."""
    if text.isdecimal():
        return float(text)
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
