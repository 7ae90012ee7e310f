"""Linear evaluation by SGD on augmented images, as the papers do it: one linear layer on the frozen network.

The protocols of the papers and their codes, as settings of ``EvalConfig`` (batch 4096, 90 epochs and a crop of at
least .08 of the image unless said otherwise; ``base_lr`` is per 256 images):

- SimCLR App. B.6: base_lr .1. Its README for ImageNet adds weight_decay 1e-6; for CIFAR-10: batch_size 512, epochs
  100.
- SimSiam App. A: optimizer lars, base_lr .02. Its README's command has base_lr .1 instead.
- SwAV: batch_size 256, epochs 100, base_lr .3, weight_decay 1e-6, without Nesterov momentum there.
- BYOL App. C.1: batch_size 1024, epochs 80, base_lr the best of .4, .3, .2, .1, .05 on held-out training images.

The layer begins at zero, as SimCLR's; SimSiam's begins at N(0, .01).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from simclr_core.evals.frozen import frozen
from simclr_core.evals.labelled_sgd import train_with_labels, zero_layer
from simclr_core.evals.protocol import Protocol, Scored, Tell, scoring_weights


class LinearSGD(Protocol):
    """A layer on the frozen network: neither its weights nor its BN statistics move."""

    def score(self, tell: Tell) -> Scored:
        """The details are those of ``train_with_labels``."""
        material, embedding = self.material, self.evaluation.embedding
        layer, details = self.fit(tell)
        with torch.no_grad():
            scores = layer.cpu()(material.test.of(embedding))
        return Scored(scores, details, weights=scoring_weights(material.network, embedding, layer))

    def fit(self, tell: Tell) -> tuple[nn.Linear, dict[str, Any]]:
        """The layer after the last epoch, and how its training went."""
        material, embedding = self.material, self.evaluation.embedding
        layer = zero_layer(material.network.width(embedding), material.num_classes, material.device)
        network = frozen(material.network)

        def logits(views: Tensor) -> Tensor:
            scores: Tensor = layer(network.embed(views, [embedding])[embedding])
            return scores

        details = train_with_labels(
            self.evaluation, material.data.train, material.rows, material.reading, logits, layer.parameters(), tell
        )
        return layer, details
