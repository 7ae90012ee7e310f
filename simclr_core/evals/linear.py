"""Linear evaluation on frozen embeddings: L2-regularised logistic regression, deterministic.

The regularisation is chosen on a held-out tenth of the training labels, never on the test set, and the classifier
is then refitted on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simclr_core.evals.logistic import Principal, minimiser
from simclr_core.evals.protocol import Protocol, Scored, Tell, scoring_weights
from simclr_core.evals.standardise import Standardise

L2_LEVELS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Weights of 0.5 |W|^2 beside the mean cross entropy, tried from the strongest, each starting where the last ended."""
HOLDOUT_EVERY = 10


class Linear(Protocol):
    """Logistic regression on the embeddings of the labelled images."""

    def score(self, tell: Tell) -> Scored:  # noqa: ARG002 - it has no epochs
        """``l2`` is the regularisation chosen."""
        material, embedding = self.material, self.evaluation.embedding
        classifier = fit_linear(material.train.of(embedding), material.train.labels)
        return Scored(
            classifier.scores(material.test.of(embedding), material.num_classes),
            {"l2": classifier.l2},
            weights=scoring_weights(material.network, embedding, classifier.layer(material.num_classes)),
        )


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """A fitted logistic regression on standardised columns, and the regularisation that it was given.

    ``weights`` (K, F) and ``intercepts`` (K,) are those of the K classes ``classes`` (K,), which had labels.
    """

    standardise: Standardise
    weights: Tensor
    intercepts: Tensor
    classes: Tensor
    l2: float

    def scores(self, embedded: Tensor, num_classes: int) -> Tensor:
        """Class scores (M, C) of embeddings (M, F); minus infinity for classes that had no label."""
        scores = torch.full((len(embedded), num_classes), float("-inf"), dtype=torch.float64)
        scores[:, self.classes] = self.standardise(embedded).double() @ self.weights.T + self.intercepts
        return scores

    def layer(self, num_classes: int) -> nn.Linear:
        """One float64 layer that gives ``scores`` of embeddings (M, F) but for rounding."""
        mean, std = self.standardise.mean, self.standardise.std
        layer = nn.Linear(len(mean), num_classes, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.fill_(float("-inf"))
            layer.weight[self.classes] = self.weights / std
            layer.bias[self.classes] = self.intercepts - (self.weights / std) @ mean
        return layer


def fit_linear(train: Tensor, labels: Tensor) -> LinearClassifier:
    """Fit on train (N, F) with labels (N,) of at least two classes.

    Columns are standardised by the training set's mean and standard deviation; constant columns become 0. The
    held-out part is every tenth image of each class; if it leaves fewer than two classes to fit, the strongest
    regularisation is taken.
    """
    standardise = Standardise.by(train)
    principal = Principal.of(standardise(train))
    x, variances = principal.columns, principal.variances
    classes, y = labels.unique(return_inverse=True)
    held_out = _every_nth_of_each_class(y)
    fit_x, fit_y, held_x, held_y = x[~held_out], y[~held_out], x[held_out], y[held_out]
    weights = torch.zeros(len(classes), x.shape[1], dtype=torch.float64)
    tried = []
    for l2 in L2_LEVELS if len(fit_y.unique()) > 1 else ():
        weights = minimiser(fit_x, variances, fit_y, l2, weights)
        right = (held_x.double() @ weights.T).argmax(1) == held_y
        tried.append((right.double().mean().item(), l2, weights))
    # of levels that do equally well, the strongest
    _, l2, start = max(tried, key=lambda level: level[:2]) if tried else (0.0, L2_LEVELS[0], weights)
    layer = principal.layer(minimiser(x, variances, y, l2, start))
    return LinearClassifier(standardise, *layer, classes, l2)


def _every_nth_of_each_class(labels: Tensor) -> Tensor:
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        held_out[(labels == label).nonzero().flatten()[::HOLDOUT_EVERY]] = True
    return held_out
