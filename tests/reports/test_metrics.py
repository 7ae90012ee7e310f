"""The names and words of the measured quantities."""

from __future__ import annotations

import itertools

import pytest

from formats.metrics import CONTRASTIVE_METRICS, evaluation_metric
from reports.metrics import quantity
from simclr_core.config.identity import canonical
from simclr_core.config.schema import EvalConfig

PROTOCOLS = ("linear", "linear_sgd", "knn", "fine_tune", "transform_probe")


@pytest.mark.parametrize(
    ("protocol", "embedding", "data", "task"),
    list(itertools.product(PROTOCOLS, ("features", "z", "head_1", "head_12"), ("", "cifar100"), ("color", "sobel"))),
)
def test_the_reporter_names_an_evaluation_as_the_trainer_does(
    protocol: str, embedding: str, data: str, task: str
) -> None:
    evaluation = EvalConfig(protocol=protocol, embedding=embedding, data=data, task=task)

    assert evaluation_metric(canonical(evaluation)) == evaluation.metric


@pytest.mark.parametrize("protocol", ["fine_tune", "linear"])
@pytest.mark.parametrize("labels", [{}, {"num_labels": 500}, {"label_list": "lists/1percent.txt"}])
def test_fine_tunings_are_told_apart_by_their_labels_and_other_names_stay(protocol, labels) -> None:
    evaluation = EvalConfig(protocol=protocol, **labels)
    told = {"num_labels": "_500_labels", "label_list": "_1percent"}.get(next(iter(labels), ""), "")

    assert evaluation.metric == ("linear_top1" if protocol == "linear" else f"fine_tune{told}_top1")
    assert evaluation_metric(canonical(evaluation)) == evaluation.metric


@pytest.mark.parametrize(
    ("metric", "label", "unit"),
    [
        ("linear_top1", "linear evaluation, top-1", "%"),
        ("knn_z_top5", "kNN on z, top-5", "%"),
        ("linear_head_2_cifar100_top1", "linear evaluation after projector layer 2, cifar100, top-1", "%"),
        ("linear_sgd_cifar100_top1", "linear evaluation with augmentation, cifar100, top-1", "%"),
        ("transform_probe_rotate_z_top1", "prediction of the transformation (rotation) on z, top-1", "%"),
        ("fine_tune_top1", "fine-tuning, top-1", "%"),
        ("fine_tune_1percent_top5", "fine-tuning with 1 % labels, top-5", "%"),
        ("fine_tune_cifar100_12811_labels_top1", "fine-tuning, cifar100 with 12,811 labels, top-1", "%"),
        ("z_std_ratio", "spread of z", ""),
        ("something", "something", ""),
    ],
)
def test_quantities_in_words(metric: str, label: str, unit: str) -> None:
    assert (quantity(metric).label, quantity(metric).unit) == (label, unit)


def test_contrastive_metrics_have_words() -> None:
    assert all(quantity(metric).label != metric for metric in CONTRASTIVE_METRICS)
