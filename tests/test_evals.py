"""Evaluation protocols against brute force, scikit-learn and facts that must hold."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from simclr_core.evals.knn import knn_scores, knn_top1
from simclr_core.evals.linear import L2_LEVELS, linear_top1


def clusters(count: int, seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Three overlapping Gaussian clusters in six dimensions."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 6, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % 3
    return centres[labels] + spread * torch.randn(count, 6, generator=source), labels


def brute_force(bank: Tensor, bank_labels: Tensor, query: Tensor, k: int, temperature: float) -> int:
    cosines = [float(row @ query / row.norm() / query.norm()) for row in bank]
    scores: Counter[int] = Counter()
    for i in sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]:
        scores[int(bank_labels[i])] += math.exp(cosines[i] / temperature)
    return scores.most_common(1)[0][0]


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (5, 0.07), (20, 1.0), (500, 0.1)])
def test_knn_is_the_brute_force_vote(k: int, temperature: float) -> None:
    (bank, bank_labels), (queries, _) = clusters(60, 0), clusters(50, 1)
    predicted = knn_scores(bank, bank_labels, queries, 3, k=k, temperature=temperature).argmax(1).tolist()

    assert predicted == [brute_force(bank, bank_labels, query, k, temperature) for query in queries]


def test_knn_finds_itself_and_sees_neither_order_nor_length() -> None:
    bank, labels = clusters(60, 0)
    queries, query_labels = clusters(40, 1)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    score = knn_top1(bank, labels, queries, query_labels, k=10, temperature=0.1)

    assert knn_top1(bank, labels, bank, labels, k=1, temperature=0.1) == 100
    assert knn_top1(bank[order], labels[order], queries, query_labels, k=10, temperature=0.1) == score
    assert knn_top1(bank, labels, 10 * queries, query_labels, k=10, temperature=0.1) == score


def test_knn_in_chunks_is_knn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (bank, labels), (queries, _) = clusters(60, 0), clusters(50, 1)
    whole = knn_scores(bank, labels, queries, 3, k=10, temperature=0.1)
    monkeypatch.setattr("simclr_core.evals.knn._MAX_SIMILARITIES", 60 * 7)

    torch.testing.assert_close(knn_scores(bank, labels, queries, 3, k=10, temperature=0.1), whole)


def test_linear_is_scikit_learns_at_the_chosen_regularisation() -> None:
    (train, train_labels), (test, test_labels) = clusters(600, 0, 2.0), clusters(300, 1, 2.0)
    result = linear_top1(train, train_labels, test, test_labels)
    scaler = StandardScaler().fit(train.double())
    reference = LogisticRegression(C=1 / (result.l2 * 600), tol=1e-8, max_iter=1000)
    reference.fit(scaler.transform(train.double()), train_labels)

    assert result.l2 in L2_LEVELS
    expected = 100 * reference.score(scaler.transform(test.double()), test_labels)
    assert result.top1 == pytest.approx(expected, abs=100 / 300 + 1e-9)


def test_regularisation_is_chosen_without_the_test_set() -> None:
    (train, train_labels), (test, _) = clusters(120, 0), clusters(60, 1)
    source = torch.Generator().manual_seed(0)
    chosen = {linear_top1(train, train_labels, test, torch.randint(3, (60,), generator=source)).l2 for _ in range(5)}

    assert len(chosen) == 1


def test_linear_is_deterministic_and_ignores_scale_shift_and_constant_columns() -> None:
    (train, train_labels), (test, test_labels) = clusters(300, 0, 2.0), clusters(200, 1, 2.0)
    plain = linear_top1(train, train_labels, test, test_labels)

    def moved(x: Tensor) -> Tensor:
        return torch.cat([x * 100 + 7, torch.full((len(x), 1), 3.0)], dim=1)

    assert linear_top1(train, train_labels, test, test_labels) == plain
    again = linear_top1(moved(train), train_labels, moved(test), test_labels)
    assert again.top1 == pytest.approx(plain.top1, abs=0.51)


def test_informative_labels_are_learnt_and_noise_is_chance() -> None:
    (train, train_labels), (test, test_labels) = clusters(900, 0, 0.1), clusters(300, 1, 0.1)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(1200, 6)).astype("float32"))

    assert linear_top1(train, train_labels, test, test_labels).top1 == 100
    assert linear_top1(noise[:900], train_labels, noise[900:], test_labels).top1 == pytest.approx(100 / 3, abs=10)
