"""A made-up ``results/`` folder with plausible numbers for both grids at demo and mini scale, from a seed.

No run produced any of it. The shapes are real: states, outcomes, references, shared columns, curves.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

TRANSFORMATIONS = ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate"]
EVALUATIONS = [
    {"protocol": protocol, "on": on, "num_labels": 8000} for on in ("features", "z") for protocol in ("linear", "knn")
]
CROP_COLOR = [{"first": "crop", "second": "color"}, {"first": "color", "second": "crop"}]
PAIRS, SINGLES = {"different": ["first", "second"]}, {"same": ["first", "second"]}
FIG5_CLAIMS: list[dict[str, Any]] = [
    {
        "id": "C1", "says": "No single transformation suffices; some pair beats every one of them.",
        "locus": "Sec. 3.1, Fig. 5", "kind": "some_better", "group": PAIRS, "than": SINGLES, "margin": 0.0,
    },
    {
        "id": "C1b", "says": "Crop and colour composed, in either order, beat each of the two alone.",
        "locus": "Sec. 3.1, Fig. 5", "kind": "top", "group": CROP_COLOR, "margin": 0.0,
        "than": [{"first": "crop", "second": "crop"}, {"first": "color", "second": "color"}],
    },
    {
        "id": "C2", "says": "Crop with colour stands out; its two orders are the best two of all pairs.",
        "locus": "Sec. 3.1, Fig. 5", "kind": "top", "group": CROP_COLOR, "than": PAIRS, "margin": 0.0,
        "not_testable": {"demo": "three of the seven transformations, so six of the 42 pairs"},
    },
    {
        "id": "C3", "says": "Pairs are on average better than single transformations.",
        "locus": "Sec. 3.1, Fig. 5", "kind": "better", "group": PAIRS, "than": SINGLES, "margin": 0.0,
    },
]  # fmt: skip
PANELS = ["loss", "z_std", "knn_top1"]
FIG2_CLAIMS: list[dict[str, Any]] = [
    {
        "id": "S1", "says": "Without stop-gradient SimSiam collapses to a constant; with it, it does not.",
        "locus": "Sec. 4.1, Fig. 2", "kind": "collapse", "group": {"stop_gradient": False},
        "than": {"stop_gradient": True}, "threshold": 0.1, "loss_below": -0.98,
    },
    {
        "id": "S1b", "says": "With stop-gradient the representation is better than without it.",
        "locus": "Sec. 4.1, Fig. 2", "kind": "better", "group": {"stop_gradient": True},
        "than": {"stop_gradient": False}, "margin": 0.0,
    },
]  # fmt: skip
BEST_ALONE = {"crop": 37.7, "cutout": 33.0, "color": 31.0, "sobel": 33.3, "noise": 35.2, "blur": 33.3, "rotate": 35.6}


def _id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _grid(name: str, scale: str, dataset: str, axes: dict[str, list[Any]], seeds: list[int]) -> dict[str, Any]:
    """The JSON of a grid at a scale, all its runs done."""
    fig5 = "fig5" in name
    levels: list[dict[str, Any]] = [{}]
    for axis, values in axes.items():
        levels = [{**cell, axis: value} for cell in levels for value in values]
    cells = [("cell", ", ".join(f"{a}={v}" for a, v in cell.items()), cell) for cell in levels]
    cells.append(("reference", "untrained", {}))
    method = "simclr" if fig5 else "simsiam"
    return {
        "schema_version": 1,
        "name": name,
        "title": "Pairs of augmentations" if fig5 else "Stop-gradient",
        "question": "Does composing two augmentations beat each of them alone, and is crop with colour the best pair?"
        if fig5
        else "Does SimSiam collapse without the stop-gradient, everything else unchanged?",
        "scale": scale,
        "note": "symmetric: the pair acts on both branches; three of the seven transformations"
        if scale == "demo" and fig5
        else "a small network on few images",
        "paper": {"key": method, "locus": "Fig. 5" if fig5 else "Fig. 2", "csv": f"{name}.csv"},
        "recipe": method,
        "axes": axes,
        "seeds": seeds,
        "metric": "linear_top1",
        "evaluations": EVALUATIONS,
        "cells": [
            {
                "cell_id": _id(name, scale, label),
                "role": role,
                "label": label,
                "levels": cell,
                "runs": [
                    {
                        "run_id": f"{method}-{dataset}-{_id(name, scale, label, seed)}",
                        "seed": seed,
                        "state": "done",
                        "outcome": "untrained" if role == "reference" else "trained",
                        "command": f"python -m simclr_core recipe={method}_{scale} "
                        + " ".join(f"{a}={v}" for a, v in cell.items())
                        + f" seed={seed}",
                    }
                    for seed in seeds
                ],
            }
            for role, label, cell in cells
        ],
        "figure": {"kind": "heatmap", "row": "first", "column": "second", "metric": "linear_top1"}
        if fig5
        else {"kind": "curves", "color": "stop_gradient", "panels": PANELS, "metric": "linear_top1"},
        "claims": FIG5_CLAIMS if fig5 else FIG2_CLAIMS,
        "deviations": [
            {"key": "data.name", "paper": "imagenet", "ours": dataset},
            {"key": "backbone.depth", "paper": 50, "ours": 10},
            {"key": "backbone.width_multiplier", "paper": 1.0, "ours": 0.5},
            {"key": "training.epochs", "paper": 100, "ours": 10},
            {"key": "training.global_batch_size", "paper": 4096, "ours": 256},
            {"key": "optimizer.name", "paper": "lars", "ours": "sgd"},
        ],
        "cost": {
            "estimated_core_s": 75.0 * len(cells) * len(seeds),
            "estimated_by": "before the first run, by the grid's own figure",
            "actual_core_s": 71.3 * len(cells) * len(seeds),
        },
    }


def _fig5_level(cell: dict[str, Any], scale: str) -> float:
    """A plausible mean accuracy: the better part, a gain for crop with colour, a small one for other pairs."""
    if not cell:
        return 29.0 if scale == "demo" else 34.1
    first, second = cell["first"], cell["second"]
    level = max(BEST_ALONE[first], BEST_ALONE[second]) + (0.0 if first == second else -0.6)
    if {first, second} == {"crop", "color"}:
        level += 2.6
    return level - 8.0 if scale == "demo" else level


def _rows(grid: dict[str, Any], dataset: str, rng: np.random.Generator) -> tuple[list[list[Any]], list[list[Any]]]:
    runs: list[list[Any]] = []
    curves: list[list[Any]] = []
    for cell in grid["cells"]:
        stops = cell["levels"].get("stop_gradient", True)
        for run in cell["runs"]:
            if run["state"] != "done":
                continue
            reference = cell["role"] == "reference"
            if "fig5" in grid["name"]:
                top1, ratio, loss = _fig5_level(cell["levels"], grid["scale"]), 0.83, -4.1
            else:
                top1, ratio, loss = (36.4, 0.78, -0.93) if stops else (21.0, 0.052, -0.988)
                top1, ratio, loss = (34.1, 0.35, -0.02) if reference else (top1, ratio, loss)
            if not stops:
                run["outcome"] = "collapsed"
            ratio *= 1 + 0.05 * rng.normal()
            top1 += 0.65 * rng.normal()
            values = {
                "linear_top1": top1,
                "knn_top1": top1 - 3 + 0.4 * rng.normal(),
                "linear_z_top1": top1 - 6 + 0.4 * rng.normal(),
                "knn_z_top1": top1 - 7 + 0.4 * rng.normal(),
                "z_std_ratio": ratio,
                "z_std": ratio / np.sqrt(128),
            }
            if not reference:
                values["final_loss"] = loss + 0.001 * rng.normal()
            for metric, value in values.items():
                labels = [8000, 10000] if metric.endswith("top1") else ["", ""]
                head = [1, run["run_id"], cell["cell_id"], run["seed"], dataset, run["outcome"]]
                runs.append([*head, metric, repr(round(float(value), 6)), *labels])
            if reference:
                continue
            for step in range(0, 390, 10):
                epoch = step / 39
                fall = 1 - np.exp(-epoch / (1.2 if stops else 0.4))
                spread = (0.9 - 0.1 * fall) if stops else 0.9 - 0.78 * fall
                line = [loss * fall + 0.004 * rng.normal(), 0.06, spread / np.sqrt(128) * (1 + 0.02 * rng.normal())]
                line += [top1 - 3 - 10 * np.exp(-epoch)] if "fig2" in grid["name"] and step % 130 == 0 else [""]
                numbers = (value and round(float(value), 6) for value in line)
                curves.append([1, run["run_id"], step, round(epoch, 4), *numbers])
    return runs, curves


def fake_grids() -> list[tuple[dict[str, Any], str]]:
    """(grid JSON, data set) of both grids at both scales."""
    fig5, fig2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
    demo = ["crop", "color", "rotate"]
    pairs, demo_pairs = {"first": TRANSFORMATIONS, "second": TRANSFORMATIONS}, {"first": demo, "second": demo}
    stop = {"stop_gradient": [True, False]}
    return [
        (_grid(fig5, "demo", "photos", demo_pairs, [0, 1, 2]), "photos"),
        (_grid(fig5, "mini", "cifar10-jpeg", pairs, [0, 1, 2]), "cifar10-jpeg"),
        (_grid(fig2, "demo", "photos", stop, [0, 1, 2]), "photos"),
        (_grid(fig2, "mini", "cifar10-jpeg", stop, [0, 1, 2, 3, 4]), "cifar10-jpeg"),
    ]


def write_results(
    folder: Path, grids: Iterable[tuple[dict[str, Any], str]] | None = None, scales: Iterable[str] = ("demo", "mini")
) -> Path:
    """Write ``folder`` as ``ablate collect`` would; runs whose state is not ``done`` have no rows. Returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    runs: list[list[Any]] = []
    curves: list[list[Any]] = []
    for grid, dataset in fake_grids() if grids is None else grids:
        if grid["scale"] not in scales:
            continue
        more_runs, more_curves = _rows(grid, dataset, rng)
        runs += more_runs
        curves += more_curves
        path = folder / f"{grid['name']}.{grid['scale']}.json"
        path.write_text(json.dumps(grid, indent=1), encoding="utf-8")
    columns = ["schema_version", "run_id", "cell_id", "seed", "dataset", "outcome", "metric", "value", "num_labels"]
    _write_csv(folder / "runs.csv", [*columns, "num_test"], runs)
    columns = ["schema_version", "run_id", "step", "epoch", "loss", "lr", "z_std", "knn_top1"]
    _write_csv(folder / "curves.csv", columns, curves)
    return folder


def _write_csv(path: Path, columns: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
