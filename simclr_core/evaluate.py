"""The evaluations of a pre-trained network: what each protocol is given, and the files that its result goes into."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simclr_core.config import DataConfig, EvalConfig, RunConfig
from simclr_core.data import Dataset, label_indices
from simclr_core.evals.embed import Embeddings, embed, sha256_of
from simclr_core.evals.fine_tune import fine_tuned_scores
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.labelled_sgd import Tell
from simclr_core.evals.linear import fit_linear
from simclr_core.evals.linear_sgd import fit_linear_sgd
from simclr_core.evals.score import NOTHING, Score, score
from simclr_core.evals.transform_probe import EmbeddedViews, embed_views, probe
from simclr_core.identity import canonical, eval_id
from simclr_core.labels import find_label_list, labels_from_list
from simclr_core.methods.base import Method
from simclr_core.pretrain import OnProgress, Progress
from simclr_core.records import write_json
from simclr_core.runtime import RuntimeConfig
from simclr_core.seeding import derive

Load = Callable[[DataConfig], Dataset]
Labels = tuple[str, int, int, str]
"""What chooses the labelled images: data set, number, seed, list."""


def evaluate(
    config: RunConfig,
    evaluations: list[EvalConfig],
    method: Method,
    outcome: str,
    dataset: Dataset,
    test: Embeddings,
    device: torch.device,
    runtime: RuntimeConfig,
    run_dir: Path,
    on_progress: OnProgress,
    load: Load,
) -> None:
    """Write ``evals/<eval_id>.json`` of every evaluation, and before it ``<eval_id>.npy``, the class predicted for
    each test image: uint16 (M,).

    ``dataset`` is what ``method`` was pre-trained on and ``test`` holds the embeddings of its test images; ``load``
    gives another data set by its configuration. Evaluations on the same labels share embeddings, whatever their
    order. A diverged network has none to score: its evaluations hold ``top1: null`` and no predictions, and so does
    an evaluation whose own training diverges. Raises DataError for labels or data sets that are not there.
    """
    before = sha256_of(method.backbone)
    by_labels: dict[Labels, list[EvalConfig]] = {}
    for evaluation in evaluations:
        by_labels.setdefault(_labels(evaluation), []).append(evaluation)
    number = 0
    for group in by_labels.values():
        material = _Material(config, method, dataset, test, device, runtime, load, group[0])
        for evaluation in group:
            start = time.perf_counter()

            def tell(done: int, total: int, number: int = number) -> None:
                on_progress(Progress("evaluate", number * total + done, len(evaluations) * total))

            tell(0, 1)
            num_test, result, details = len(material.data.test.labels), NOTHING, dict[str, Any]()
            if outcome != "diverged":
                class_scores, truth, details = _class_scores(evaluation, material, tell)
                num_test, result = len(truth), score(class_scores, truth)
            assert sha256_of(method.backbone) == before, "an evaluation changed the frozen backbone"
            content = {
                "schema_version": 1,
                "eval_id": eval_id(evaluation),
                "evaluation": canonical(evaluation),
                "metric": evaluation.metric,
                "top1": result.top1,
                "top5": result.top5,
                "l2": None,
                "num_labels": len(material.rows),
                "num_test": num_test,
                "data_fingerprint": material.data.fingerprint,
                "backbone_sha256": before,
                "duration_s": time.perf_counter() - start,
            }
            _write(run_dir / "evals", content | details, result)
            number += 1


def _labels(evaluation: EvalConfig) -> Labels:
    return evaluation.data, evaluation.num_labels, evaluation.label_seed, evaluation.label_list


@dataclass(eq=False)
class _Material:
    """What evaluations on the same labels have in common; each part is made when the first of them needs it."""

    config: RunConfig
    method: Method
    pretrained_on: Dataset
    pretrained_on_test: Embeddings
    device: torch.device
    runtime: RuntimeConfig
    load: Load
    evaluation: EvalConfig  # any of them

    @cached_property
    def data(self) -> Dataset:
        """The data set pre-trained on, or the one to transfer to, at the same size in pixels."""
        name, own = self.evaluation.data, self.config.data
        return self.load(DataConfig(name=name, image_size=own.image_size)) if name else self.pretrained_on

    @cached_property
    def rows(self) -> Tensor:
        """Positions of the training images whose labels may be seen."""
        if self.evaluation.label_list:
            path = find_label_list(self.evaluation.label_list, self.runtime.data_path / self.data.name)
            return labels_from_list(path, self.data.train_files).rows
        return label_indices(self.data.train.labels, self.evaluation.num_labels, self.evaluation.label_seed)

    @cached_property
    def train(self) -> Embeddings:
        """Of the labelled training images."""
        return self._embed(self.data.train, self.rows)

    @cached_property
    def test(self) -> Embeddings:
        """Of the test images."""
        return self._embed(self.data.test, None) if self.evaluation.data else self.pretrained_on_test
