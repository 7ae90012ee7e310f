"""Objectives. B images in a batch, N = 2B views, D projection."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def nt_xent(z_1: Tensor, z_2: Tensor, temperature: float) -> Tensor:
    """NT-Xent, the normalised temperature-scaled cross entropy (SimCLR Eq. 1, Algorithm 1): (B, D), (B, D) -> scalar.

    For each of the N views: cross entropy of picking its partner among the other N - 1 views by cosine similarity
    over temperature; the mean over the N views. The released code returns the sum of the means over either view,
    which is twice this.
    """
    z = functional.normalize(torch.cat([z_1, z_2]), dim=1)  # (N, D)
    logits = z @ z.T / temperature  # (N, N)
    logits.fill_diagonal_(float("-inf"))
    num_images = len(z_1)
    partner = torch.arange(2 * num_images, device=z.device).roll(num_images)
    return functional.cross_entropy(logits, partner)


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """D(p, z) = -cos(p, z), the mean over the batch (SimSiam Eq. 1): (B, D), (B, D) -> scalar in [-1, 1]."""
    return -functional.cosine_similarity(p, z, dim=1).mean()
