"""Linear evaluation on frozen embeddings: L2-regularised logistic regression, deterministic.

The regularisation is chosen on a held-out tenth of the training labels, never on the test set, and the classifier
is then refitted on all of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from simclr_core.evals.standardise import Standardise

L2_LEVELS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Weights of 0.5 |W|^2 beside the mean cross entropy, tried from the strongest, each starting where the last ended."""
HOLDOUT_EVERY = 10
MAX_ITERATIONS = 100

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """A fitted logistic regression on standardised columns, and the regularisation that it was given."""

    standardise: Standardise
    model: LogisticRegression
    l2: float

    def scores(self, embedded: Tensor, num_classes: int) -> Tensor:
        """Class scores (M, C) of embeddings (M, F); minus infinity for classes that had no label."""
        decisions = torch.from_numpy(self.model.decision_function(self.standardise(embedded).numpy()))
        if decisions.ndim == 1:  # of two classes, scikit-learn gives the second one's
            decisions = torch.stack([torch.zeros_like(decisions), decisions], dim=1)
        scores = decisions.new_full((len(embedded), num_classes), float("-inf"))
        scores[:, torch.from_numpy(self.model.classes_)] = decisions
        return scores


def fit_linear(train: Tensor, labels: Tensor) -> LinearClassifier:
    """Fit on train (N, F) with labels (N,) of at least two classes.

    Columns are standardised by the training set's mean and standard deviation; constant columns become 0. The
    held-out part is every tenth image of each class; if it leaves fewer than two classes to fit, the strongest
    regularisation is taken.
    """
    standardise = Standardise.by(train)
    x, y = standardise(train).numpy(), labels.numpy()
    held_out = _every_nth_of_each_class(y)
    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    accuracies = []
    for l2 in L2_LEVELS if len(np.unique(y[~held_out])) > 1 else ():
        _fit(model, x[~held_out], y[~held_out], l2)
        accuracies.append((model.predict(x[held_out]) == y[held_out]).mean())
    l2 = L2_LEVELS[int(np.argmax(accuracies))] if accuracies else L2_LEVELS[0]
    _fit(model, x, y, l2)
    return LinearClassifier(standardise, model, l2)


def _every_nth_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[::HOLDOUT_EVERY]] = True
    return held_out


def _fit(model: LogisticRegression, x: Array, y: NDArray[np.int64], l2: float) -> None:
    """From where the model stands."""
    model.set_params(C=1 / (l2 * len(y)))
    with warnings.catch_warnings():
        # A fit of the weakest regularisation may stop at the iteration limit: it then competes as it stands.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
