"""Losses against closed forms and a slow transcription of the paper's algorithm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from simclr_core.config.methods import SimCLRConfig
from simclr_core.methods import losses
from simclr_core.methods.losses import (
    contrastive_accuracy_and_entropy,
    cross_entropy_similarity,
    margin_triplet,
    negative_cosine,
    nt_logistic,
    nt_xent,
    nt_xent_other_view,
    simclr_loss,
)


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


# Batches spread over processes


LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "nt_xent": lambda *z, **rows: nt_xent(*z, 0.3, **rows),
    "nt_xent by dot product": lambda *z, **rows: nt_xent(*z, 2.0, normalize=False, **rows),
    "nt_xent, other view": lambda *z, **rows: nt_xent_other_view(*z, 0.3, **rows),
    "nt_xent, other view, by dot product": lambda *z, **rows: nt_xent_other_view(*z, 2.0, normalize=False, **rows),
    "nt_logistic": lambda *z, **rows: nt_logistic(*z, 0.3, **rows),
    "nt_logistic, semi-hard": lambda *z, **rows: nt_logistic(*z, 0.3, semi_hard=True, **rows),
    "margin_triplet": lambda *z, **rows: margin_triplet(*z, 0.4, **rows),
    "margin_triplet, semi-hard": lambda *z, **rows: margin_triplet(*z, 0.4, semi_hard=True, **rows),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@every_loss
@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(
    loss: Callable[..., torch.Tensor], num_processes: int
) -> None:
    z_1, z_2 = gaussian(6, 5).requires_grad_(), gaussian(6, 5, seed=1).requires_grad_()
    share = 6 // num_processes
    shares = [
        loss(z_1[first : first + share], z_2[first : first + share], keys=(z_1, z_2), first_key=first)
        for first in range(0, 6, share)
    ]

    together = loss(z_1, z_2)
    spread = torch.stack(shares).mean()
    torch.testing.assert_close(spread, together)
    for ours, theirs in zip(
        torch.autograd.grad(spread, (z_1, z_2)), torch.autograd.grad(together, (z_1, z_2)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@every_loss
def test_gradients_are_numerical(loss: Callable[..., torch.Tensor]) -> None:
    assert torch.autograd.gradcheck(loss, (gaussian(4, 3).requires_grad_(), gaussian(4, 3, seed=1).requires_grad_()))


@every_loss
def test_losses_do_not_see_which_view_is_first(loss: Callable[..., torch.Tensor]) -> None:
    z_1, z_2 = gaussian(5, 4), gaussian(5, 4, seed=1)

    torch.testing.assert_close(loss(z_2, z_1), loss(z_1, z_2))


# Large batches, in blocks of rows


@every_loss
@pytest.mark.parametrize("own", [slice(None), slice(8, 16)], ids=["alone", "second of three processes"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_blocks_give_the_loss_and_the_gradients_of_the_whole(
    loss: Callable[..., torch.Tensor],
    own: slice,
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of one to seven rows; the last is smaller. A factor after the loss shows that gradients carry it."""
    z_1, z_2, keys_1, keys_2 = (gaussian(24, 5, seed=seed).to(dtype).requires_grad_() for seed in range(4))

    def outcome() -> tuple[torch.Tensor, ...]:
        rows = {} if own == slice(None) else {"keys": (keys_1, keys_2), "first_key": own.start}
        value = 3 * loss(z_1[own], z_2[own], **rows)
        leaves = (z_1, z_2, keys_1, keys_2) if rows else (z_1, z_2)
        return value, *torch.autograd.grad(value, leaves)

    whole = outcome()
    for most in (1, 24 * 3, 48 * 7):
        monkeypatch.setattr(losses, "LARGEST_MATRIX", most)
        for ours, expected in zip(outcome(), whole, strict=True):
            torch.testing.assert_close(ours, expected, atol=tolerance, rtol=tolerance)


def test_accuracy_and_entropy_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    z_1, z_2 = gaussian(24, 5), gaussian(24, 5) + 0.5 * gaussian(24, 5, seed=1)
    whole = contrastive_accuracy_and_entropy(z_1, z_2, 0.2)
    monkeypatch.setattr(losses, "LARGEST_MATRIX", 24 * 7)

    assert 0 < whole[0] < 100
    assert contrastive_accuracy_and_entropy(z_1, z_2, 0.2) == pytest.approx(whole, rel=1e-12)


