"""The names of the measured quantities in the result tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

EVERY_RUN_METRICS = ("z_std_ratio", "z_std", "final_loss")
"""Metrics that every run has without an evaluation."""

CONTRASTIVE_METRICS = ("contrastive_top1", "contrastive_entropy")
"""Metrics of the runs whose loss picks the partner among the other views, at the end of their training."""

RUN_METRICS = (*EVERY_RUN_METRICS, *CONTRASTIVE_METRICS)
"""All that is measured without an evaluation."""

NUM_PARAMETERS = "num_parameters"
"""What a scatter can have as ``x`` beside an axis or a metric: a column of the paper's CSV, and a key of our cells."""


def evaluation_metric(evaluation: Mapping[str, Any]) -> str:
    """The name of an evaluation's top-1 from its settings: ``linear_top1``, ``knn_z_top1``, ``linear_head_1_top1``.

    Settings that are left out have their defaults. Fine-tunings are told apart by their labels, as SimCLR's Table 7
    needs: ``fine_tune_500_labels_top1``, and ``fine_tune_1percent_top1`` for the list ``1percent.txt``.
    """
    protocol = evaluation.get("protocol", "linear")
    parts = [protocol]
    if protocol == "transform_probe":
        parts.append(evaluation["task"])
    if evaluation.get("embedding", "features") != "features":
        parts.append(evaluation["embedding"])
    if evaluation.get("data"):
        parts.append(evaluation["data"])
    if protocol == "fine_tune" and evaluation.get("label_list"):
        parts.append(PurePath(evaluation["label_list"]).stem)
    elif protocol == "fine_tune" and evaluation.get("num_labels"):
        parts.append(f"{evaluation['num_labels']}_labels")
    return "_".join([*parts, "top1"])
