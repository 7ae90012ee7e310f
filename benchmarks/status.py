"""What ``ablate status`` takes for a store of 1,000 runs, apart from SLURM's own answer.

Six tenths of the runs are done, with four evaluations each, a tenth runs, a tenth waits, the rest has failed, each with
its queue record and attempts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from ablations.scheduler.jobs import Answer, Job
from ablations.slurm import status_screen
from ablations.slurm.status import survey
from ablations.store.folder import Store
from ablations.store.queued import RECORD
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from benchmarks.made_runs import write
from benchmarks.processes import ABLATE, whole
from benchmarks.tables import Table

GRID = "simclr_fig5_augmentation_pairs"
SCALE = "mini"
NUM_RUNS = 1000
ROUNDS = 3


def run() -> list[Table]:
    """The whole command in a fresh interpreter, with a squeue and a sacct that answer at once; then its parts here."""
    grid = load_grid(GRID)
    seeds = list(range(-(-NUM_RUNS // len(expand(grid, SCALE, [0])))))
    specs = expand(grid, SCALE, seeds)[:NUM_RUNS]
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "runs")
        jobs = make_store(store, specs)
        write_clients(Path(name), jobs)
        environment = os.environ | {"PATH": f"{name}:{os.environ['PATH']}"}
        command = ("status", GRID, "--scale", SCALE, "--store", str(store.root), "--seeds", ",".join(map(str, seeds)))
        commands = [whole(ABLATE, *command, environment=environment) for _ in range(ROUNDS)]
        for _ in range(ROUNDS):
            times = [time.perf_counter()]
            expand(load_grid(GRID), SCALE, seeds)
            times.append(time.perf_counter())
            found = survey(specs, store, time.time(), lambda _: Answer(jobs, queue=True, accounting=True))
            times.append(time.perf_counter())
            list(status_screen.screen([status_screen.grid_status(grid, SCALE, found, store)], store.root))
            times.append(time.perf_counter())
            names = ("reading and expanding the grid", "reading the store", "cost and tables")
            for part, start, end in zip(names, times, times[1:], strict=False):
                parts.setdefault(part, []).append(end - start)
    seconds = statistics.median(process.seconds for process in commands)
    peak = f"{statistics.median(process.peak_mib for process in commands):.0f}"
    rows: list[tuple[str | float, ...]] = [(f"`ablate status` for {NUM_RUNS:,} runs", seconds, 1.0, peak)]
    for part, found_s in parts.items():
        rows.append((f"of that: {part}", statistics.median(found_s), statistics.median(found_s) / seconds, ""))
    note = f"Median of {ROUNDS} rounds; MiB at the most; SLURM answers at once."
    return [Table("Status", ("what", "seconds", "share", "MiB"), rows, note)]


def make_store(store: Store, specs: list[RunSpec]) -> dict[str, Job]:
    """Write the folders of runs; what SLURM says of their jobs."""
    jobs = {}
    for index, spec in enumerate(specs):
        folder, kind = store.run_dir(spec.run_id), index % 10
        name = f"120_{index}"
        place = {"submission": "s1", "job_id": "120", "array_index": index, "node": "n1", "restart_count": 0}
        attempt = {"attempt": 1, "outcome": "running", "host": "n1", "num_threads": 1, **place}
        write(folder / "provenance.json", {"schema_version": 1, "attempts": [attempt]})
        if kind < 6:
            write(folder / "spec.json", spec.spec_json())
            write(folder / "result.json", {"outcome": "trained", "duration_s": 100.0})
            for eval_id in spec.eval_ids:
                write(folder / "evals" / f"{eval_id}.json", {"top1": 50.0, "duration_s": 3.0})
            continue
        record = {"submission": "s1", "job_id": "120", "array_index": index, "host": "login", "user": "ada"}
        write(folder / RECORD, record | {"time": time.time(), "profile": "gpu", "partition": None})
        if kind == 6:
            owner = {"host": "n1", "pid": 1, "token": "f" * 32, "time": time.time(), "job": name, "restart": 0}
            write(folder / "claim" / "owner.json", owner)
            beat = {"phase": "pretrain", "step": 50, "num_steps": 100, "images_per_s": 900.0}
            write(folder / "heartbeat.json", {"time": time.time(), **beat})
            jobs[name] = Job("RUNNING", node="n1", start=time.time())
        elif kind == 7:
            jobs[name] = Job("PENDING", reason="Priority")
        else:
            jobs[name] = Job("OUT_OF_MEMORY", "0:125", node="n2", start=1.0, end=2.0)
    return jobs


def write_clients(folder: Path, jobs: dict[str, Job]) -> None:
    """A squeue and a sacct that answer at once."""
    live = "".join(f"{n}|{j.state}|{j.reason}|{j.node}|N/A|N/A\n" for n, j in jobs.items() if not j.ended)
    past = "".join(f"{n}|{j.state}|{j.exit_code}|{j.node}|1|2\n" for n, j in jobs.items() if j.ended)
    for name, text in (("squeue", live), ("sacct", past)):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        (folder / name).write_text(f"#!/bin/sh\ncat {folder / name}.txt\n", encoding="utf-8")
        (folder / name).chmod(0o755)
