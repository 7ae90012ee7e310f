"""What looks at the network of a training: its kNN accuracy (SimSiam Fig. 2, D.1), embeddings for its method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data.datasets import Dataset, Images, label_indices
from simclr_core.evals.embed import embed
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.score import score
from simclr_core.networks.network import Network


def knn_monitor(
    config: RunConfig, dataset: Dataset, device: torch.device, num_workers: int
) -> Callable[[Network], float | None]:
    """Top-1 of kNN on the features of a network in training, in percent of the test images; None if not finite.

    As the evaluation ``knn`` has it by default, from as many labelled training images as the run trains on: after the
    last epoch the two are one number. The network stays as it is, and no random number is drawn.
    """
    evaluation = EvalConfig(protocol="knn")

    def knn_top1(network: Network) -> float | None:
        num_labels = min(config.data.train_images, len(dataset.train.labels))
        rows = label_indices(dataset.train.labels, num_labels, evaluation.label_seed)
        bank, queries = (
            embed(network, images, config.data.normalization, device, rows=chosen, num_workers=num_workers)
            for images, chosen in ((dataset.train, rows), (dataset.test, None))
        )
        k, temperature = evaluation.k, evaluation.temperature
        num_classes = len(dataset.classes)
        scores = knn_scores(bank.features, bank.labels, queries.features, num_classes, k=k, temperature=temperature)
        return score(scores, queries.labels).top1

    return knn_top1


def embedder(
    images: Images, normalization: str, device: torch.device, num_workers: int
) -> Callable[[Network, Tensor], tuple[Tensor, Tensor]]:
    """What gives a method the features (n, F) and z (n, D) of images that it trains on, by the network as it is."""

    def embed_all(network: Network, rows: Tensor) -> tuple[Tensor, Tensor]:
        found = embed(network, images, normalization, device, rows=rows, num_workers=num_workers)
        return found.features, found.z

    return embed_all
