"""Evaluation protocols against brute force, scikit-learn and facts that must hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from simclr_core.config.options import override
from simclr_core.config.schema import EvalConfig
from simclr_core.evals.knn import knn_scores, nearest
from simclr_core.evals.linear import L2_LEVELS, LinearClassifier, fit_linear
from simclr_core.evals.logistic import Principal, minimiser
from simclr_core.evals.score import score
from simclr_core.evals.standardise import Standardise
from simclr_core.evals.transform_probe import fit_probe


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


def knn_top1(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int) -> float | None:
    return score(knn_scores(bank, bank_labels, queries, 3, k=k, temperature=0.1), labels).top1


def test_knn_finds_itself_and_sees_neither_order_nor_length() -> None:
    bank, labels = clusters(60, 0)
    queries, query_labels = clusters(40, 1)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    top1 = knn_top1(bank, labels, queries, query_labels, k=10)

    assert knn_top1(bank, labels, bank, labels, k=1) == 100
    assert knn_top1(bank[order], labels[order], queries, query_labels, k=10) == top1
    assert knn_top1(bank, labels, 10 * queries, query_labels, k=10) == top1


@pytest.mark.parametrize("k", [1, 7, 60])
def test_nearest_are_those_of_topk(k: int) -> None:
    similarities = torch.randn(50, 60, generator=torch.Generator().manual_seed(0))
    expected = similarities.topk(k, dim=1).indices.sort(dim=1).values

    assert nearest(similarities.numpy(), k).tolist() == expected.tolist()


def test_of_equally_near_images_the_first_count() -> None:
    """Whatever the processor: a bank in which every image is there three times."""
    similarities = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).repeat(1, 3)
    for k in (1, 4, 31, 90):
        for row, found in zip(similarities.tolist(), nearest(similarities.numpy(), k).tolist(), strict=True):
            assert found == sorted(sorted(range(90), key=lambda column: (-row[column], column))[:k])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_features_that_are_not_finite_have_no_neighbours(value: float, where: int) -> None:
    """A network whose last update overflowed is measured before the loss shows it."""
    sides = [torch.randn(12, 5), torch.randn(6, 5)]
    sides[where][2, 3] = value

    assert knn_top1(sides[0], torch.arange(12) % 3, sides[1], torch.arange(6) % 3, k=4) is None


def test_knn_in_chunks_is_knn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (bank, labels), (queries, _) = clusters(60, 0), clusters(50, 1)
    whole = knn_scores(bank, labels, queries, 3, k=10, temperature=0.1)
    monkeypatch.setattr("simclr_core.evals.knn.QUERIES", 7)

    torch.testing.assert_close(knn_scores(bank, labels, queries, 3, k=10, temperature=0.1), whole)


def linear_top1(classifier: LinearClassifier, test: Tensor, labels: Tensor, num_classes: int = 3) -> float | None:
    return score(classifier.scores(test, num_classes), labels).top1


def skewed(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings as networks make them: correlated columns, variances over five orders of magnitude."""
    source = torch.Generator().manual_seed(seed)
    mixed = torch.randn(40, 40, generator=torch.Generator().manual_seed(98)) * torch.logspace(0, -2.5, 40)[:, None]
    latent, labels = torch.randn(count, 40, generator=source), torch.arange(count) % 5
    latent[:, :5] += torch.eye(5)[labels]
    return latent @ mixed, labels


