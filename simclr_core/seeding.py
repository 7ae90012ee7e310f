"""Random generators named by what they are for, so that no draw depends on the draws made before it."""

from __future__ import annotations

import hashlib
import json

import torch


def derive(seed: int, *names: str | int) -> int:
    """63 bits that depend on the seed and the names alone: the same on every machine and in every process."""
    text = json.dumps([seed, *names], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator seeded by ``derive(seed, *names)``. CPU and GPU generators give different numbers."""
    return torch.Generator(device=device).manual_seed(derive(seed, *names))
