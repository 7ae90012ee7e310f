"""What the methods share: the network, and how two views pass through it.

B images in a batch, N = 2B views, F features, D projection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simclr_core.config.schema import RunConfig
from simclr_core.networks.heads import build_predictor, build_projector, projection_dim
from simclr_core.networks.resnet import ResNet

Pair = tuple[Tensor, Tensor]
Targets = Callable[[Tensor, Tensor], Pair]
"""From z_1, z_2 without gradient to what the predictions of view 1 and of view 2 are to match, (B, D) each.

Of a supervised run: the labels of the images, int64 (B,), twice.
"""


class StepOutput(NamedTuple):
    """The loss to descend, and the projections of the views (B, D) each."""

    loss: Tensor
    z_1: Tensor
    z_2: Tensor


class Method(nn.Module):
    """Backbone, projector and predictor; ``forward(view_1, view_2, targets=None)`` gives a StepOutput.

    Subclasses give the objective; ``targets`` takes the place of the batch's own projections where a method compares
    predictions with others (SimSiam Sec. 5.2).
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config.method
        self.joint = config.training.views_forward == "joint"
        self._bfloat16 = config.training.precision == "bfloat16"
        self.backbone = ResNet(config.backbone).to(memory_format=torch.channels_last)
        self.dim = projection_dim(config.projector, self.backbone.num_features)
        self.projector = build_projector(config.projector, self.backbone.num_features)
        self.predictor = build_predictor(config.predictor, self.dim)

    def agreement(self, z_1: Tensor, z_2: Tensor) -> dict[str, float]:  # noqa: ARG002 - few methods have one
        """What else is logged of the projections of a whole batch, (B, D) each, by the name of the metric."""
        return {}

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F) in float32.

        The backbone computes in bfloat16 only while it trains and the configuration says so: evaluations see the
        float32 network.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16 and self.training):
            features: Tensor = self.backbone(images)
        return features.float()

    def project(self, view_1: Tensor, view_2: Tensor) -> Pair:
        """Two views (B, 3, H, W) -> z_1, z_2 (B, D).

        ``joint`` passes all N views at once, so that BN's statistics mix the views (SimCLR's released code);
        ``separate`` passes one view after the other (SimSiam's).
        """
        if self.joint:
            z_1, z_2 = self.projector(self.features(torch.cat([view_1, view_2]))).chunk(2)
            return z_1, z_2
        return self.projector(self.features(view_1)), self.projector(self.features(view_2))

    def predict(self, z_1: Tensor, z_2: Tensor) -> Pair:
        """z_1, z_2 (B, D) -> p_1, p_2 (B, D), in one pass or two as the views went; themselves without a predictor."""
        if isinstance(self.predictor, nn.Identity):
            return z_1, z_2
        if self.joint:
            p_1, p_2 = self.predictor(torch.cat([z_1, z_2])).chunk(2)
            return p_1, p_2
        return self.predictor(z_1), self.predictor(z_2)
