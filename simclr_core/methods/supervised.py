"""Supervised training, the baseline beside the methods that see no labels (SimCLR Table 1, Fig. 7, App. B.3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Method, StepOutput, Targets


class Supervised(Method):
    """Cross entropy of a linear layer on z, of the first view alone, against the labels of the pre-training set.

    Views, backbone, batches and optimiser are those of the other methods, so that a column of labels and one without
    differ in the objective alone. With ``projector.kind`` none, z are the features.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(self.dim, config.method.num_classes)

    def forward(self, view_1: Tensor, view_2: Tensor, targets: Targets | None = None) -> StepOutput:
        """View 1 (B, 3, H, W), and ``targets`` that give labels (B,) -> loss and the projections of view 1, twice."""
        assert targets is not None, "supervised training has labels"
        del view_2
        z = self.projector(self.features(view_1))
        labels, _ = targets(z, z)
        return StepOutput(self.config.loss_scale * functional.cross_entropy(self.classifier(z), labels), z, z)
