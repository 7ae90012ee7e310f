"""SimSiam (Chen and He 2021, arXiv 2011.10566)."""

from __future__ import annotations

from torch import Tensor

from simclr_core.methods.base import Method, StepOutput, Targets
from simclr_core.methods.losses import cross_entropy_similarity, negative_cosine

_DISTANCES = {"cosine": negative_cosine, "cross_entropy": cross_entropy_similarity}


class SimSiam(Method):
    """Each view's prediction matches the other view's projection, which takes no gradient (Algorithm 1).

    ``symmetric`` averages over the views (Eq. 2); otherwise view 1 alone is predicted from (Sec. 4.6).
    """

    def forward(self, view_1: Tensor, view_2: Tensor, targets: Targets | None = None) -> StepOutput:
        """Two views (B, 3, H, W) of the same images -> loss and projections; the targets are z_2 and z_1 by default."""
        z_1, z_2 = self.project(view_1, view_2)
        p_1, p_2 = self.predict(z_1, z_2)
        target_1, target_2 = targets(z_1.detach(), z_2.detach()) if targets else (z_2, z_1)
        if self.config.stop_gradient:
            target_1, target_2 = target_1.detach(), target_2.detach()
        distance = _DISTANCES[self.config.similarity]
        loss = distance(p_1, target_1)
        if self.config.symmetry == "symmetric":
            loss = (loss + distance(p_2, target_2)) / 2
        return StepOutput(self.config.loss_scale * loss, z_1, z_2)
