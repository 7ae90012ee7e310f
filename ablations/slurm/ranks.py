"""One run in several processes of a SLURM step: the first leads, the others train with it and write nothing.

The first process claims the run, and tells the others to start by a file in its claim, which goes when it gives the
claim back. The others end when the run leaves the queue.
"""

from __future__ import annotations

import os
import subprocess
import time
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path

from ablations.local.job import load_execute
from ablations.slurm import runs_file
from ablations.store import queued
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.records import read_json, write_json

LOOK_EVERY_S = 0.5
_START = Path("claim", "together.json")


def rank() -> int:
    """The number of this process in its step."""
    return int(os.environ.get("SLURM_PROCID", "0"))


def size() -> int:
    """How many processes the step has."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def start_together(run_dir: Path) -> None:
    """Tell the other processes of this job to start this run, which this process has claimed."""
    write_json(run_dir / _START, {"job": os.environ["SLURM_JOB_ID"], "attempt": uuid.uuid4().hex})


def follow(folder: Path, run_ids: Sequence[str], runtime: RuntimeConfig, execute_path: str) -> None:
    """Train with the first process as often as it starts one of these runs of the submission in ``folder``."""
    execute = load_execute(execute_path)
    for spec in runs_file.read(folder, run_ids):
        run_dir = Path(runtime.store) / spec.run_id
        seen = ""
        while attempt := _next_attempt(run_dir, folder.name, seen):
            seen = attempt
            try:
                execute(spec.config, list(spec.evaluations), runtime, run_dir)
            except Exception:  # noqa: BLE001 - the first process knows what it was, and decides what to do
                traceback.print_exc()


def _next_attempt(run_dir: Path, submission: str, seen: str) -> str:
    """Wait for an attempt by this job other than ``seen``; "" once the run has left the queue."""
    while True:
        found = queued.read(run_dir)
        if found is None or found.submission != submission:
            return ""
        try:
            start = read_json(run_dir / _START)
        except (OSError, ValueError):
            start = {}
        if start.get("job") == os.environ["SLURM_JOB_ID"] and start["attempt"] != seen:
            return str(start["attempt"])
        time.sleep(LOOK_EVERY_S)


def requeue() -> None:
    """Have SLURM end this job and start it again; does not return. Raises CalledProcessError if it refuses."""
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)  # noqa: S607 - SLURM is on the path
    time.sleep(3600)
