"""How a reader sees the measured quantities: words, units, decimals."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """How a metric is written: ``label`` without its unit, ``unit``, ``difference_unit``, decimals."""

    label: str
    unit: str
    difference_unit: str
    decimals: int


_OF_RUNS = {
    "z_std_ratio": Quantity("spread of z", "", "", 3),
    "z_std": Quantity("z_std", "", "", 4),
    "final_loss": Quantity("final loss", "", "", 3),
    "contrastive_top1": Quantity("contrastive accuracy", "%", "points", 1),
    "contrastive_entropy": Quantity("contrastive entropy", "nats", "nats", 2),
}
_PROTOCOLS = {
    "linear_sgd": "linear evaluation with augmentation",
    "linear": "linear evaluation",
    "knn": "kNN",
    "fine_tune": "fine-tuning",
    "transform_probe": "prediction of the transformation",
}
_TASKS = {"color": "colour or gray", "rotate": "rotation", "noise": "noise", "sobel": "Sobel"}
_ACCURACY = re.compile(
    rf"(?P<protocol>{'|'.join(_PROTOCOLS)})(?:_(?P<task>{'|'.join(_TASKS)}))?(?:_(?P<embedding>z|head_\d+))?"
    r"(?:_(?P<data>.+?))??(?:_(?P<number>\d+)(?P<of>percent|_labels))?_top(?P<k>1|5)"
)


_PAPERS = {"simclr": "SimCLR", "simclrv2": "SimCLRv2", "simsiam": "SimSiam"}


def paper_name(key: str) -> str:
    """The name of a paper, from its key in the grids."""
    return _PAPERS.get(key, key)


def quantity(metric: str) -> Quantity:
    """The presentation of a metric; one that is no known accuracy is shown under its own name."""
    if found := _ACCURACY.fullmatch(metric):
        words = _PROTOCOLS[found["protocol"]]
        words += f" ({_TASKS[found['task']]})" if found["task"] else ""
        if found["embedding"]:
            layer = found["embedding"].removeprefix("head_")
            words += " on z" if layer == "z" else f" after projector layer {layer}"
        words += f", {found['data']}" if found["data"] else ""
        if found["number"]:
            share = " %" if found["of"] == "percent" else ""
            words += f" with {int(found['number']):,}{share} labels"
        return Quantity(f"{words}, top-{found['k']}", "%", "points", 1)
    return _OF_RUNS.get(metric, Quantity(metric, "", "", 3))


def number(value: float, decimals: int, *, sign: bool = False, reading_error: float = math.nan) -> str:
    """A number for reading: fixed decimals, a true minus sign, never ``-0.0``; a dash if it is missing.

    ``≈63.4`` where it was read off a plot, and so has a ``reading_error``.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    rounded = round(value, decimals) + 0.0
    about = "" if math.isnan(reading_error) else "≈"
    return about + f"{rounded:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def headed(text: str) -> str:
    """The text with a capital first letter, the others as they are; ``kNN`` is left alone."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]
