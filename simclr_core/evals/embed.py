"""Features and projections of a set of images, in one pass that all protocols share. F features, D projection."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simclr_core.data.datasets import Images, normalise, to_float
from simclr_core.evals.frozen import frozen
from simclr_core.networks.network import Network

BATCH = 250
"""Images that go through the network at a time: few, so that a small network's maps stay in a processor's cache."""


@dataclass(frozen=True)
class Embeddings:
    """Of N images, on the CPU: features (N, F) and z (N, D), float32, and labels (N,)."""

    features: Tensor
    z: Tensor
    labels: Tensor

    def of(self, name: str) -> Tensor:
        """``features`` or ``z``."""
        return self.features if name == "features" else self.z


@dataclass(frozen=True)
class Reading:
    """How images come from their set to the network: S pixels a side, normalised, on a device, by worker processes."""

    image_size: int
    normalization: str
    device: torch.device
    num_workers: int = 0


@torch.inference_mode()
def embed(
    network: Network,
    images: Images,
    normalization: str,
    device: torch.device,
    *,
    rows: Tensor | None = None,
    num_workers: int = 0,
) -> Embeddings:
    """By the network in eval mode, of whole un-augmented images: of ``rows`` (n,), or of all."""
    rows = torch.arange(len(images)) if rows is None else rows
    network = frozen(network)
    features, z = [], []
    with contextlib.closing(images.whole(rows, BATCH, num_workers)) as batches:
        for batch in batches:
            batch_features = network.features(normalise(to_float(batch.to(device)), normalization))
            features.append(batch_features.cpu())
            z.append(network.projector(batch_features).cpu())
    return Embeddings(torch.cat(features), torch.cat(z), images.labels[rows])


def sha256_of(module: nn.Module) -> str:
    """Hash of every parameter and buffer: two equal hashes prove that an evaluation left the network alone."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
