"""The interface between the training loop and a method: batches, steps, hooks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from simclr_core.config.schema import RunConfig
from simclr_core.networks.network import Network

Embed = Callable[[], tuple[Tensor, Tensor]]
"""Returns features (N, F) and z (N, D) of all training images, from the network in eval mode, on the CPU."""


@dataclass(frozen=True)
class Batch:
    """This process's share of a step: b images, each in V views."""

    step: int
    indices: Tensor  # int64 (b,): positions in the pre-training set
    labels: Tensor  # int64 (b,), -1 where there is none; methods that see no labels leave them alone
    views: list[Tensor]  # float32 (b, 3, s, s) each, normalised: the method's ``num_views``, then the small views


class Step(NamedTuple):
    """The result of a method's step."""

    loss: Tensor  # scalar, the mean over this process's share
    projections: list[Tensor]  # z (b, D) of views, whose spread is logged
    logs: Mapping[str, Tensor] = MappingProxyType({})  # scalars for metrics.jsonl, means over this process's share


class Method(nn.Module):
    """An objective with its network and its state.

    ``net`` is trained, evaluated and exported. Everything else that a method registers as a module, a parameter or a
    buffer (copies by moving average, queues, prototypes, memories) is saved with every checkpoint, restored to the bit
    when a training resumes, and left out of the last checkpoint. A subclass defines ``step``, and other hooks as
    needed.
    """

    def __init__(self, config: RunConfig, num_images: int) -> None:
        """Build the network; ``num_images`` is the number of images that the run trains on."""
        super().__init__()
        self.config: Any = config.method
        self.num_images = num_images
        self.net = self.build_network(config)

    @staticmethod
    def build_network(config: RunConfig) -> Network:
        """Build the network of a configuration, initialised from torch's current random state."""
        return Network(config)

    def network(self) -> Network:
        """Return the network that evaluations and exports use."""
        return self.net

    def step(self, batch: Batch) -> Step:
        """Return the loss of a batch, whose gradients the loop computes, with projections and logs."""
        raise NotImplementedError

    def after_step(self, batch: Batch) -> None:
        """Update state after the optimiser's step; by default nothing happens."""

    def start_epoch(self, epoch: int, embed: Embed) -> Tensor | None:  # noqa: ARG002 - most methods need nothing here
        """Prepare an epoch before its first step; not called again when a training resumes within the epoch.

        May return the order of the epoch, int64 (n,): positions in the pre-training set, n at most ``num_images``.
        """
        return None

    @property
    def prepares_epochs(self) -> bool:
        """Whether the subclass defines ``start_epoch``; batches are then prepared only up to the end of the epoch."""
        return type(self).start_epoch is not Method.start_epoch

    def phase(self, step: int) -> Hashable:  # noqa: ARG002 - in most methods all steps are alike
        """Return what kind of step this is, if steps differ: a queue becomes active, prototypes start to train."""
        return None

    def diagnostics(self, projections: Sequence[Tensor]) -> dict[str, float]:  # noqa: ARG002 - few methods have any
        """Return further metrics by name, computed from ``Step.projections`` of all processes."""
        return {}
