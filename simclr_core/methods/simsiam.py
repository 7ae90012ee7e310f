"""SimSiam (Chen and He 2021, arXiv 2011.10566)."""

from __future__ import annotations

import torch
from torch import Tensor

from simclr_core.config import RunConfig
from simclr_core.losses import negative_cosine
from simclr_core.methods.base import Method, StepOutput


class SimSiam(Method):
    """Each view's prediction matches the other view's projection, which takes no gradient (Algorithm 1)."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.stop_gradient = config.method.stop_gradient

    def forward(self, view_1: Tensor, view_2: Tensor) -> StepOutput:
        """Two views (B, 3, H, W) of the same images -> symmetrised negative cosine (Eq. 4) and projections."""
        z_1, z_2 = self.project(view_1, view_2)
        p_1, p_2 = self.predict(z_1, z_2)
        target_1, target_2 = (z_1.detach(), z_2.detach()) if self.stop_gradient else (z_1, z_2)
        loss = (negative_cosine(p_1, target_2) + negative_cosine(p_2, target_1)) / 2
        return StepOutput(loss, torch.cat([z_1, z_2]))

    def predict(self, z_1: Tensor, z_2: Tensor) -> tuple[Tensor, Tensor]:
        """z_1, z_2 (B, D) -> p_1, p_2 (B, D), in one pass or two as the views went."""
        if self.joint:
            p_1, p_2 = self.predictor(torch.cat([z_1, z_2])).chunk(2)
            return p_1, p_2
        return self.predictor(z_1), self.predictor(z_2)
