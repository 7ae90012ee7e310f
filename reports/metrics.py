"""The measured quantities: their names in the result tables, and how a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUN_METRICS = ("z_std_ratio", "z_std", "final_loss")
"""Measured on every run, whatever its evaluations."""

CURVES = ("loss", "lr", "z_std")
"""Columns of curves.csv that a figure can draw over the epochs."""


@dataclass(frozen=True)
class Quantity:
    """How a metric is written: ``label`` without its unit, ``unit``, ``difference_unit``, decimals."""

    label: str
    unit: str
    difference_unit: str
    decimals: int


_QUANTITIES = {
    "linear_top1": Quantity("linear evaluation, top-1", "%", "points", 1),
    "knn_top1": Quantity("kNN, top-1", "%", "points", 1),
    "linear_z_top1": Quantity("linear evaluation on z, top-1", "%", "points", 1),
    "knn_z_top1": Quantity("kNN on z, top-1", "%", "points", 1),
    "z_std_ratio": Quantity("spread of z", "", "", 3),
    "z_std": Quantity("z_std", "", "", 4),
    "final_loss": Quantity("final loss", "", "", 3),
}


_PAPERS = {"simclr": "SimCLR", "simclrv2": "SimCLRv2", "simsiam": "SimSiam"}


def paper_name(key: str) -> str:
    """The name of a paper, from its key in the grids."""
    return _PAPERS.get(key, key)


def quantity(metric: str) -> Quantity:
    """The presentation of a metric; one that has no entry is shown under its own name."""
    return _QUANTITIES.get(metric, Quantity(metric, "", "", 3))


def evaluation_metric(evaluation: Mapping[str, Any]) -> str:
    """The name that the result tables give to an evaluation: ``linear_top1``, ``knn_z_top1``, ..."""
    on_z = "z_" if evaluation.get("embedding") == "z" else ""
    return f"{evaluation.get('protocol', 'linear')}_{on_z}top1"


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number for reading: fixed decimals, a true minus sign, never ``-0.0``; a dash if it is missing."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def headed(text: str) -> str:
    """The text with a capital first letter, the others as they are."""
    return text[:1].upper() + text[1:]
