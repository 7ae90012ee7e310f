"""Weighted k-nearest-neighbour classification (Wu et al. 2018, instance discrimination; used by SimSiam App. D)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_MAX_SIMILARITIES = 5_000_000  # rows are taken in chunks so that no similarity matrix is larger than this


def knn_scores(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, num_classes: int, *, k: int, temperature: float
) -> Tensor:
    """Class scores (Q, C): the sum of exp(cos / temperature) over the k most similar bank rows of each class.

    bank (N, F), bank_labels (N,), queries (Q, F), all on the CPU; rows are l2-normalised here; k is capped at N.
    """
    bank, queries = functional.normalize(bank, dim=1), functional.normalize(queries, dim=1)
    scores = queries.new_zeros(len(queries), num_classes)
    rows = max(1, _MAX_SIMILARITIES // len(bank))
    for start in range(0, len(queries), rows):
        nearest, indices = _nearest(queries[start : start + rows] @ bank.T, min(k, len(bank)))
        scores[start : start + rows].scatter_add_(1, bank_labels[indices], (nearest / temperature).exp())
    return scores


def _nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, from the largest on, and their columns; of equal ones those of lower columns.

    A partial sort in two thirds of ``Tensor.topk``'s time. Which of several equal similarities either of them
    leaves out depends on the processor, so rows where that matters are sorted whole.
    """
    rows = similarities.numpy()
    columns = np.argpartition(rows, -k, axis=1)[:, -k:]
    least = np.take_along_axis(rows, columns, axis=1).min(axis=1, keepdims=True)
    tied = (rows >= least).sum(axis=1) > k
    columns[tied] = np.argsort(-rows[tied], axis=1, kind="stable")[:, :k]
    in_order = torch.from_numpy(np.sort(columns, axis=1))
    nearest, order = similarities.gather(1, in_order).sort(dim=1, descending=True, stable=True)
    return nearest, in_order.gather(1, order)
