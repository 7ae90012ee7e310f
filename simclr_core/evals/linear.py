"""Linear evaluation on frozen embeddings: L2-regularised logistic regression, deterministic.

The regularisation is chosen on a held-out tenth of the training labels, never on the test set, and the classifier
is then refitted on all of them.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

L2_LEVELS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Weights of 0.5 |W|^2 beside the mean cross entropy, tried from the strongest, each starting where the last ended."""
HOLDOUT_EVERY = 10
MAX_ITERATIONS = 100

Array = NDArray[np.float32]


class LinearResult(NamedTuple):
    """Test top-1 in percent, and the chosen regularisation."""

    top1: float
    l2: float


def linear_top1(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> LinearResult:
    """Fit on train (N, F), train_labels (N,); score on test (M, F), test_labels (M,).

    Columns are standardised by the training set's mean and standard deviation; constant columns become 0. The
    held-out part is every tenth image of each class.
    """
    mean, std = train.double().mean(0), train.double().std(0, correction=0)
    std[std < 1e-6] = float("inf")
    x, y = ((train - mean) / std).float().numpy(), train_labels.numpy()
    held_out = _every_nth_of_each_class(y)
    model = _Model()
    accuracies = []
    for l2 in L2_LEVELS:
        model.fit(x[~held_out], y[~held_out], l2)
        accuracies.append(model.top1(x[held_out], y[held_out]))
    l2 = L2_LEVELS[int(np.argmax(accuracies))]
    model.fit(x, y, l2)
    return LinearResult(model.top1(((test - mean) / std).float().numpy(), test_labels.numpy()), l2)


def _every_nth_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[::HOLDOUT_EVERY]] = True
    return held_out


class _Model:
    """scikit-learn's logistic regression, warm-started from fit to fit."""

    def __init__(self) -> None:
        self._model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)

    def fit(self, x: Array, y: NDArray[np.int64], l2: float) -> None:
        self._model.set_params(C=1 / (l2 * len(y)))
        with warnings.catch_warnings():
            # A fit of the weakest regularisation may stop at the iteration limit: it then competes as it stands.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(x, y)

    def top1(self, x: Array, y: NDArray[np.int64]) -> float:
        return 100 * float((self._model.predict(x) == y).mean())
