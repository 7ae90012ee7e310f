"""AutoAugment (SimCLR Table 1) with torchvision's policies and operations; the caller provides the random draws.

torchvision fills the area that a rotation, a shear or a translation uncovers with black; the authors of AutoAugment
used gray.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from simclr_core.imaging.boxes import uniform
from simclr_core.imaging.color import to_uint8

_NEVER, _ALWAYS = 2.0, -1.0


def draw_autoaugment(count: int, source: torch.Generator) -> dict[str, Tensor]:
    """Draw ``policy`` (count,), one of 25 pairs of operations, and ``chances`` and ``signs`` (count, 2) of the two.

    An operation is applied if its chance, uniform in [0, 1), does not exceed the policy's probability. The sign, 0
    (negative) or 1, gives the direction of operations that have one.
    """
    return {
        "policy": (25 * uniform(count, source)).long(),
        "chances": uniform(2 * count, source).view(count, 2),
        "signs": (2 * uniform(2 * count, source)).long().view(count, 2),
    }


def autoaugment(images: Tensor, name: str, policy: Tensor, chances: Tensor, signs: Tensor) -> Tensor:
    """Round images (B, 3, H, W) in [0, 1] to whole numbers 0-255 and transform each image by its own row of the draws.

    ``name``: imagenet or cifar10. Images with the same policy, the same applied operations and the same signs are
    transformed in one call.
    """
    augment: Any = AutoAugment(AutoAugmentPolicy(name))
    probabilities = torch.tensor([[p for _, p, _ in pair] for pair in augment.policies], dtype=torch.float64)
    applies = chances.cpu() <= probabilities[policy.cpu()]
    keys = torch.cat([policy.cpu()[:, None], applies, signs.cpu() * applies], dim=1)
    kinds, kind_of = keys.unique(dim=0, return_inverse=True)
    out = to_uint8(images)
    for number, (pair, first, second, *sign) in enumerate(kinds.tolist()):
        rows = (kind_of == number).nonzero().squeeze(1).to(out.device)
        drawn = (pair, [_ALWAYS if applied else _NEVER for applied in (first, second)], sign)
        augment.get_params = lambda _, drawn=drawn: drawn
        out[rows] = augment(out[rows])
    return out.float().div_(255)
