"""The kNN accuracy along a training, as SimSiam's Fig. 2 and D.1 show it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data.datasets import Dataset, label_indices
from simclr_core.evals.embed import embed
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.score import score
from simclr_core.methods.base import Method

Monitor = Callable[[Method], float | None]


def knn_monitor(config: RunConfig, dataset: Dataset, device: torch.device, num_workers: int) -> Monitor:
    """Top-1 of kNN on the features of a network in training, in percent of the test images; None if not finite.

    As the evaluation ``knn`` has it by default, from as many labelled training images as the run trains on: after the
    last epoch the two are one number. The network stays as it is, and no random number is drawn.
    """
    evaluation = EvalConfig(protocol="knn")

    def knn_top1(method: Method) -> float | None:
        num_labels = min(config.data.train_images, len(dataset.train.labels))
        rows = label_indices(dataset.train.labels, num_labels, evaluation.label_seed)
        bank, queries = (
            embed(method, images, config.data.normalization, device, rows=chosen, num_workers=num_workers)
            for images, chosen in ((dataset.train, rows), (dataset.test, None))
        )
        k, temperature = evaluation.k, evaluation.temperature
        num_classes = len(dataset.classes)
        scores = knn_scores(bank.features, bank.labels, queries.features, num_classes, k=k, temperature=temperature)
        return score(scores, queries.labels).top1

    return knn_top1
