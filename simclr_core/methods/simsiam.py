"""SimSiam (Chen and He 2021, arXiv 2011.10566), with the targets of its Sec. 5.2.

The paper reads SimSiam as an alternation between the network and one target eta per image. With ``alternation_steps``
the targets of several steps come from one snapshot of the network; with ``target: moving_average`` every image has a
running target.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from simclr_core.config.methods import SimSiamConfig
from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.methods.losses import cross_entropy_similarity, negative_cosine
from simclr_core.networks.network import Network
from simclr_core.processes.distributed import gather

_DISTANCES = {"cosine": negative_cosine, "cross_entropy": cross_entropy_similarity}


class SimSiam(Method):
    """The prediction from each view matches the projection of the other view, without its gradient (Algorithm 1).

    ``symmetric`` averages over both views (Eq. 2); ``asymmetric`` predicts from view 1 only; ``asymmetric_2x`` predicts
    from view 1 of two pairs of views (Sec. 4.6).
    """

    config: SimSiamConfig

    def __init__(self, config: RunConfig, num_images: int) -> None:
        super().__init__(config, num_images)
        self.average: MovingAverage | None = None
        self.snapshot: Network | None = None
        if self.config.target == "moving_average":
            self.average = MovingAverage(num_images, self.net.dim, self.config.target_momentum)
        elif self.config.alternates:
            steps_per_epoch = num_images // config.training.global_batch_size
            self.snapshot_steps = self.config.alternation_steps or steps_per_epoch
            self.snapshot = copy.deepcopy(self.net).requires_grad_(requires_grad=False)
            self.snapshot.predictor = nn.Identity()

    def step(self, batch: Batch) -> Step:
        """Return the mean loss over the pairs of views, and the projections of the last pair."""
        losses, projections = [], []
        for first in range(0, len(batch.views), 2):
            pair = batch.views[first : first + 2]
            projections = self.net.project(pair)
            predictions = self.net.predict(projections)
            losses.append(self.config.loss_scale * self._loss(predictions, self._targets(batch, pair, projections)))
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        return Step(loss, projections)

    def _loss(self, predictions: list[Tensor], targets: list[Tensor]) -> Tensor:
        distance = _DISTANCES[self.config.similarity]
        loss = distance(predictions[0], targets[0])
        if self.config.symmetry == "symmetric":
            loss = (loss + distance(predictions[1], targets[1])) / 2
        return loss

    def _targets(self, batch: Batch, pair: list[Tensor], projections: list[Tensor]) -> list[Tensor]:
        """Return the targets (b, D) of the predictions from view 1 and from view 2."""
        z_1, z_2 = projections
        if self.average is not None:
            return self.average.update(batch.indices, z_1.detach(), z_2.detach())
        if self.snapshot is not None:
            return self._snapshot_targets(batch.step, pair)
        return [z_2.detach(), z_1.detach()] if self.config.stop_gradient else [z_2, z_1]

    @torch.no_grad()
    def _snapshot_targets(self, step: int, pair: list[Tensor]) -> list[Tensor]:
        """Return targets from the network as it was at the last multiple of ``snapshot_steps`` (Sec. 5.2, Table).

        The paper does not say which views and which BN mode the targets come from. Here they come from the views of the
        step, in train mode, so that a snapshot at every step equals SimSiam to the bit.
        """
        assert self.snapshot is not None
        if step % self.snapshot_steps == 0:
            current = self.net.state_dict()
            self.snapshot.load_state_dict({name: current[name] for name in self.snapshot.state_dict()})
        z_1, z_2 = self.snapshot.project(pair)
        return [z_2, z_1]


class MovingAverage(nn.Module):
    """A running target per image: eta <- momentum * eta + (1 - momentum) * z (Sec. 5.2).

    The paper calls this "expectation over augmentations". The target of a view mixes the image's memory with the
    projection of the other view; then the memory mixes in the mean of both projections. An image seen for the first
    time has no memory: its target is the projection of the other view. The paper does not say whether to average before
    normalising; this project averages first.
    """

    memory: Tensor
    seen: Tensor

    def __init__(self, num_images: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("memory", torch.zeros(num_images, dim))
        self.register_buffer("seen", torch.zeros(num_images, dtype=torch.bool))

    @torch.no_grad()
    def update(self, indices: Tensor, z_1: Tensor, z_2: Tensor) -> list[Tensor]:
        """Return targets (b, D) for view 1 and view 2 of the images at ``indices``; update all processes' memory."""
        old = self.memory[indices]
        weight = self.momentum * self.seen[indices].to(z_1)[:, None]
        targets = [torch.lerp(z_2, old, weight), torch.lerp(z_1, old, weight)]
        new = torch.lerp((z_1 + z_2) / 2, old, weight)
        everywhere = gather(indices)
        self.memory[everywhere] = gather(new)
        self.seen[everywhere] = True
        return targets
