"""How much of a grid's wall time times its cores is training, and whether a worker grows from run to run."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import ABLATE
from benchmarks.tables import Table

GRID = "simclr_fig5_augmentation_pairs"
NUM_RUNS = {"demo": 8, "mini": 12}
NEEDS = {"mini": Path("data/cifar10-jpeg")}
NUM_SMALL_RUNS = 100
GROWTH = "from benchmarks.grid import print_growth; print_growth()"


def run() -> list[Table]:
    """A part of a grid by ``ablate run``, as many workers as cores; a hundred short runs in one process."""
    rows = [shares(scale, count) for scale, count in NUM_RUNS.items() if NEEDS.get(scale, Path()).exists()]
    note = (
        f"`ablate run {GRID}`, a worker a core, its start included; a grid's share rises with the number of runs, since"
        " each worker starts once and at the end one of them waits for the other."
    )
    columns = ("scale", "runs", "wall, s", "% in training steps", "% loading, evaluating, writing", "% start and wait")
    done = subprocess.run([sys.executable, "-c", GROWTH], check=True, capture_output=True, text=True)
    grown: list[tuple[int, float]] = json.loads(done.stdout)
    slope = statistics.linear_regression(*zip(*grown[2:], strict=True)).slope
    memory_note = f"One worker, runs of 2 steps with two evaluations; after the first 20: {1024 * slope:.1f} KiB a run."
    return [
        Table("Where a grid's core-seconds go", columns, rows, note),
        Table("A worker's memory", ("runs", "resident, MiB"), [tuple(pair) for pair in grown], memory_note),
    ]


def shares(scale: str, count: int) -> tuple[str | float, ...]:
    """One row: what is written in the runs' folders, over wall time times cores."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "runs"
        limited = [GRID, "--scale", scale, "--limit", str(count), "--store", str(store)]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", ABLATE, "run", *limited], check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        folders = [path.parent for path in store.glob("*/spec.json")]
        steps = sum(step_s(folder) for folder in folders)
        attempts = sum(read(folder / "provenance.json")["attempts"][-1]["duration_s"] for folder in folders)
    shares_of = (steps, attempts - steps, wall * cores - attempts)
    return scale, len(folders), wall, *(100 * seconds / (wall * cores) for seconds in shares_of)


def step_s(folder: Path) -> float:
    """Seconds between the logged steps of a run."""
    images = 2 * read(folder / "spec.json")["config"]["training"]["global_batch_size"]
    seconds, before = 0.0, 0
    path = folder / "timing.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        entry = json.loads(line)
        seconds += images * (entry["step"] - before) / entry["images_per_s"]
        before = entry["step"]
    return seconds


def read(path: Path) -> dict[str, dict[str, int] | list[dict[str, float]]]:
    """A JSON file."""
    content: dict[str, dict[str, int] | list[dict[str, float]]] = json.loads(path.read_text(encoding="utf-8"))
    return content


def print_growth() -> None:
    """In a process of its own: (runs done, resident MiB) before the first run and after every tenth."""
    import torch

    from simclr_core.config.options import override
    from simclr_core.config.recipes import recipe
    from simclr_core.config.runtime import RuntimeConfig
    from simclr_core.config.schema import EvalConfig
    from simclr_core.run import execute

    torch.set_num_threads(1)
    small = {"data.train_images": 512, "training.epochs": 1, "optimizer.warmup_epochs": 0.0}
    config = override(recipe("simclr_demo"), small)
    evaluations = [EvalConfig(protocol=protocol, num_labels=200) for protocol in ("linear", "knn")]
    grown = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(NUM_SMALL_RUNS + 1):
            if number % 10 == 0:
                grown.append((number, resident_mib()))
            one = dataclasses.replace(config, seed=number)
            execute(one, evaluations, RuntimeConfig(device="cpu"), Path(name) / str(number))
    print(json.dumps(grown))


def resident_mib() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20
