"""Features and projections of a set of images, in one pass that all protocols share. F features, D projection."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from simclr_core.data.datasets import Images, normalise, to_float
from simclr_core.evals.frozen import frozen
from simclr_core.networks.network import Network

BATCH = 250
"""Images that go through the network at a time: few, so that a small network's maps stay in a processor's cache."""


@dataclass(frozen=True)
class Embeddings:
    """Of N images, on the CPU: features (N, F) and z (N, D), float32, and labels (N,).

    ``heads``: embeddings after inner layers of the projector, by their names, as far as they were asked for.
    """

    features: Tensor
    z: Tensor
    labels: Tensor
    heads: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Mapping[str, Tensor]], labels: Tensor) -> Embeddings:
        """From what ``embedded_batch`` gave, one batch after the other."""
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return cls(whole.pop("features"), whole.pop("z"), labels, whole)

    def of(self, name: str) -> Tensor:
        """``features``, ``z``, or one of ``heads``."""
        return {"features": self.features, "z": self.z, **self.heads}[name]


@dataclass(frozen=True)
class Reading:
    """How images come from their set to the network: S pixels a side, normalised, on a device, by worker processes."""

    image_size: int
    normalization: str
    device: torch.device
    num_workers: int = 0


def names_to_embed(embeddings: Iterable[str]) -> tuple[str, ...]:
    """What a pass over images is to give: features and z, and whatever else is read."""
    return tuple(dict.fromkeys(("features", "z", *embeddings)))


@torch.inference_mode()
def embed(
    network: Network,
    images: Images,
    normalization: str,
    device: torch.device,
    *,
    rows: Tensor | None = None,
    num_workers: int = 0,
    names: Sequence[str] = ("features", "z"),
) -> Embeddings:
    """By the network in eval mode, of whole un-augmented images: of ``rows`` (n,), or of all.

    ``names`` has features and z, and names of inner layers.
    """
    rows = torch.arange(len(images)) if rows is None else rows
    network = frozen(network)
    with contextlib.closing(images.whole(rows, BATCH, num_workers)) as batches:
        parts = [
            embedded_batch(network, normalise(to_float(batch.to(device)), normalization), names) for batch in batches
        ]
    return Embeddings.joined(parts, images.labels[rows])


def embedded_batch(network: Network, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """``Network.embed`` of normalised images (B, 3, S, S), brought to the CPU."""
    return {name: part.cpu() for name, part in network.embed(images, names).items()}


def sha256_of(module: nn.Module) -> str:
    """Hash of every parameter and buffer: two equal hashes prove that an evaluation left the network alone."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
