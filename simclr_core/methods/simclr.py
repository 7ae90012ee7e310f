"""SimCLR (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor

from simclr_core.config import RunConfig
from simclr_core.losses import nt_xent
from simclr_core.methods.base import Method, StepOutput


class SimCLR(Method):
    """Agreement of two views against the other views of the batch (Algorithm 1)."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.temperature = config.method.temperature

    def forward(self, view_1: Tensor, view_2: Tensor) -> StepOutput:
        """Two views (B, 3, H, W) of the same images -> NT-Xent and projections."""
        z_1, z_2 = self.project(view_1, view_2)
        return StepOutput(nt_xent(z_1, z_2, self.temperature), torch.cat([z_1, z_2]))
