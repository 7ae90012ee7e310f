"""Fine-tuning with few labels (SimCLR App. B.5): the network and a new linear layer, BN in train mode.

SimCLR's own settings: batch_size 4096, base_lr .05, weight_decay 0, crop_min_area .08, epochs 60 with 1 % of
ImageNet's labels and 30 with 10 %. An untrained network (``training.epochs`` 0), fine-tuned longer, is the supervised
baseline of Table 7. ``embedding: head_1`` keeps the first layer of the projector (SimCLRv2 Sec. 2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from simclr_core.evals.embed import embed, names_to_embed
from simclr_core.evals.labelled_sgd import train_with_labels, zero_layer
from simclr_core.evals.protocol import Protocol, Scored, Tell, scoring_weights


class FineTune(Protocol):
    """Trains a copy of backbone, projector up to the embedding, and layer, in the arithmetic of the pre-training."""

    def score(self, tell: Tell) -> Scored:
        """After the last epoch; the details are those of ``train_with_labels``."""
        material, embedding, reading = self.material, self.evaluation.embedding, self.material.reading
        network = copy.deepcopy(material.network).train()
        layer = zero_layer(network.width(embedding), material.num_classes, material.device)

        def logits(views: Tensor) -> Tensor:
            scores: Tensor = layer(network.embed(views, [embedding])[embedding])
            return scores

        trained = [*network.backbone.parameters(), *network.head(embedding).parameters(), *layer.parameters()]
        details = train_with_labels(self.evaluation, material.data.train, material.rows, reading, logits, trained, tell)
        tested = embed(
            network,
            material.data.test,
            reading.normalization,
            reading.device,
            num_workers=reading.num_workers,
            names=names_to_embed([embedding]),
        )
        with torch.no_grad():
            scores = layer.cpu()(tested.of(embedding))
        return Scored(scores, details, weights=scoring_weights(network, embedding, layer))