def peak_mib(function: Callable[[], object], trace: Path) -> float:
    """The most that torch's allocator held at a time, beyond what it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function()
    found.export_chrome_trace(str(trace))
    events = [event for event in json.loads(trace.read_text("utf-8"))["traceEvents"] if event["name"] == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    held = [event["args"]["Total Allocated"] for event in events]
    return (max(held) - held[0] + events[0]["args"]["Bytes"]) / 2**20


@every_loss
def test_blocks_bound_the_memory(
    loss: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A matrix of 2048 x 2048 has 16 MiB and one of 1024 x 1024 has 4: three of the one, five or more of the other."""
    z_1, z_2 = (torch.randn(1024, 4, requires_grad=True) for _ in range(2))
    whole = peak_mib(lambda: loss(z_1, z_2).backward(), tmp_path / "trace.json")
    monkeypatch.setattr(losses, "LARGEST_MATRIX", 2**16)  # 0.25 MiB
    blocks = peak_mib(lambda: loss(z_1, z_2).backward(), tmp_path / "trace.json")

    assert whole > 16
    assert blocks < 1.75


def test_a_matrix_of_2048_views_is_whole() -> None:
    """Blocks add up in another order; up to here, results are those of the time before there were blocks."""
    assert losses.LARGEST_MATRIX == 2048**2


# Table 4's losses, against double loops


def cosines(z_1: torch.Tensor, z_2: torch.Tensor) -> list[list[float]]:
    return (functional.normalize(z_1) @ functional.normalize(z_2).T).tolist()


def slow_loss(z_1: torch.Tensor, z_2: torch.Tensor, cost: Callable[[float, list[float]], float]) -> float:
    """The mean of ``cost(positive, negatives)`` over the anchors of both views, negatives from the other view."""
    total = 0.0
    for similarities in (cosines(z_1, z_2), cosines(z_2, z_1)):
        for i, row in enumerate(similarities):
            total += cost(row[i], [s for j, s in enumerate(row) if j != i])
    return total / (2 * len(z_1))


