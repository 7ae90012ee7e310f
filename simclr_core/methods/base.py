"""What the training loop asks of a method: the network that it trains, and what it makes of a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from simclr_core.config.schema import RunConfig
from simclr_core.networks.network import Network

Embed = Callable[[], tuple[Tensor, Tensor]]
"""Features (N, F) and z (N, D) of all images that the run trains on, by the network in eval mode, on the CPU."""


@dataclass(frozen=True)
class Batch:
    """This process's share of a step: b images in V views."""

    step: int
    indices: Tensor  # int64 (b,): positions in the pre-training set
    labels: Tensor  # int64 (b,), -1 where there is none; methods that see no labels leave them alone
    views: list[Tensor]  # float32 (b, 3, s, s) each, normalised: the method's ``num_views``, then the small views


class Step(NamedTuple):
    """What a method makes of a batch."""

    loss: Tensor  # scalar, the mean over this process's share
    projections: list[Tensor]  # z (b, D) of views, whose spread is logged
    logs: Mapping[str, Tensor] = MappingProxyType({})  # scalars for metrics.jsonl, means over this process's share


class Method(nn.Module):
    """An objective, and all that a training of it has to remember.

    ``net`` is trained, evaluated and exported. Whatever else a method registers as a module, a parameter or a buffer
    (copies by moving average, queues, prototypes, memories) is saved with every checkpoint, comes back to the bit when
    a training goes on, and is left out of the last checkpoint. A subclass gives ``step``, and the other hooks where it
    needs them.
    """

    def __init__(self, config: RunConfig, num_images: int) -> None:
        """``num_images``: how many images the run trains on."""
        super().__init__()
        self.config: Any = config.method
        self.num_images = num_images
        self.net = self.build_network(config)

    @staticmethod
    def build_network(config: RunConfig) -> Network:
        """The network of a configuration, initialised from torch's current random state."""
        return Network(config)

    def network(self) -> Network:
        """What evaluations and exports see."""
        return self.net

    def step(self, batch: Batch) -> Step:
        """The loss of a batch, from which the gradients come."""
        raise NotImplementedError

    def after_step(self, batch: Batch) -> None:
        """Called after the optimiser's step."""

    def start_epoch(self, epoch: int, embed: Embed) -> Tensor | None:  # noqa: ARG002 - most methods need nothing here
        """Called before the first step of an epoch, and not again when a training goes on within one.

        May return the order of the epoch, int64 (n,): positions in the pre-training set, n at most ``num_images``.
        """
        return None

    @property
    def prepares_epochs(self) -> bool:
        """Whether ``start_epoch`` does anything: batches are then made no further ahead than the epoch's end."""
        return type(self).start_epoch is not Method.start_epoch

    def phase(self, step: int) -> Hashable:  # noqa: ARG002 - in most methods all steps are alike
        """What kind of step this is, where steps differ: a queue becomes active, prototypes thaw."""
        return None

    def diagnostics(self, projections: Sequence[Tensor]) -> dict[str, float]:  # noqa: ARG002 - few methods have any
        """What else is logged of ``Step.projections``, gathered from all processes, by the name of the metric."""
        return {}
