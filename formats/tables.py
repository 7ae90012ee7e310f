"""The columns of the result tables and of the papers' CSVs, and the version of the files that results consist of."""

from __future__ import annotations

SCHEMA_VERSION = 1
"""Of every file of a results folder."""

RUNS_COLUMNS = (
    "schema_version", "run_id", "cell_id", "seed", "dataset", "outcome", "metric", "value", "num_labels", "num_test"
)  # fmt: skip
"""Columns of runs.csv: a row a run and metric."""

CURVES_COLUMNS = ("schema_version", "run_id", "step", "epoch", "loss", "lr", "z_std", "knn_top1")
"""Columns of curves.csv: a row a run and recorded step."""

CURVES = ("loss", "lr", "z_std", "knn_top1")
"""The columns of curves.csv that a figure can draw over the epochs."""

PAPER_COLUMNS = (
    "role", "metric", "value", "std", "unit", "epochs", "dataset", "arch", "source", "precision", "reading_error",
    "note",
)  # fmt: skip
"""Columns of every paper CSV; the others are axes."""