@pytest.mark.parametrize("num_images", [2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("normalize", [True, False])
def test_nt_xent_with_the_other_view_is_equation_1_over_those_candidates(
    num_images: int, temperature: float, normalize: bool
) -> None:
    z_1, z_2 = gaussian(num_images, 3), gaussian(num_images, 3, seed=1)

    def cost(positive: float, negatives: list[float]) -> float:
        candidates = [math.exp(s / temperature) for s in (positive, *negatives)]
        return -math.log(math.exp(positive / temperature) / sum(candidates))

    expected = slow_loss(z_1, z_2, cost)
    if not normalize:  # the dot products of vectors of length 3 are 9 times their cosines
        z_1, z_2, temperature = 3 * functional.normalize(z_1), 3 * functional.normalize(z_2), 9 * temperature
    loss = nt_xent_other_view(z_1, z_2, temperature, normalize=normalize)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert loss < nt_xent(z_1, z_2, temperature, normalize=normalize)  # which has these candidates and B - 1 more


@pytest.mark.parametrize("num_images", [2, 8])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent_with_the_other_view_has_its_closed_forms(num_images: int, temperature: float) -> None:
    """B candidates and B - 1 negatives, where all views have 2B - 1 and 2B - 2."""
    equal = torch.ones(num_images, 4, dtype=torch.float64)
    orthogonal = torch.eye(num_images, dtype=torch.float64)

    assert nt_xent_other_view(equal, equal, temperature).item() == pytest.approx(math.log(num_images), rel=1e-12)
    expected = math.log(1 + (num_images - 1) * math.exp(-1 / temperature))
    assert nt_xent_other_view(orthogonal, orthogonal, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_nt_xent_with_the_other_view_does_not_see_views_of_its_own_kind() -> None:
    """Equal views 1 and orthogonal views 2, all orthogonal to each other: the candidates of each anchor are equal."""
    basis = torch.eye(5, dtype=torch.float64)
    z_1, z_2 = basis[:1].expand(4, 5), basis[1:]

    assert nt_xent_other_view(z_1, z_2, 0.1).item() == pytest.approx(math.log(4), rel=1e-12)
    assert nt_xent(z_1, z_2, 0.1).item() > 4


def test_nt_xent_with_the_other_view_is_exact_in_float32_where_exponentials_are_not() -> None:
    """At temperature .005 the exponential of a cosine of 1 exceeds float32; a loss of 1e-6 is not rounded to 0."""
    orthogonal = torch.eye(4)

    assert nt_xent_other_view(-orthogonal, orthogonal, 0.005).item() == pytest.approx(200 + math.log(3), rel=1e-6)
    assert nt_xent_other_view(orthogonal, orthogonal, 1 / 14).item() == pytest.approx(3 * math.exp(-14), rel=0.05)


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


@pytest.mark.parametrize("num_images", [2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_logistic_is_its_formula(num_images: int, temperature: float) -> None:
    z_1, z_2 = gaussian(num_images, 3), gaussian(num_images, 3, seed=1)

    def cost(positive: float, negatives: list[float]) -> float:
        repulsion = [-log_sigmoid(-s / temperature) for s in negatives]
        return -log_sigmoid(positive / temperature) + sum(repulsion) / len(repulsion)

    def semi_hard_cost(positive: float, negatives: list[float]) -> float:
        below = [s for s in negatives if s < positive]
        return -log_sigmoid(positive / temperature) - log_sigmoid(-max(below) / temperature) if below else 0.0

    assert nt_logistic(z_1, z_2, temperature).item() == pytest.approx(slow_loss(z_1, z_2, cost), rel=1e-12)
    mined = nt_logistic(z_1, z_2, temperature, semi_hard=True)
    assert mined.item() == pytest.approx(slow_loss(z_1, z_2, semi_hard_cost), rel=1e-12)


@pytest.mark.parametrize("num_images", [2, 7])
@pytest.mark.parametrize("margin", [0.0, 0.4, 1.6])
def test_margin_triplet_is_its_formula(num_images: int, margin: float) -> None:
    z_1, z_2 = gaussian(num_images, 3), gaussian(num_images, 3, seed=1)

    def cost(positive: float, negatives: list[float]) -> float:
        return sum(max(s - positive + margin, 0) for s in negatives) / len(negatives)

    def semi_hard_cost(positive: float, negatives: list[float]) -> float:
        within = [s for s in negatives if positive - margin < s < positive]
        return max(within) - positive + margin if within else 0.0

    assert margin_triplet(z_1, z_2, margin).item() == pytest.approx(slow_loss(z_1, z_2, cost), rel=1e-12)
    mined = margin_triplet(z_1, z_2, margin, semi_hard=True)
    assert mined.item() == pytest.approx(slow_loss(z_1, z_2, semi_hard_cost), rel=1e-12, abs=1e-15)


def test_where_no_negative_is_semi_hard_there_is_no_loss_and_no_gradient() -> None:
    """The partners are opposite and the negatives equal: no negative is less similar than the positive."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    for mined in (LOSSES["nt_logistic, semi-hard"], LOSSES["margin_triplet, semi-hard"]):
        z_1, z_2 = z.clone().requires_grad_(), (-z).clone().requires_grad_()
        loss = mined(z_1, z_2)
        loss.backward()

        assert loss.item() == 0
        assert z_1.grad is not None
        assert z_2.grad is not None
        assert not z_1.grad.any()
        assert not z_2.grad.any()


def test_orthogonal_pairs_cost_each_loss_its_closed_form() -> None:
    """Positives are at cosine 1, negatives at 0."""
    z = torch.eye(6, dtype=torch.float64)
    logistic = math.log(1 + math.exp(-2)) + math.log(2)

    assert nt_logistic(z, z, 0.5).item() == pytest.approx(logistic, rel=1e-12)
    assert nt_logistic(z, z, 0.5, semi_hard=True).item() == pytest.approx(logistic, rel=1e-12)
    assert margin_triplet(z, z, 0.8).item() == 0
    assert margin_triplet(z, z, 1.6).item() == pytest.approx(0.6)
    assert margin_triplet(z, z, 1.6, semi_hard=True).item() == pytest.approx(0.6)
    assert margin_triplet(z, z, 0.8, semi_hard=True).item() == 0


# NT-Xent without normalisation, and Table 5's accuracy and entropy


def test_without_normalisation_unit_vectors_cost_the_same_and_lengths_matter() -> None:
    z_1, z_2 = functional.normalize(gaussian(6, 5)), functional.normalize(gaussian(6, 5, seed=1))
    raw = nt_xent(z_1, z_2, 0.4, normalize=False)

    torch.testing.assert_close(raw, nt_xent(z_1, z_2, 0.4))
    torch.testing.assert_close(nt_xent(3 * z_1, 3 * z_2, 9 * 0.4, normalize=False), raw)
    assert nt_xent(3 * z_1, 3 * z_2, 0.4, normalize=False) > raw + 1


def test_accuracy_and_entropy_of_two_images_by_hand() -> None:
    """View 1 of the first image is nearest its own view 2; that of the second has both at one cosine, so it ties."""
    z_1 = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    z_2 = torch.tensor([[2.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    accuracy, entropy = contrastive_accuracy_and_entropy(z_1, z_2, 0.5)
    p = 1 / (1 + math.exp(-2))  # of cosines 1 and 0 at temperature .5

    assert accuracy in {50, 100}
    assert entropy == pytest.approx((-p * math.log(p) - (1 - p) * math.log(1 - p) + math.log(2)) / 2, abs=1e-7)
    accuracy, _entropy = contrastive_accuracy_and_entropy(z_1.flip(1), z_2, 0.5, normalize=False)
    assert accuracy == 50  # by dot products: (0, 5) against (2, 5)


def test_entropy_is_at_most_the_log_of_the_batch() -> None:
    z_1, z_2 = gaussian(64, 256), gaussian(64, 256, seed=1)

    assert contrastive_accuracy_and_entropy(z_1, z_2, 100.0)[1] == pytest.approx(math.log(64), abs=1e-3)
    assert contrastive_accuracy_and_entropy(z_1, z_2, 0.1)[1] < math.log(64)


def test_the_configuration_chooses_the_loss() -> None:
    z_1, z_2 = gaussian(5, 4), gaussian(5, 4, seed=1)
    chosen = [
        (SimCLRConfig(temperature=0.3), nt_xent(z_1, z_2, 0.3)),
        (SimCLRConfig(temperature=3.0, normalize=False), nt_xent(z_1, z_2, 3.0, normalize=False)),
        (SimCLRConfig(temperature=0.3, negatives="other_view"), nt_xent_other_view(z_1, z_2, 0.3)),
        (
            SimCLRConfig(temperature=3.0, normalize=False, negatives="other_view"),
            nt_xent_other_view(z_1, z_2, 3.0, normalize=False),
        ),
        (SimCLRConfig(loss="nt_logistic", temperature=0.3), nt_logistic(z_1, z_2, 0.3)),
        (SimCLRConfig(loss="nt_logistic", semi_hard=True), nt_logistic(z_1, z_2, 0.1, semi_hard=True)),
        (SimCLRConfig(loss="margin_triplet", margin=0.4), margin_triplet(z_1, z_2, 0.4)),
        (SimCLRConfig(loss="margin_triplet", semi_hard=True), margin_triplet(z_1, z_2, 0.8, semi_hard=True)),
    ]
    for config, loss in chosen:
        assert torch.equal(simclr_loss(config, z_1, z_2), loss)
        share = simclr_loss(config, z_1[2:], z_2[2:], keys=(z_1, z_2), first_key=2)
        assert not torch.equal(share, loss)
    assert len({loss.item() for _config, loss in chosen}) == len(chosen)


# SimSiam's cross entropy


def test_cross_entropy_similarity_is_least_at_the_entropy() -> None:
    z = gaussian(5, 7)
    entropy = -(z.softmax(1) * z.log_softmax(1)).sum(1).mean().item()

    assert cross_entropy_similarity(z, z).item() == pytest.approx(entropy, rel=1e-12)
    assert cross_entropy_similarity(z + 3, z).item() == pytest.approx(entropy, rel=1e-12)
    assert cross_entropy_similarity(gaussian(5, 7, seed=1), z).item() > entropy
    constant = torch.full((5, 7), 0.2, dtype=torch.float64)
    assert cross_entropy_similarity(constant, constant).item() == pytest.approx(math.log(7), rel=1e-12)


def test_cross_entropy_similarity_is_its_formula() -> None:
    p, z = gaussian(4, 3), gaussian(4, 3, seed=1)
    total = 0.0
    for p_row, z_row in zip(p.tolist(), z.tolist(), strict=True):
        for i in range(3):
            weight = math.exp(z_row[i]) / sum(map(math.exp, z_row))
            total -= weight * math.log(math.exp(p_row[i]) / sum(map(math.exp, p_row)))

    assert cross_entropy_similarity(p, z).item() == pytest.approx(total / 4, rel=1e-12)
    assert torch.autograd.gradcheck(lambda p: cross_entropy_similarity(p, z), p.requires_grad_())
