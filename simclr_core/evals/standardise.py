"""Columns of embeddings brought to one scale, so that no setting depends on the network's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

_CONSTANT = 1e-6


@dataclass(frozen=True, eq=False)
class Standardise:
    """Subtracts a mean and divides by a standard deviation, (F,) each: (N, F) -> float32 (N, F)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def by(cls, train: Tensor) -> Standardise:
        """By those of ``train`` (N, F); columns that are constant there become 0."""
        std = train.double().std(0, correction=0)
        std[std < _CONSTANT] = float("inf")
        return cls(train.double().mean(0), std)

    def __call__(self, embedded: Tensor) -> Tensor:
        """(N, F) -> float32 (N, F)."""
        return ((embedded - self.mean) / self.std).float()