@pytest.mark.parametrize("make", [lambda: clusters(600, 0, 2.0), lambda: skewed(2000, 0)])
def test_linear_is_scikit_learns_at_the_chosen_regularisation(make: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Which is run to convergence: the same minimiser to 0.2 % of the weights' size."""
    train, labels = make()
    classifier = fit_linear(train, labels)
    scaler = StandardScaler().fit(train.double())
    reference = LogisticRegression(C=1 / (classifier.l2 * len(labels)), tol=1e-9, max_iter=10_000)
    reference.fit(scaler.transform(train.double()), labels)
    error = (classifier.weights - torch.from_numpy(reference.coef_)).norm()

    assert classifier.l2 in L2_LEVELS
    assert error < 2e-3 * np.linalg.norm(reference.coef_)
    np.testing.assert_allclose(classifier.intercepts - classifier.intercepts.mean(), reference.intercept_, atol=2e-3)
    decisions = torch.from_numpy(reference.decision_function(scaler.transform(train.double())))
    scores = classifier.scores(train, len(classifier.classes))
    assert (scores.argmax(1) == decisions.argmax(1)).double().mean() > 0.998


def gradient(x: Tensor, labels: Tensor, layer: tuple[Tensor, Tensor], l2: float) -> Tensor:
    """Of mean cross entropy + l2/2 |W|^2 by weights (C, F) and intercepts (C,), joined."""
    weights, intercepts = (part.clone().requires_grad_() for part in layer)
    loss = functional.cross_entropy(x.double() @ weights.T + intercepts, labels) + l2 / 2 * weights.square().sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, (weights, intercepts))])


@pytest.mark.parametrize("l2", L2_LEVELS)
@pytest.mark.parametrize("count", [20, 35, 2000])  # fewer images than columns, separable; fewer than variables; many
def test_the_minimisers_gradient_is_zero(count: int, l2: float) -> None:
    x, labels = skewed(count, 1)
    x = Standardise.by(x)(x)
    principal = Principal.of(x)
    start = torch.zeros(5, principal.columns.shape[1], dtype=torch.float64)
    found = minimiser(principal.columns, principal.variances, labels, l2, start)
    before, after = (
        gradient(x, labels, principal.layer(weights), l2).norm() for weights in (torch.zeros_like(found), found)
    )

    assert after < 2e-3 * before


def test_principal_columns_are_the_inputs_turned() -> None:
    """A layer on the columns is the layer that it stands for on the inputs; constant columns are no trouble."""
    x = torch.cat([skewed(200, 2)[0], torch.full((200, 2), 3.0)], dim=1)
    x = Standardise.by(x)(x)
    principal = Principal.of(x)
    weights = torch.randn(5, 43, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer, intercepts = principal.layer(weights)

    expected = principal.columns.double() @ weights.T  # float32 columns, products of up to 40
    torch.testing.assert_close(x.double() @ layer.T + intercepts, expected, atol=1e-4, rtol=0)
    correlations = principal.columns[:, :-1].T @ principal.columns[:, :-1] / 200
    torch.testing.assert_close(correlations, principal.variances[:-1].float().diag(), atol=1e-4, rtol=0)


def test_linear_is_deterministic_and_ignores_scale_shift_and_constant_columns() -> None:
    (train, train_labels), (test, test_labels) = clusters(300, 0, 2.0), clusters(200, 1, 2.0)
    plain = fit_linear(train, train_labels)

    def moved(x: Tensor) -> Tensor:
        return torch.cat([x * 100 + 7, torch.full((len(x), 1), 3.0)], dim=1)

    assert torch.equal(fit_linear(train, train_labels).scores(test, 3), plain.scores(test, 3))
    again = linear_top1(fit_linear(moved(train), train_labels), moved(test), test_labels)
    assert again == pytest.approx(linear_top1(plain, test, test_labels), abs=0.51)


def test_informative_labels_are_learnt_and_noise_is_chance() -> None:
    (train, train_labels), (test, test_labels) = clusters(900, 0, 0.1), clusters(300, 1, 0.1)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(1200, 6)).astype("float32"))

    assert linear_top1(fit_linear(train, train_labels), test, test_labels) == 100
    by_chance = linear_top1(fit_linear(noise[:900], train_labels), noise[900:], test_labels)
    assert by_chance == pytest.approx(100 / 3, abs=10)


def test_a_collapsed_embedding_is_scored_at_chance() -> None:
    (_, labels), constant = clusters(90, 0), torch.full((90, 6), 0.7)

    assert linear_top1(fit_linear(constant, labels), constant, labels) == pytest.approx(100 / 3)
    assert knn_top1(constant, labels, constant, labels, k=90) == pytest.approx(100 / 3)


