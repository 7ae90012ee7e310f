"""Weighted k-nearest-neighbour classification (Wu et al. 2018, instance discrimination; used by SimSiam App. D)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_MAX_SIMILARITIES = 5_000_000  # rows are taken in chunks so that no similarity matrix is larger than this


def knn_scores(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, num_classes: int, *, k: int, temperature: float
) -> Tensor:
    """Class scores (Q, C): the sum of exp(cos / temperature) over the k most similar bank rows of each class.

    bank (N, F), bank_labels (N,), queries (Q, F); rows are l2-normalised here; k is capped at N.
    """
    bank, queries = functional.normalize(bank, dim=1), functional.normalize(queries, dim=1)
    scores = queries.new_zeros(len(queries), num_classes)
    rows = max(1, _MAX_SIMILARITIES // len(bank))
    for start in range(0, len(queries), rows):
        similarities = queries[start : start + rows] @ bank.T
        nearest, indices = similarities.topk(min(k, len(bank)), dim=1)
        scores[start : start + rows].scatter_add_(1, bank_labels[indices], (nearest / temperature).exp())
    return scores


def knn_top1(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, query_labels: Tensor, *, k: int, temperature: float
) -> float:
    """Percent of queries whose best-scoring class is their own."""
    num_classes = int(max(bank_labels.max(), query_labels.max())) + 1
    scores = knn_scores(bank, bank_labels, queries, num_classes, k=k, temperature=temperature)
    return 100 * (scores.argmax(1) == query_labels).double().mean().item()
