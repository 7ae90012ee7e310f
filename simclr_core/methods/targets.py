"""SimSiam's targets where they are not the batch's own projections (Sec. 5.2).

The paper reads SimSiam as an alternation between the network and one target eta per image. ``Alternation`` computes
the targets of several steps in advance, ``MovingAverage`` keeps a running target for every image.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from simclr_core.methods.base import Method, Pair
from simclr_core.processes.distributed import gather


class Alternation:
    """Targets of k steps at a time, by the network as it stands before the first of them (Sec. 5.2, Table).

    The paper leaves open which views and which BN the targets come from. Here they are the very views of the step,
    in train mode, without touching BN's running statistics: k = 1 is SimSiam to the bit.
    """

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self._targets: list[Pair] = []

    def compute(self, method: Method, pairs: Iterable[Pair]) -> None:
        """Targets for the coming steps, from their views."""
        norms = [module for module in method.modules() if isinstance(module, _BatchNorm)]
        for norm in norms:
            norm.track_running_stats = False
        with torch.no_grad():
            self._targets = [method.project(*pair) for pair in pairs]
        for norm in norms:
            norm.track_running_stats = True

    def of_step(self, step: int) -> Pair:
        """For view 1 and view 2 of a step."""
        z_1, z_2 = self._targets[step % self.num_steps]
        return z_2, z_1


class MovingAverage(nn.Module):
    """eta <- momentum * eta + (1 - momentum) * z for each image (Sec. 5.2, "expectation over augmentations").

    A view's target mixes the image's memory with the projection of the other view; the memory then takes the mean of
    both projections. An image seen for the first time has no memory: its target is the other view's projection.
    The order of averaging before normalising is ours; the paper does not give it.
    """

    memory: Tensor
    seen: Tensor

    def __init__(self, num_images: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("memory", torch.zeros(num_images, dim))
        self.register_buffer("seen", torch.zeros(num_images, dtype=torch.bool))

    @torch.no_grad()
    def update(self, indices: Tensor, z_1: Tensor, z_2: Tensor) -> Pair:
        """Targets (B, D) for view 1 and view 2 of the images at ``indices``; remembers them on every process."""
        old = self.memory[indices]
        weight = self.momentum * self.seen[indices].to(z_1)[:, None]
        targets = (torch.lerp(z_2, old, weight), torch.lerp(z_1, old, weight))
        new = torch.lerp((z_1 + z_2) / 2, old, weight)
        everywhere = gather(indices)
        self.memory[everywhere] = gather(new)
        self.seen[everywhere] = True
        return targets