@pytest.mark.parametrize("classes", [[0, 1, 2], [1, 4], [0, 2, 3]])
def test_classes_without_a_label_are_never_predicted(classes: list[int]) -> None:
    """Columns are class numbers, whichever classes had labels; the classifier's own prediction comes first."""
    (train, train_labels), (test, _) = clusters(90, 0), clusters(60, 1)
    numbers = torch.tensor(classes)[train_labels % len(classes)]
    classifier = fit_linear(train, numbers)
    scores = classifier.scores(test, 6)

    assert set(scores.isinf().all(0).nonzero().flatten().tolist()) == {0, 1, 2, 3, 4, 5} - set(classes)
    own = classifier.standardise(test).double() @ classifier.weights.T + classifier.intercepts
    assert torch.equal(scores.argmax(1), classifier.classes[own.argmax(1)])


def test_one_label_of_each_class_is_enough() -> None:
    (train, train_labels), (test, test_labels) = clusters(3, 0, 0.1), clusters(60, 1, 0.1)
    classifier = fit_linear(train, train_labels)

    assert classifier.l2 == L2_LEVELS[0]
    assert linear_top1(classifier, test, test_labels) == 100


def test_score_is_the_share_of_images_whose_class_is_among_the_first() -> None:
    """Against scikit-learn, on scores that all differ."""
    scores = torch.rand(200, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(200) % 8
    found = score(scores, labels)

    for value, k in ((found.top1, 1), (found.top5, 5)):
        assert value == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=k))
    assert found.predictions is not None
    assert found.predictions.dtype == np.uint16
    np.testing.assert_array_equal(found.predictions, scores.argmax(1))


def test_equal_scores_rank_by_class_number() -> None:
    scores = torch.zeros(4, 7)
    labels = torch.tensor([0, 4, 5, 6])
    found = score(scores, labels)

    assert (found.top1, found.top5) == (25, 50)
    assert found.predictions is not None
    assert found.predictions.tolist() == [0, 0, 0, 0]


def test_five_classes_have_no_top5_and_numbers_that_are_none_no_score() -> None:
    labels = torch.tensor([0, 1])

    assert score(torch.rand(2, 5), labels).top5 is None
    assert score(torch.rand(2, 6), labels).top5 is not None
    broken = score(torch.tensor([[0.0, float("nan")], [1.0, 0.0]]), labels)
    assert (broken.top1, broken.top5, broken.predictions) == (None, None, None)


def config_of_probe(**values: object) -> EvalConfig:
    return override(EvalConfig(protocol="transform_probe", epochs=5, batch_size=64), values)


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    """The answer, as further columns, is read out entirely; without it, noise gives chance."""
    source = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 15, generator=source)
    answers = torch.randint(4, (4000,), generator=source)
    told = torch.cat([noise, torch.eye(4)[answers]], dim=1)
    cpu = torch.device("cpu")

    def top1(inputs: Tensor) -> float | None:
        probe = fit_probe(inputs[:2000], answers[:2000], 4, config_of_probe(epochs=20), cpu)
        return score(probe(inputs[2000:]), answers[2000:]).top1

    assert top1(told) == 100
    assert top1(noise) == pytest.approx(25, abs=4)


def test_a_probe_repeats_and_hangs_on_its_seed_alone() -> None:
    source = torch.Generator().manual_seed(0)
    inputs, answers = torch.randn(300, 6, generator=source), torch.arange(300) % 2
    cpu = torch.device("cpu")
    state = torch.get_rng_state()
    first = fit_probe(inputs, answers, 2, config_of_probe(), cpu)(inputs)

    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert torch.equal(fit_probe(inputs, answers, 2, config_of_probe(), cpu)(inputs), first)
    assert not torch.equal(fit_probe(inputs, answers, 2, config_of_probe(seed=1), cpu)(inputs), first)
