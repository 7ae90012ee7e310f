"""AutoAugment against torchvision's own at the same draws, and how often what is applied."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms import autoaugment as torchvision_s

from simclr_core.data.datasets import to_float
from simclr_core.imaging.autoaugment import autoaugment, draw_autoaugment
from simclr_core.seeding import generator

NAMES = ("imagenet", "cifar10")
DRAWS = 20_000


def draws(count: int) -> dict[str, Tensor]:
    return draw_autoaugment(count, generator(0, "test"))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_torchvision_s_at_the_same_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 150
    shape = (count, 3, 24, 24)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images[::2] = images[::2, :, :6, :6].repeat_interleave(4, 2).repeat_interleave(4, 3)  # not only noise
    drawn = draws(count)
    ours = autoaugment(to_float(images), name, **drawn)
    policy = AutoAugment(AutoAugmentPolicy(name))
    changed = 0
    for image, out, pair, chances, signs in zip(images, ours, *drawn.values(), strict=True):
        monkeypatch.setattr(AutoAugment, "get_params", lambda *_, d=(int(pair), chances, signs): d)
        expected = policy(image)
        assert torch.equal(out, to_float(expected))
        changed += not torch.equal(expected, image)

    assert changed > count / 2


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_applied_as_often_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5000
    applied: Counter[tuple[str, float]] = Counter()

    def record(images: Tensor, operation: str, magnitude: float, **_: Any) -> Tensor:
        applied[operation, round(magnitude, 3)] += len(images)
        return images

    monkeypatch.setattr(torchvision_s, "_apply_op", record)
    autoaugment(torch.zeros(count, 3, 8, 8), name, **draws(count))
    policy = AutoAugment(AutoAugmentPolicy(name))
    space = policy._augmentation_space(10, (8, 8))
    expected: Counter[tuple[str, float]] = Counter()
    for pair in policy.policies:
        for operation, probability, level in pair:
            magnitudes, signed = space[operation]
            magnitude = 0.0 if level is None else float(magnitudes[level])
            for direction in (1, -1) if signed else (1,):
                expected[operation, round(direction * magnitude, 3)] += probability / 25 / (2 if signed else 1)

    assert set(applied) == {key for key, probability in expected.items() if probability}
    for key, probability in expected.items():
        assert abs(applied[key] - count * probability) <= 4 * (count * probability) ** 0.5, key


def test_draws_are_uniform_and_independent() -> None:
    drawn = draws(DRAWS)
    policy, chances, signs = drawn["policy"], drawn["chances"], drawn["signs"]

    assert stats.chisquare(policy.bincount(minlength=25)).pvalue > 0.001
    assert stats.chisquare((policy * 4 + signs[:, 0] * 2 + signs[:, 1]).bincount(minlength=100)).pvalue > 0.001
    for column in (0, 1):
        assert stats.kstest(chances[:, column], "uniform").pvalue > 0.001
    columns = torch.cat([policy[:, None], chances, signs], dim=1)
    assert (torch.corrcoef(columns.T) - torch.eye(5)).abs().max() < 4 / DRAWS**0.5
