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

from torch import Tensor, nn

from simclr_core.config.schema import EvalConfig
from simclr_core.data.datasets import Images
from simclr_core.evals.embed import Reading
from simclr_core.evals.frozen import frozen
from simclr_core.evals.labelled_sgd import Tell, train_with_labels, zero_layer
from simclr_core.networks.network import Network


def fit_linear_sgd(
    network: Network,
    images: Images,
    rows: Tensor,
    num_classes: int,
    evaluation: EvalConfig,
    reading: Reading,
    tell: Tell,
) -> tuple[nn.Linear, dict[str, Any]]:
    """The layer after the last epoch, and how its training on ``rows`` of the images went (``train_with_labels``).

    The network is frozen: neither its weights nor its BN statistics move.
    """
    on_z = evaluation.embedding == "z"
    layer = zero_layer(network.dim if on_z else network.backbone.num_features, num_classes, reading.device)
    network = frozen(network)

    def logits(views: Tensor) -> Tensor:
        embedded = network.features(views)
        embedded = network.projector(embedded) if on_z else embedded
        scores: Tensor = layer(embedded)
        return scores

    details = train_with_labels(evaluation, images, rows, reading, logits, layer.parameters(), tell)
    return layer, details
