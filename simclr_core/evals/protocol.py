"""What an evaluation protocol is: it scores the classes of test images by what it makes of labelled ones.

Which protocols there are, and what is known of each without torch, is in ``simclr_core.config.protocols``.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from simclr_core.config.protocols import PROTOCOLS
from simclr_core.config.schema import EvalConfig
from simclr_core.evals.material import Material
from simclr_core.networks.network import Network

Tell = Callable[[int, int], None]
"""Called with the epochs done and the epochs in all."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What a protocol makes of its material."""

    scores: Tensor  # of the C classes of M test images (M, C), on the CPU; NaN where a training has diverged
    details: Mapping[str, Any] = field(default_factory=dict)  # what else is written down, by its name in the result
    answers: Tensor | None = None  # the true ones (M,), where they are not the classes of the test images
    weights: Mapping[str, Tensor] | None = None  # of the network that scores, where an evaluation may keep it


class Protocol(abc.ABC):
    """An evaluation and its material.

    No protocol reads the labels of the test images: what it trains and chooses cannot depend on them. The network of
    the material stays as it is.
    """

    def __init__(self, evaluation: EvalConfig, material: Material) -> None:
        self.evaluation = evaluation
        self.material = material

    @abc.abstractmethod
    def score(self, tell: Tell) -> Scored:
        """Train what has to be trained, and score the test images."""


def build_protocol(evaluation: EvalConfig, material: Material) -> Protocol:
    """The protocol that an evaluation names."""
    module, _, name = PROTOCOLS[evaluation.protocol].module.partition(":")
    protocol: Protocol = getattr(importlib.import_module(module), name)(evaluation, material)
    return protocol


def scoring_weights(network: Network, embedding: str, classifier: nn.Linear) -> dict[str, Tensor]:
    """The weights of a network that scores: ``backbone.*``, ``projector.*`` up to the embedding, ``classifier.*``."""
    parts = {"backbone": network.backbone, "projector": network.head(embedding), "classifier": classifier}
    return nn.ModuleDict(parts).state_dict()
