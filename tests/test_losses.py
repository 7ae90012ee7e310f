"""Losses against closed forms and a slow transcription of the paper's algorithm."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from simclr_core.losses import negative_cosine, nt_xent


def algorithm_1(z_1: torch.Tensor, z_2: torch.Tensor, temperature: float) -> float:
    """SimCLR's Algorithm 1, transcribed with its own loops: views 2k-1 and 2k are partners."""
    num_images = len(z_1)
    z = [row for pair in zip(z_1.tolist(), z_2.tolist(), strict=True) for row in pair]

    def similarity(i: int, j: int) -> float:
        dot = sum(a * b for a, b in zip(z[i], z[j], strict=True))
        return dot / math.sqrt(sum(a * a for a in z[i])) / math.sqrt(sum(b * b for b in z[j]))

    def pair_loss(i: int, j: int) -> float:
        others = sum(math.exp(similarity(i, k) / temperature) for k in range(2 * num_images) if k != i)
        return -math.log(math.exp(similarity(i, j) / temperature) / others)

    total = sum(pair_loss(2 * k, 2 * k + 1) + pair_loss(2 * k + 1, 2 * k) for k in range(num_images))
    return total / (2 * num_images)


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("num_images", [2, 5, 16])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_algorithm_1(num_images: int, temperature: float) -> None:
    z_1, z_2 = gaussian(num_images, 7), gaussian(num_images, 7, seed=1)

    assert nt_xent(z_1, z_2, temperature).item() == pytest.approx(algorithm_1(z_1, z_2, temperature), rel=1e-12)


@pytest.mark.parametrize("num_images", [2, 8])
def test_equal_embeddings_cost_log_of_the_number_of_candidates(num_images: int) -> None:
    z = torch.ones(num_images, 4, dtype=torch.float64)

    assert nt_xent(z, z, 0.5).item() == pytest.approx(math.log(2 * num_images - 1), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_orthogonal_pairs_have_their_closed_form(temperature: float) -> None:
    z = torch.eye(6, dtype=torch.float64)

    expected = math.log(1 + 10 * math.exp(-1 / temperature))
    assert nt_xent(z, z, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_a_simplex_is_the_minimum() -> None:
    num_images, temperature = 5, 0.5
    simplex = torch.eye(num_images, dtype=torch.float64) - 1 / num_images
    floor = math.log(1 + (2 * num_images - 2) * math.exp((-1 / (num_images - 1) - 1) / temperature))

    assert nt_xent(simplex, simplex, temperature).item() == pytest.approx(floor, rel=1e-12)
    nearby = simplex + 0.05 * gaussian(num_images, num_images)
    assert nt_xent(nearby, simplex, temperature).item() > floor


def test_nt_xent_does_not_see_lengths_order_or_which_view_is_first() -> None:
    z_1, z_2 = gaussian(6, 5), gaussian(6, 5, seed=1)
    loss = nt_xent(z_1, z_2, 0.2)
    order = torch.tensor([3, 1, 5, 0, 2, 4])

    torch.testing.assert_close(nt_xent(z_2, z_1, 0.2), loss)
    torch.testing.assert_close(nt_xent(z_1[order], z_2[order], 0.2), loss)
    torch.testing.assert_close(nt_xent(z_1 * gaussian(6, 1, seed=2).abs(), z_2, 0.2), loss)


def test_nt_xent_gradient_is_numerical_and_orthogonal_to_z() -> None:
    z_1, z_2 = gaussian(3, 4).requires_grad_(), gaussian(3, 4, seed=1).requires_grad_()

    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z_1, z_2))
    (gradient,) = torch.autograd.grad(nt_xent(z_1, z_2, 0.3), z_1)
    torch.testing.assert_close((gradient * z_1).sum(1), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_negative_cosine_closed_forms() -> None:
    z = gaussian(5, 4)

    assert negative_cosine(3 * z, z).item() == pytest.approx(-1)
    assert negative_cosine(-z, z).item() == pytest.approx(1)
    squared_distance = (functional.normalize(z) - functional.normalize(gaussian(5, 4, seed=1))).square().sum(1).mean()
    assert negative_cosine(z, gaussian(5, 4, seed=1)).item() == pytest.approx(squared_distance.item() / 2 - 1)
