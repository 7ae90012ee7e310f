"""Fine-tuning with few labels (SimCLR App. B.5): the whole network and a new linear layer, BN in train mode.

SimCLR's own settings: batch_size 4096, base_lr .05, weight_decay 0, crop_min_area .08, epochs 60 with 1 % of
ImageNet's labels and 30 with 10 %. An untrained network (``training.epochs`` 0), fine-tuned longer, is the supervised
baseline of Table 7.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from simclr_core.config.schema import EvalConfig
from simclr_core.data.datasets import Images
from simclr_core.evals.embed import Reading, embed
from simclr_core.evals.labelled_sgd import Tell, train_with_labels, zero_layer
from simclr_core.networks.network import Network


def fine_tuned_scores(
    network: Network,
    images: Images,
    rows: Tensor,
    test: Images,
    num_classes: int,
    evaluation: EvalConfig,
    reading: Reading,
    tell: Tell,
) -> tuple[Tensor, dict[str, Any]]:
    """Class scores (M, C) of the test images after the last epoch, and how the training on ``rows`` went.

    A copy is trained, in the arithmetic of the pre-training; ``network`` stays as it is.
    """
    network = copy.deepcopy(network).train()
    layer = zero_layer(network.backbone.num_features, num_classes, reading.device)
    details = train_with_labels(
        evaluation,
        images,
        rows,
        reading,
        lambda views: layer(network.features(views)),
        [*network.backbone.parameters(), *layer.parameters()],
        tell,
    )
    tested = embed(network, test, reading.normalization, reading.device, num_workers=reading.num_workers)
    with torch.no_grad():
        return layer.cpu()(tested.features), details
