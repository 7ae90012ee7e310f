"""Linear evaluation by SGD and fine-tuning, against transcriptions of the algorithms and facts that must hold."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_data import CPU, NUM_CLASSES, SIZE, small_config, small_dataset, small_network, small_source
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from simclr_core.config.options import override
from simclr_core.config.schema import EvalConfig
from simclr_core.data.datasets import ImageSet
from simclr_core.evals.embed import embed, sha256_of
from simclr_core.evals.fine_tune import FineTune
from simclr_core.evals.linear_sgd import LinearSGD
from simclr_core.evals.material import Material
from simclr_core.imaging.boxes import draw_boxes, uniform
from simclr_core.networks.network import Network
from simclr_core.seeding import generator

SGD = EvalConfig(protocol="linear_sgd", epochs=3, batch_size=8, base_lr=0.5, weight_decay=0.01, crop_min_area=0.3)
FINE_TUNE = EvalConfig(protocol="fine_tune", epochs=1, batch_size=64, base_lr=0.2, weight_decay=0.01)
ROWS = torch.tensor([1, 2, 4, 5, 7, 8, 9, 12, 15, 16, 18, 20, 21, 22, 29, 30, 33, 41, 42, 43, 47])

NUM_MODULES = {"features": 0, "head_1": 3, "z": 5}
"""Of the projector, up to an embedding: linear, BN, ReLU; linear, BN."""


def told(_: int, __: int) -> None:
    """Nobody listens."""


def material_of(method: Network, evaluation: EvalConfig, train: ImageSet | None = None) -> Material:
    """The small data set, perhaps with other training images, of which ``ROWS`` are labelled."""
    dataset = small_dataset()
    dataset = dataset if train is None else replace(dataset, train=train)
    material = Material(small_source(small_config(), method, dataset), [evaluation])
    material.rows = ROWS
    return material


def fit_linear_sgd(
    method: Network, evaluation: EvalConfig, train: ImageSet | None = None
) -> tuple[nn.Linear, dict[str, Any]]:
    return LinearSGD(evaluation, material_of(method, evaluation, train)).fit(told)


def fine_tuned(method: Network, evaluation: EvalConfig, train: ImageSet | None = None) -> tuple[Tensor, Any]:
    scored = FineTune(evaluation, material_of(method, evaluation, train)).score(told)
    return scored.scores, scored.details


def images() -> ImageSet:
    train = small_dataset().train
    assert isinstance(train, ImageSet)
    return train


def views_of(evaluation: EvalConfig, epoch: int) -> Tensor:
    """The epoch's views of ``ROWS``, one image after the other, by torchvision."""
    sizes = torch.full((len(ROWS), 2), SIZE)
    boxes = draw_boxes(
        sizes, evaluation.crop_min_area, generator(evaluation.seed, evaluation.protocol, epoch, "crop")
    ).tolist()
    flips = uniform(len(ROWS), generator(evaluation.seed, evaluation.protocol, epoch, "flip")) < 0.5
    views = []
    for number, row in enumerate(ROWS.tolist()):
        image = images().images[row].float() / 255
        view = vision.resized_crop(image, *boxes[number], [SIZE, SIZE], antialias=False)
        views.append(vision.horizontal_flip(view) if flips[number] else view)
    return torch.stack(views)


