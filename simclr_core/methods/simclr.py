"""SimCLR (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from simclr_core.config.methods import SimCLRConfig
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.methods.losses import contrastive_accuracy_and_entropy, simclr_loss
from simclr_core.processes.distributed import gather, world


class SimCLR(Method):
    """Two views of an image agree, compared with the other views of the batch (Algorithm 1).

    With a predictor (SimSiam Sec. 6.2) the predictions are the anchors and the projections are the keys;
    ``stop_gradient`` detaches the keys.
    """

    config: SimCLRConfig

    def step(self, batch: Batch) -> Step:
        """Return the loss of two views; the keys are those of all processes."""
        z_1, z_2 = self.net.project(batch.views)
        p_1, p_2 = self.net.predict([z_1, z_2])
        keys_1, keys_2 = gather(z_1), gather(z_2)
        if self.config.stop_gradient:
            keys_1, keys_2 = keys_1.detach(), keys_2.detach()
        keys = None if keys_1 is p_1 and keys_2 is p_2 else (keys_1, keys_2)
        loss = simclr_loss(self.config, p_1, p_2, keys, first_key=world().rank * len(z_1))
        return Step(self.config.loss_scale * loss, [z_1, z_2])

    def diagnostics(self, projections: Sequence[Tensor]) -> dict[str, float]:
        """Return contrastive accuracy in percent and entropy in nats (Table 5), if the loss has a temperature."""
        if self.config.loss == "margin_triplet":
            return {}
        z_1, z_2 = projections
        normalize = self.config.normalize or self.config.loss != "nt_xent"
        top1, entropy = contrastive_accuracy_and_entropy(z_1, z_2, self.config.temperature, normalize=normalize)
        return {"contrastive_top1": top1, "contrastive_entropy": entropy}
