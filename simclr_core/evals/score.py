"""From the scores of the classes to what is reported. M test images, C classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MIN_CLASSES_FOR_TOP5 = 6
"""With five classes or fewer every answer is among the first five."""


@dataclass(frozen=True, eq=False)
class Score:
    """Percent of test images whose class is the first, or among the first five; the first class of each, (M,).

    ``top5`` is None where there are fewer than six classes. Everything is None for scores that are no numbers.
    """

    top1: float | None
    top5: float | None
    predictions: NDArray[np.uint16] | None


NOTHING = Score(None, None, None)


def score(class_scores: Tensor, labels: Tensor) -> Score:
    """``class_scores`` (M, C) against ``labels`` (M,); of equal scores the class with the lower number comes first.

    An image's rank is the number of classes before its own, so that no sorting decides between equal scores.
    """
    if class_scores.isnan().any():
        return NOTHING
    own = class_scores.gather(1, labels[:, None])
    numbers = np.arange(class_scores.shape[1], dtype=np.int64)
    before = class_scores.new_tensor(numbers) < labels[:, None]
    rank = ((class_scores > own) | ((class_scores == own) & before)).sum(1)
    top1, top5 = (100 * (rank < k).double().mean().item() for k in (1, 5))
    predictions = class_scores.argmax(1).numpy().astype(np.uint16)
    return Score(top1, top5 if class_scores.shape[1] >= MIN_CLASSES_FOR_TOP5 else None, predictions)