def order_of(evaluation: EvalConfig, epoch: int) -> Tensor:
    return torch.randperm(len(ROWS), generator=generator(evaluation.seed, evaluation.protocol, epoch, "order"))


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
@pytest.mark.parametrize("embedding", NUM_MODULES)
def test_linear_sgd_is_its_transcription(optimizer: str, embedding: str) -> None:
    """Closed-form gradient, Nesterov momentum or apex LARC by the letter, cosine from the peak, last batch dropped."""
    evaluation = override(SGD, {"optimizer": optimizer, "embedding": embedding})
    method = small_network(small_config())
    layer, details = fit_linear_sgd(method, evaluation)
    num_steps, step = 3 * (len(ROWS) // 8), 0
    labels = images().labels[ROWS]
    weights = [torch.zeros(NUM_CLASSES, 16 if embedding == "z" else 64), torch.zeros(NUM_CLASSES)]
    momenta = [torch.zeros_like(w) for w in weights]
    for epoch in range(3):
        with torch.no_grad():
            x = method.features(views_of(evaluation, epoch))
            for module in method.projector[: NUM_MODULES[embedding]]:
                x = module(x)
        for batch in order_of(evaluation, epoch)[: len(ROWS) // 8 * 8].split(8):
            lr = 0.5 * 8 / 256 * (1 + math.cos(math.pi * step / num_steps)) / 2
            error = (x[batch] @ weights[0].T + weights[1]).softmax(1) - functional.one_hot(labels[batch], NUM_CLASSES)
            gradients = [error.T @ x[batch] / 8, error.mean(0)]
            for w, g, v in zip(weights, gradients, momenta, strict=True):
                decayed = g + 0.01 * w
                if optimizer == "lars" and w.norm() > 0:
                    decayed *= 0.001 * w.norm() / (g.norm() + 0.01 * w.norm() + 1e-8)
                elif optimizer == "lars":
                    decayed = g
                v.mul_(0.9).add_(decayed)
                w.sub_(decayed + 0.9 * v if optimizer == "sgd" else v, alpha=lr)
            step += 1

    assert details["num_steps"] == num_steps == 6
    torch.testing.assert_close(layer.weight.detach(), weights[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layer.bias.detach(), weights[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("protocol", ["linear_sgd", "fine_tune"])
def test_the_first_loss_is_that_of_a_guess(protocol: str) -> None:
    """Logits begin at zero: ln C, whatever the network."""
    method = small_network(small_config())
    evaluation = EvalConfig(protocol=protocol, epochs=20, batch_size=64, base_lr=1.0, crop_min_area=1.0)
    if protocol == "linear_sgd":
        _, details = fit_linear_sgd(method, evaluation)
    else:
        _, details = fine_tuned(method, evaluation)

    assert details["first_loss"] == pytest.approx(math.log(NUM_CLASSES), rel=1e-6)
    assert details["final_loss"] < details["first_loss"]


@pytest.mark.parametrize("embedding", NUM_MODULES)
def test_fine_tuning_takes_the_step_of_nesterov_sgd_on_the_whole_network(embedding: str) -> None:
    """One epoch of one batch, as fewer images than a batch are one: lr * (1 + momentum) * gradient, BN on the batch.

    Of the projector, a layer with its BN and ReLU is trained with the backbone as far as the embedding needs it.
    """
    method, dataset = small_network(small_config()), small_dataset()
    scores, details = fine_tuned(method, override(FINE_TUNE, {"embedding": embedding}))
    network = copy.deepcopy(method).train()
    head = network.projector[: NUM_MODULES[embedding]]
    layer = torch.nn.Linear(16 if embedding == "z" else 64, 6)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    order = order_of(FINE_TUNE, 0)
    logits = layer(head(network.features(views_of(FINE_TUNE, 0)[order])))
    functional.cross_entropy(logits, images().labels[ROWS][order]).backward()
    with torch.no_grad():
        for w in (*network.backbone.parameters(), *head.parameters(), *layer.parameters()):
            assert w.grad is not None
            w.sub_(w.grad + 0.01 * w, alpha=0.2 * len(ROWS) / 256 * 1.9)
        expected = layer(head.eval()(embed(network, dataset.test, "none", CPU).features))

    assert details["num_steps"] == 1
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)


def test_the_pre_trained_network_stays_as_it_is() -> None:
    """Weights, BN statistics and mode, of backbone and projector, although BN trains on a copy."""
    for training in (False, True):
        method = small_network(small_config()).train(training)
        before = sha256_of(method)
        fine_tuned(method, FINE_TUNE)
        fit_linear_sgd(method, SGD)

        assert sha256_of(method) == before
        assert method.training == training
        assert all(p.grad is None for p in method.parameters())


def test_only_the_labelled_images_are_seen() -> None:
    """Other labels and pixels outside ``ROWS`` change nothing."""
    method, clean = small_network(small_config()), images()
    others = torch.ones(len(clean), dtype=torch.bool)
    others[ROWS] = False
    poisoned = ImageSet(clean.images.clone(), clean.labels.clone())
    poisoned.images[others] = 0
    poisoned.labels[others] = 0
    scores, layers = [], []
    for train in (clean, poisoned):
        scores.append(fine_tuned(method, FINE_TUNE, train)[0])
        layers.append(fit_linear_sgd(method, SGD, train)[0].weight)

    assert torch.equal(*scores)
    assert torch.equal(*layers)


def test_training_repeats_whatever_was_drawn_before_and_hangs_on_its_seed() -> None:
    method = small_network(small_config())

    def weights(evaluation: EvalConfig) -> Tensor:
        return fit_linear_sgd(method, evaluation)[0].weight.detach()

    first = weights(SGD)
    torch.rand(7)
    assert torch.equal(weights(SGD), first)
    assert not torch.equal(weights(override(SGD, {"seed": 1})), first)


def test_a_diverging_training_ends_with_no_numbers() -> None:
    method = small_network(small_config())
    evaluation = override(FINE_TUNE, {"epochs": 9, "base_lr": 1e30})
    scores, details = fine_tuned(method, evaluation)

    assert details["num_steps"] < 9
    assert details["final_loss"] is None
    assert scores.isnan().any()
