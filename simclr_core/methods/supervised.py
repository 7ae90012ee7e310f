"""Supervised training, the baseline beside the methods that see no labels (SimCLR Table 1, Fig. 7, App. B.3)."""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from simclr_core.config.methods import SupervisedConfig
from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.networks.network import Network


class ClassifyingNetwork(Network):
    """A network with a linear layer on z: z (B, D) -> logits (B, C). ``projector.kind`` none: z are the features."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(self.dim, config.method.num_outputs)


class Supervised(Method):
    """Cross entropy of a linear layer on z against the labels of the training images, on one view.

    Views, backbone, batches and optimiser are those of the other methods, so that a supervised cell and a
    self-supervised cell differ only in the objective.
    """

    config: SupervisedConfig
    net: ClassifyingNetwork

    @staticmethod
    def build_network(config: RunConfig) -> Network:
        """Build the network; the classifier is initialised after the other layers."""
        return ClassifyingNetwork(config)

    def step(self, batch: Batch) -> Step:
        """Return the cross entropy of the one view."""
        (z,) = self.net.project(batch.views)
        loss = functional.cross_entropy(self.net.classifier(z), batch.labels)
        return Step(self.config.loss_scale * loss, [z])
