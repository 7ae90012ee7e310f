"""Linear evaluation by SGD and fine-tuning, against transcriptions of the algorithms and facts that must hold."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_data import CPU, NUM_CLASSES, SIZE, small_config, small_dataset, small_network
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from simclr_core.config.options import override
from simclr_core.config.schema import EvalConfig
from simclr_core.data.datasets import ImageSet
from simclr_core.evals.embed import Reading, embed, sha256_of
from simclr_core.evals.fine_tune import fine_tuned_scores
from simclr_core.evals.linear_sgd import fit_linear_sgd
from simclr_core.imaging.boxes import draw_boxes, uniform
from simclr_core.seeding import generator

READING = Reading(SIZE, "none", CPU)
SGD = EvalConfig(protocol="linear_sgd", epochs=3, batch_size=8, base_lr=0.5, weight_decay=0.01, crop_min_area=0.3)
FINE_TUNE = EvalConfig(protocol="fine_tune", epochs=1, batch_size=64, base_lr=0.2, weight_decay=0.01)
ROWS = torch.tensor([1, 2, 4, 5, 7, 8, 9, 12, 15, 16, 18, 20, 21, 22, 29, 30, 33, 41, 42, 43, 47])


def told(_: int, __: int) -> None:
    """Nobody listens."""


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
@pytest.mark.parametrize("embedding", ["features", "z"])
def test_linear_sgd_is_its_transcription(optimizer: str, embedding: str) -> None:
    """Closed-form gradient, Nesterov momentum or apex LARC by the letter, cosine from the peak, last batch dropped."""
    evaluation = override(SGD, {"optimizer": optimizer, "embedding": embedding})
    method = small_network(small_config())
    layer, details = fit_linear_sgd(method, images(), ROWS, NUM_CLASSES, evaluation, READING, told)
    num_steps, step = 3 * (len(ROWS) // 8), 0
    labels = images().labels[ROWS]
    width = method.dim if embedding == "z" else method.backbone.num_features
    weights = [torch.zeros(NUM_CLASSES, width), torch.zeros(NUM_CLASSES)]
    momenta = [torch.zeros_like(w) for w in weights]
    for epoch in range(3):
        with torch.no_grad():
            x = method.features(views_of(evaluation, epoch))
            x = method.projector(x) if embedding == "z" else x
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
    method, dataset = small_network(small_config()), small_dataset()
    evaluation = EvalConfig(protocol=protocol, epochs=20, batch_size=64, base_lr=1.0, crop_min_area=1.0)
    if protocol == "linear_sgd":
        _, details = fit_linear_sgd(method, dataset.train, ROWS, NUM_CLASSES, evaluation, READING, told)
    else:
        _, details = fine_tuned_scores(method, dataset.train, ROWS, dataset.test, 6, evaluation, READING, told)

    assert details["first_loss"] == pytest.approx(math.log(NUM_CLASSES), rel=1e-6)
    assert details["final_loss"] < details["first_loss"]


def test_fine_tuning_takes_the_step_of_nesterov_sgd_on_the_whole_network() -> None:
    """One epoch of one batch, as fewer images than a batch are one: lr * (1 + momentum) * gradient, BN on the batch."""
    method, dataset = small_network(small_config()), small_dataset()
    scores, details = fine_tuned_scores(method, dataset.train, ROWS, dataset.test, 6, FINE_TUNE, READING, told)
    network, layer = copy.deepcopy(method).train(), torch.nn.Linear(method.backbone.num_features, 6)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    order = order_of(FINE_TUNE, 0)
    logits = layer(network.features(views_of(FINE_TUNE, 0)[order]))
    functional.cross_entropy(logits, images().labels[ROWS][order]).backward()
    with torch.no_grad():
        for w in (*network.backbone.parameters(), *layer.parameters()):
            assert w.grad is not None
            w.sub_(w.grad + 0.01 * w, alpha=0.2 * len(ROWS) / 256 * 1.9)
        expected = layer(embed(network, dataset.test, "none", CPU).features)

    assert details["num_steps"] == 1
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)


def test_the_pre_trained_network_stays_as_it_is() -> None:
    """Weights, BN statistics and mode, of backbone and projector, although BN trains on a copy."""
    dataset = small_dataset()
    for training in (False, True):
        method = small_network(small_config()).train(training)
        before = sha256_of(method)
        fine_tuned_scores(method, dataset.train, ROWS, dataset.test, 6, FINE_TUNE, READING, told)
        fit_linear_sgd(method, dataset.train, ROWS, 6, SGD, READING, told)

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
    test = small_dataset().test
    scores, layers = [], []
    for train in (clean, poisoned):
        scores.append(fine_tuned_scores(method, train, ROWS, test, 6, FINE_TUNE, READING, told)[0])
        layers.append(fit_linear_sgd(method, train, ROWS, 6, SGD, READING, told)[0].weight)

    assert torch.equal(*scores)
    assert torch.equal(*layers)


def test_training_repeats_whatever_was_drawn_before_and_hangs_on_its_seed() -> None:
    method = small_network(small_config())

    def weights(evaluation: EvalConfig) -> Tensor:
        return fit_linear_sgd(method, images(), ROWS, 6, evaluation, READING, told)[0].weight.detach()

    first = weights(SGD)
    torch.rand(7)
    assert torch.equal(weights(SGD), first)
    assert not torch.equal(weights(override(SGD, {"seed": 1})), first)


def test_a_diverging_training_ends_with_no_numbers() -> None:
    method, dataset = small_network(small_config()), small_dataset()
    evaluation = override(FINE_TUNE, {"epochs": 9, "base_lr": 1e30})
    scores, details = fine_tuned_scores(method, dataset.train, ROWS, dataset.test, 6, evaluation, READING, told)

    assert details["num_steps"] < 9
    assert details["final_loss"] is None
    assert scores.isnan().any()
