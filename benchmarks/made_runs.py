"""Made-up stores of thousands of runs, with the files and sizes of real ones and numbers that follow from a seed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.config.identity import canonical

SCALE = "mini"
NUM_LINES = 200
"""Of a run's curve."""

_TEMPERATURES = [level / 20 for level in range(1, 11)]
_RATES = [level / 10 for level in range(1, 11)]


def write(path: Path, content: object) -> None:
    """Write JSON without the fsync that a run's own records get."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def make_grids(folder: Path, count: int, num_seeds: int) -> list[Path]:
    """Grid files of 100 cells each, and the paper's numbers that they share; no two have a run in common."""
    paper = folder / "paper.csv"
    header = "role,metric,value,std,unit,epochs,dataset,arch,source,precision,reading_error,note,temperature,base_lr"
    origin = "percent,100,imagenet,resnet50,made up,printed,,"
    rows = [
        f"cell,linear_top1,{60 + 9 * math.sin(7 * t + 3 * r):.1f},,{origin},{t},{r}"
        for t in _TEMPERATURES
        for r in _RATES
    ]
    paper.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return [_make_grid(folder, paper, number, num_seeds) for number in range(count)]


def _make_grid(folder: Path, paper: Path, number: int, num_seeds: int) -> Path:
    figures: list[dict[str, Any]] = [
        {"kind": "heatmap", "row": "temperature", "column": "base_lr"},
        {"kind": "lines", "x": "base_lr", "color": "temperature"},
        {"kind": "bars", "x": "base_lr", "color": "temperature"},
        {"kind": "curves", "color": "temperature", "panels": ["loss", "z_std"], "within": {"base_lr": _RATES[0]}},
    ]
    name = f"made_{number:02d}"
    low, high = {"temperature": _TEMPERATURES[:5]}, {"temperature": _TEMPERATURES[5:]}
    shared = {"locus": "Fig. 1", "margin": 0.0}
    content = {
        "name": name,
        "title": f"Made-up grid {number}",
        "question": "How long does a report of ten thousand runs take?",
        "paper": {"key": "simclr", "locus": "Fig. 1", "csv": str(paper)},
        "recipe": "simclr",
        "set": {"views.color_strength": (number + 1) / 20},
        "axes": {"method.temperature": _TEMPERATURES, "optimizer.base_lr": _RATES},
        "seeds": list(range(num_seeds)),
        "metric": "linear_top1",
        "evaluations": [{"protocol": protocol, "num_labels": 10000} for protocol in ("linear", "knn")],
        "scales": {SCALE: {"expected_core_s": 55}},
        "figure": figures[number % len(figures)] | {"metric": "linear_top1"},
        "claims": [
            {"id": "A", "says": "High is better than low.", "kind": "better", "group": high, "than": low, **shared},
            {"id": "B", "says": "It rises.", "kind": "trend", "along": "base_lr", "direction": "rises", **shared},
        ],
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return path


def make_store(store: Path, grids: list[Path]) -> int:
    """The folders of all runs of grids, done but for every fiftieth, which has failed; their number."""
    specs = [spec for path in grids for spec in expand(load_grid(str(path)), SCALE)]
    for number, spec in enumerate(specs):
        make_run(store / spec.run_id, spec, number)
    return len(specs)


def make_run(folder: Path, spec: RunSpec, number: int) -> None:
    """The files of one run; ``number`` chooses its random numbers, and whether it has failed."""
    draw = random.Random(number)  # noqa: S311 - made-up numbers
    failed = number % 50 == 49
    write(folder / "spec.json", spec.spec_json())
    write(folder / "provenance.json", {"schema_version": 1, "attempts": list(_attempts(spec, failed, draw))})
    if failed:
        trace = [
            f'  File "/code/simclr_core/training/loop.py", line {line}, in train\n    step()' for line in range(30)
        ]
        (folder / "error.txt").write_text("\n".join(["Traceback", *trace, "OSError: disk"]), encoding="utf-8")
        return
    (folder / "metrics.jsonl").write_text("".join(_curve(draw)), encoding="utf-8")
    spread = draw.uniform(0.8, 1.0)
    result = {
        "schema_version": 1, "run_id": spec.run_id, "outcome": "trained", "num_steps": 10 * NUM_LINES,
        "final_loss": draw.uniform(2.5, 3.0), "z_std": spread / math.sqrt(128), "z_std_ratio": spread,
        "z_std_images": 10_000, "dim": 128, "train_images": 5_000, "data_fingerprint": "4" * 64,
        "duration_s": draw.uniform(30, 40),
    }  # fmt: skip
    write(folder / "result.json", result)
    for evaluation, eval_id in zip(spec.evaluations, spec.eval_ids, strict=True):
        top1 = round(40 + 5 * math.sin(spec.config.optimizer.base_lr) + draw.gauss(0, 0.6), 2)
        content: dict[str, Any] = {
            "schema_version": 1, "eval_id": eval_id, "evaluation": canonical(evaluation), "metric": evaluation.metric,
            "top1": top1, "top5": min(100.0, top1 + 40), "l2": None, "num_labels": 10_000, "num_test": 10_000,
            "backbone_sha256": "6" * 64, "duration_s": draw.uniform(1, 3),
        }  # fmt: skip
        write(folder / "evals" / f"{eval_id}.json", content)


def _attempts(spec: RunSpec, failed: bool, draw: random.Random) -> Iterator[dict[str, Any]]:
    versions = dict.fromkeys(("torch", "torchvision", "numpy", "scipy", "scikit-learn"), "2.4.6") | {"python": "3.11.7"}
    source = {"sha256": "8" * 64, "commit": "f" * 40, "dirty": False, "version": None}
    yield {
        "attempt": 1, "outcome": "failed" if failed else "done", "start": "2026-11-22T03:23:25Z",
        "end": "2026-11-22T03:24:01Z", "duration_s": draw.uniform(35, 45), "command": spec.command, "source": source,
        "versions": versions, "host": "node7", "cpu": "AMD EPYC, 2 cores", "gpu": None, "num_threads": 1,
    }  # fmt: skip


def _curve(draw: random.Random) -> Iterator[str]:
    for line in range(1, NUM_LINES + 1):
        falling = math.exp(-3 * line / NUM_LINES)
        content = {
            "step": 10 * line, "epoch": line / 7, "loss": 3 + 3 * falling + draw.gauss(0, 0.05),
            "lr": 0.2 * (1 + math.cos(math.pi * line / NUM_LINES)), "z_std": 0.08 - 0.02 * falling * draw.random(),
        }  # fmt: skip
        yield json.dumps(content) + "\n"
