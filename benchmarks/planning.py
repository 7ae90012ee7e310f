"""What it takes to plan a grid of 10,000 cells, and to start the command line."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from benchmarks.processes import ABLATE, PEAK, inside, whole
from benchmarks.tables import Table

ROUNDS = 2
OURS = f"""
import sys, time
from pathlib import Path
from ablations.study.expand import expand, load_grid
from ablations.plan.cost import planned_cells, states_of
from ablations.store.folder import Store
start = time.perf_counter()
specs = expand(load_grid(sys.argv[1]), "mini")
cells = planned_cells(specs, states_of(specs, Store(Path("none"))), [])
print(time.perf_counter() - start, len(cells))
{PEAK}
"""
HYDRAS = f"""
import json, sys, time
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
start = time.perf_counter()
overrides = OverridesParser.create().parse_overrides(json.loads(sys.argv[1]))
(batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
print(time.perf_counter() - start, len(batch))
{PEAK}
"""
COMPOSES = f"""
import json, sys, time
from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from simclr_core.config.schema import RunConfig
from simclr_core.config.recipes.simclr import simclr_mini
from dataclasses import asdict
ConfigStore.instance().store(name="run", node=asdict(simclr_mini()))
tasks = json.loads(sys.argv[1])
with initialize(version_base="1.3", config_path=None):
    compose("run", tasks[0])
    start = time.perf_counter()
    for task in tasks:
        compose("run", task)
    print(time.perf_counter() - start, len(tasks))
{PEAK}
"""
AXES = {
    "views.color_strength": [level / 10 for level in range(1, 11)],
    "method.temperature": [level / 20 for level in range(1, 11)],
    "optimizer.base_lr": [level / 10 for level in range(1, 11)],
    "optimizer.weight_decay": [level / 1e5 for level in range(1, 11)],
}
GRID = {
    "name": "large",
    "title": "Large",
    "question": "How long does planning take?",
    "paper": {"key": "simclr", "locus": "Table 5", "csv": "simclr_table5_normalization_temperature.csv"},
    "recipe": "simclr",
    "axes": AXES,
    "seeds": [0],
    "metric": "linear_top1",
    "evaluations": [{"protocol": "linear", "num_labels": 10000}],
    "scales": {"mini": {"expected_core_s": 55}},
    "figure": {"kind": "lines", "x": "temperature", "metric": "linear_top1"},
    "claims": [],
}
NUM_COMPOSED = 100
PLANNED = "simclr_fig5_augmentation_pairs"


def run() -> list[Table]:
    """Fresh interpreters, one after the other, in turns."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.yaml"
        path.write_text(json.dumps(GRID), encoding="utf-8")  # JSON is YAML
        sweep = [f"{key}={','.join(map(str, levels))}" for key, levels in AXES.items()]
        tasks = [[f"{key}={levels[i % 10]}" for key, levels in AXES.items()] for i in range(NUM_COMPOSED)]
        found: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(ROUNDS):
            ways = {"ours": (OURS, str(path)), "sweep": (HYDRAS, json.dumps(sweep))}
            ways["compose"] = (COMPOSES, json.dumps(tasks))
            for way, (code, argument) in ways.items():
                found.setdefault(way, []).append(inside(code, argument))
            processes = {
                "plan": whole(ABLATE, "plan", PLANNED, "--scale", "mini", "--store", name),
                "help": whole(ABLATE, "--help"),
                "python": whole("pass"),
            }
            for way, process in processes.items():
                found.setdefault(way, []).append((process.seconds, process.peak_mib))
    mean = {way: [statistics.median(values) for values in zip(*rounds, strict=True)] for way, rounds in found.items()}
    seconds, count, peak = mean["ours"]
    assert count == 10_000
    composed = mean["compose"][0] / NUM_COMPOSED * count
    rows: list[tuple[str | float, ...]] = [
        ("a grid file of 10,000 cells, read, checked, expanded and joined with an empty store", seconds, peak, 1.0),
        (
            "Hydra's basic sweeper: 10,000 lists of overrides",
            mean["sweep"][0],
            mean["sweep"][2],
            mean["sweep"][0] / seconds,
        ),
        (
            f"Hydra: 10,000 configurations composed, from {NUM_COMPOSED}",
            composed,
            mean["compose"][2],
            composed / seconds,
        ),
        ("the whole of `ablate plan` for the 150 runs of Fig. 5", *mean["plan"], mean["plan"][0] / seconds),
        ("`ablate --help`", *mean["help"], mean["help"][0] / seconds),
        ("Python alone, which does nothing", *mean["python"], mean["python"][0] / seconds),
    ]
    note = "Seconds inside the process for the first three, of the whole process for the others; peak memory of it."
    return [Table("Planning", ("what", "seconds", "MiB", "times ours"), rows, note)]
