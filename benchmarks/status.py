"""Seconds that ``ablate status`` takes for a store of 1,000 runs, apart from SLURM's own answer.

    OMP_NUM_THREADS=1 python benchmarks/status.py [--runs 1000] [--rounds 3] [--folder FOLDER]

Makes a store in a temporary folder (in ``--folder``, to measure a shared file system): six tenths of the runs are
done, with four evaluations each, a tenth runs, a tenth waits, the rest has failed, each with its queue record and
attempts. Prints the whole command in a fresh interpreter, with a squeue and a sacct that answer at once, and what is
spent on what inside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ablations.grid import expand, load_grid
from ablations.queued import RECORD
from ablations.slurm import board
from ablations.slurm.scheduler import Answer, Job
from ablations.slurm.status import survey
from ablations.spec import RunSpec
from ablations.store import Store
from simclr_core.records import append_jsonl

GRID = "simclr_fig5_augmentation_pairs"
SCALE = "mini"


def write(path: Path, content: object) -> None:
    """Write JSON without the fsync that a run's own records get."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append_jsonl(path, content)  # type: ignore[arg-type]


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


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    grid = load_grid(GRID)
    per_seed = len(expand(grid, SCALE, [0]))
    seeds = list(range(-(-given.runs // per_seed)))
    specs = expand(grid, SCALE, seeds)[: given.runs]
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        store = Store(Path(name) / "runs")
        jobs = make_store(store, specs)
        write_clients(Path(name), jobs)
        environment = os.environ | {"PATH": f"{name}:{os.environ['PATH']}"}
        code = "from ablations.cli import app; app()"
        arguments = ["status", GRID, "--scale", SCALE, "--store", str(store.root), "--seeds", ",".join(map(str, seeds))]
        whole, parts = [], []
        for _ in range(given.rounds):
            start = time.perf_counter()
            command = [sys.executable, "-c", code, *arguments]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            whole.append(time.perf_counter() - start)
            start = time.perf_counter()
            expand(grid, SCALE, seeds)
            expanded = time.perf_counter()
            found = survey(specs, store, time.time(), lambda _: Answer(jobs, queue=True, accounting=True))
            surveyed = time.perf_counter()
            list(board.screen([board.section(grid, SCALE, found, store)], store.root))
            parts.append((expanded - start, surveyed - expanded, time.perf_counter() - surveyed))
    print(done.stdout)
    print(f"{len(specs)} runs, median of {given.rounds} rounds")
    for title, seconds in zip(
        ("expanding the grid", "reading the store", "cost and tables"), zip(*parts, strict=True), strict=True
    ):
        print(f"{title:20} {statistics.median(seconds):6.2f} s")
    print(f"{'the whole command':20} {statistics.median(whole):6.2f} s")


if __name__ == "__main__":
    main()
