"""SimCLR (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor

from simclr_core.config import RunConfig
from simclr_core.distributed import gather, world
from simclr_core.losses import simclr_loss
from simclr_core.methods.base import Method, StepOutput


class SimCLR(Method):
    """Agreement of two views against the other views of the batch (Algorithm 1)."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.config = config.method

    def forward(self, view_1: Tensor, view_2: Tensor) -> StepOutput:
        """Two views (B, 3, H, W) of the same images -> the loss over the views of all processes, and projections."""
        z_1, z_2 = self.project(view_1, view_2)
        # alone, the views are their own keys: passed as such, their gradients would be added up in another order
        keys = None if world().size == 1 else (gather(z_1), gather(z_2))
        loss = simclr_loss(self.config, z_1, z_2, keys=keys, first_key=world().rank * len(z_1))
        return StepOutput(loss, torch.cat([z_1, z_2]))
