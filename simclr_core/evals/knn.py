"""Weighted k-nearest-neighbour classification (Wu et al. 2018, instance discrimination; used by SimSiam App. D)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from simclr_core.evals.protocol import Protocol, Scored, Tell

QUERIES = 200
"""At a time: enough for a matrix product at full speed, and their similarities take less memory than most banks."""


class KNN(Protocol):
    """The labelled images vote, each by its similarity."""

    def score(self, tell: Tell) -> Scored:  # noqa: ARG002 - nothing is trained
        """Nothing beside the scores is written down."""
        material, embedding = self.material, self.evaluation.embedding
        bank, queries = material.train.of(embedding), material.test.of(embedding)
        k, temperature = self.evaluation.k, self.evaluation.temperature
        return Scored(
            knn_scores(bank, material.train.labels, queries, material.num_classes, k=k, temperature=temperature)
        )


def knn_scores(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, num_classes: int, *, k: int, temperature: float
) -> Tensor:
    """Class scores (Q, C): the sum of exp(cos / temperature) over the k most similar bank rows of each class.

    bank (N, F), bank_labels (N,), queries (Q, F), all on the CPU; rows are l2-normalised here; k is capped at N. NaN
    where a feature is not finite, which leaves no order of neighbours.
    """
    bank, queries = functional.normalize(bank, dim=1), functional.normalize(queries, dim=1)
    scores = queries.new_zeros(len(queries), num_classes)
    if bank.isnan().any() or queries.isnan().any():
        return scores.fill_(torch.nan)
    for part, own_scores in zip(queries.split(QUERIES), scores.split(QUERIES), strict=True):
        similarities = part @ bank.T
        columns = torch.from_numpy(nearest(similarities.numpy(), min(k, len(bank))))
        votes = (similarities.gather(1, columns) / temperature).exp_()
        own_scores.scatter_add_(1, bank_labels[columns], votes)
    return scores


def nearest(similarities: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns (Q, k), in their order, of the k largest of each row (Q, N); of equal ones the first.

    Nothing is sorted, as ``Tensor.topk`` would: a vote does not ask which neighbour is the nearest.
    """
    least = np.partition(similarities, -k, axis=1)[:, -k, None]
    chosen = similarities >= least
    if np.count_nonzero(chosen) > k * len(chosen):
        above, equal = similarities > least, similarities == least
        chosen = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdims=True)))
    columns: NDArray[np.int64] = np.flatnonzero(chosen) % chosen.shape[1]
    return columns.reshape(-1, k)
