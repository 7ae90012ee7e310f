"""Weighted k-nearest-neighbour classification (Wu et al. 2018, instance discrimination; used by SimSiam App. D)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_MAX_SIMILARITIES = 5_000_000  # rows are taken in chunks so that no similarity matrix is larger than this
_GROUP = 16  # columns; of 10,000 images and k = 200 this leaves 235 candidates to sort


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
    """The k largest of each row (Q, N), from the largest on, and their columns; of equal ones those of lower columns.

    In a quarter of the time of ``Tensor.topk``, which leaves it to the processor which of equal ones it takes: the k
    largest of the maxima of groups of columns are k different similarities, so none of the k nearest is below them,
    and few others are above.
    """
    rows = similarities.numpy()
    num_images = rows.shape[1]
    size = min(_GROUP, num_images // k)
    maxima = rows[:, : num_images // size * size].reshape(len(rows), size, -1).max(1)
    least = np.partition(maxima, -k, axis=1)[:, -k, None]
    row, column = np.divmod(np.flatnonzero(rows >= least), num_images)
    counts = np.bincount(row, minlength=len(rows))
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    candidates = np.full((len(rows), counts.max()), -np.inf, dtype=rows.dtype)
    columns = np.zeros(candidates.shape, dtype=np.int64)
    candidates[row, place], columns[row, place] = rows[row, column], column
    nearest, order = torch.from_numpy(candidates).sort(dim=1, descending=True, stable=True)
    return nearest[:, :k], torch.from_numpy(columns).gather(1, order[:, :k])
