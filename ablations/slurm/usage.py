"""What the finished jobs of grids have used, by SLURM's accounting: hours of cores and GPUs, and memory.

A job that SLURM has put back into the queue counts with each of its starts. A task that brought runs of several grids
is shared among these by the number of runs, and a run counts for the grid that submitted it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablations.scheduler.jobs import Client, Job, cluster_in, rows, run_client, settings, word
from ablations.slurm import runs_file
from ablations.slurm.submissions import Submission, read_all
from ablations.store.folder import Store
from simclr_core.records import read_json

_FIELDS = "JobID,State,ElapsedRaw,CPUTimeRAW,TotalCPU,MaxRSS,NTasks,AllocTRES,JobName"
_COMMAND = ("sacct", "-n", "-P", "-D", "-o", _FIELDS)  # with the steps, which know the memory, and every start
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}

GridAtScale = tuple[str, str]


@dataclass(frozen=True)
class Start:
    """One start of a task that has ended."""

    task: str  # "120_5"
    name: str  # of its job
    elapsed_s: float
    cpu_s: float  # allocated: cores times seconds
    gpus: int
    used_cpu_s: float | None  # None where accounting does not measure it
    memory: int | None  # bytes allocated
    max_rss: int | None = None  # bytes, of all its processes together; None where accounting does not measure it


@dataclass
class Usage:
    """What the finished tasks of a grid at a scale have used; None where accounting does not say."""

    tasks: int = 0
    requeues: int = 0
    cpu_h: float = 0.0
    gpu_h: float = 0.0
    cpu_efficiency: float | None = None  # time of processors used, of that allocated
    max_rss: int | None = None  # bytes: the most that a task used
    memory_efficiency: float | None = None  # the largest part that a task used of its memory


@dataclass
class Used:
    """The usage of grids, and why some is missing."""

    grids: dict[GridAtScale, Usage] = field(default_factory=dict)
    silence: list[str] = field(default_factory=list)


def usage(asked: Collection[GridAtScale], store: Store, client: Client = run_client) -> Used:
    """What finished jobs of grids have used; ``sacct`` is asked once for all."""
    found = Used()
    here = cluster_in(settings(client))
    grids: dict[str, Counter[GridAtScale]] = {}  # task -> its runs by grid
    submission_of: dict[str, str] = {}
    elsewhere: set[str] = set()
    for submission in read_all(store):
        tasks = {name: counted for name, counted in _tasks(submission) if counted.keys() & set(asked)}
        if tasks and here and submission.cluster not in ("", here):
            elsewhere.add(submission.cluster)
            continue
        grids |= tasks
        submission_of |= dict.fromkeys(tasks, submission.folder.name)
    if elsewhere:
        found.silence.append(f"jobs of cluster {', '.join(sorted(elsewhere))} are not counted, as this is {here}")
    if not grids:
        return found
    lines, problem = rows(_COMMAND, sorted({task.partition("_")[0] for task in grids}), client)
    if problem:
        found.silence.append(problem)
        return found
    ours = [start for start in starts(lines) if start.name.rpartition(".")[2] == submission_of.get(start.task)]
    for grid in asked:
        of_grid = [(start, share) for start in ours if (share := _share(grids[start.task], grid))]
        if of_grid:
            found.grids[grid] = _summary(of_grid)
    return found


def _tasks(submission: Submission) -> Iterator[tuple[str, Counter[GridAtScale]]]:
    """Every task of a submission, by its job's name, with the number of runs that it brings of each grid."""
    grid_of = {run_id: grid for grid, run_ids in submission.brings.items() for run_id in run_ids}
    if not grid_of:  # written before that was noted
        try:
            written: Mapping[str, Any] = read_json(submission.folder / runs_file.NAME)
            grid_of = {run_id: content["grid"] for run_id, content in written.items()}
        except (OSError, ValueError, KeyError, TypeError):
            return
    for job in submission.jobs:
        for index, run_ids in enumerate(job.run_ids):
            name = f"{job.job_id}_{index}" if len(job.run_ids) > 1 else job.job_id
            yield name, Counter((grid_of[run_id], submission.scale) for run_id in run_ids if run_id in grid_of)


def _share(counted: Counter[GridAtScale], grid: GridAtScale) -> float:
    return counted[grid] / counted.total() if counted[grid] else 0.0


def _summary(of_grid: Iterable[tuple[Start, float]]) -> Usage:
    total = Usage()
    starts_of: Counter[str] = Counter()
    used_s = measured_s = 0.0
    for start, share in of_grid:
        starts_of[start.task] += 1
        total.cpu_h += share * start.cpu_s / 3600
        total.gpu_h += share * start.gpus * start.elapsed_s / 3600
        if start.used_cpu_s is not None:
            used_s += share * start.used_cpu_s
            measured_s += share * start.cpu_s
        if start.max_rss is not None:
            total.max_rss = max(total.max_rss or 0, start.max_rss)
            if start.memory:
                total.memory_efficiency = max(total.memory_efficiency or 0.0, start.max_rss / start.memory)
    total.tasks = len(starts_of)
    total.requeues = starts_of.total() - total.tasks
    total.cpu_efficiency = used_s / measured_s if measured_s else None
    return total


def starts(lines: Iterable[str]) -> list[Start]:
    """The starts that have ended, from accounting's rows: that of a start, and those of its steps after it."""
    found: list[Start] = []
    is_open = False  # whether steps belong to the last of ``found``
    for line in lines:
        values = line.split("|", 8)
        if len(values) < 9:
            continue
        job_id, state, elapsed, cpu, used, rss, num_tasks, tres, name = values
        if "." not in job_id:
            elapsed_s, job = seconds(elapsed), Job(word(state))
            is_open = bool(elapsed_s) and not job.runs and job.state != "PENDING"
            if is_open:
                memory, gpus = _memory(tres), _gpus(tres)
                cpu_s, used_cpu_s = seconds(cpu) or 0.0, seconds(used) or None  # no process takes no time at all
                found.append(Start(job_id, name, elapsed_s or 0.0, cpu_s, gpus, used_cpu_s, memory))
        elif is_open and (of_step := size(rss)):
            whole = of_step * (int(num_tasks) if num_tasks.isdecimal() else 1)
            found[-1] = Start(**vars(found[-1]) | {"max_rss": max(found[-1].max_rss or 0, whole)})
    return found


def _gpus(tres: str) -> int:
    """GPUs in ``"cpu=4,gres/gpu=2,gres/gpu:a100=2"``: all kinds together, or each kind for itself."""
    counts = {kind: int(count) for kind, count in re.findall(r"gres/gpu(:[^=,]+)?=(\d+)", tres)}
    return counts.pop("", 0) or sum(counts.values())


def _memory(tres: str) -> int | None:
    found = re.search(r"(?:^|,)mem=([^,]+)", tres)
    return size(found[1]) if found else None


def size(text: str) -> int | None:
    """Bytes, of ``"1234K"``, ``"1.50G"``; None for what is none, or nothing at all."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", text.strip())
    return round(float(found[1]) * _BYTES[found[2]]) or None if found else None


def seconds(text: str) -> float | None:
    """Of ``"1-02:03:04"``, ``"02:03.456"`` or ``"90"``; None for what is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", text.strip())
    if not found:
        return None
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest
