"""Which evaluations a run can have: each refusal in its own words, before anything runs."""

from __future__ import annotations

import pytest
from conftest import WriteGrid

from ablations.errors import GridError
from ablations.study.expand import load_grid
from simclr_core.config.options import ConfigError, override
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.evals.checks import evaluation_problems, validate_evaluations

PROBE = {"protocol": "transform_probe"}


@pytest.mark.parametrize(
    ("evaluation", "problem"),
    [
        (
            {"protocol": "fine_tune", "embedding": "head_2"},
            (
                "fine_tune_head_2_top1: embedding = 'head_2': the projector has 2 linear layers, and z is after the"
                " last; expected one of features, head_1, z"
            ),
        ),
        (
            {"embedding": "head_0"},
            (
                "linear_head_0_top1: embedding = 'head_0': expected one of features, z, head_1, head_2, ..."
                " (did you mean 'head_1' or 'head_2'?)"
            ),
        ),
        (
            {"protocol": "knn", "keep": True},
            ("knn_top1: keep = true: knn trains no classifier to keep; expected one of linear, linear_sgd, fine_tune"),
        ),
        (
            {"protocol": "fine_tune", "batch_size": 1},
            "fine_tune_top1: batch_size = 1: fine-tuning needs the statistics of a batch; expected at least 2",
        ),
        (
            {"protocol": "knn", "temperature": 0.01},
            "knn_top1: temperature = 0.01: exp(1 / temperature) overflows; expected at least 0.012",
        ),
        (
            {"data": "photos"},
            "linear_photos_top1: data = 'photos': what the run pre-trains on; leave it out, or name another set",
        ),
        (
            {"num_labels": 100, "label_list": "1percent.txt"},
            "linear_top1: num_labels = 100: label_list = '1percent.txt' chooses the labels already",
        ),
        (
            {"num_labels": 1},
            "linear_top1: num_labels = 1: no two classes to tell apart; expected at least 2, or 0 for all",
        ),
        (
            PROBE | {"task": "noise"},
            (
                "transform_probe_noise_top1: task = 'noise': the views never differ in it;"
                " expected views.noise_probability between 0 and 1"
            ),
        ),
    ],
)
def test_an_impossible_evaluation_is_told(evaluation: dict[str, object], problem: str) -> None:
    chosen = override(EvalConfig(), evaluation)

    assert evaluation_problems(RunConfig(), chosen) == [f"evaluation {problem}"]
    with pytest.raises(ConfigError, match="evaluation"):
        validate_evaluations(RunConfig(), [EvalConfig(), chosen])


@pytest.mark.parametrize(
    ("views", "tasks"),
    [
        ({}, {"color"}),
        ({"gray_probability": 0.0}, set()),
        ({"distortion": "autoaugment_imagenet", "sobel_probability": 0.5}, {"sobel"}),
        ({"rotate_probability": 1.0, "noise_probability": 1.0}, {"color", "rotate"}),
        ({"noise_probability": 0.5}, {"color", "noise"}),
        ({"kind": "pair", "first": "crop", "second": "color"}, {"color"}),
        ({"kind": "pair", "first": "rotate", "second": "noise"}, {"rotate"}),
        ({"kind": "pair", "first": "color", "second": "color", "gray_probability": 1.0}, set()),
        ({"kind": "pair", "first": "sobel", "second": "crop", "sobel_probability": 0.5}, set()),
    ],
)
def test_a_probe_needs_views_that_differ(views: dict[str, object], tasks: set[str]) -> None:
    config = override(RunConfig(), {f"views.{key}": value for key, value in views.items()})
    possible = {
        task
        for task in ("color", "rotate", "noise", "sobel")
        if not evaluation_problems(config, override(EvalConfig(), PROBE | {"task": task}))
    }

    assert possible == tasks


def test_a_grid_is_told_when_it_is_read(write_grid: WriteGrid) -> None:
    """Cell by cell: crop and crop has nothing of colour, crop and color has."""
    probe = "{protocol: knn, num_labels: 1000}\n  - {protocol: transform_probe, task: color}"
    path = write_grid(("{protocol: knn, num_labels: 1000}", probe))
    with pytest.raises(GridError) as caught:
        load_grid(str(path))

    expected = "evaluation transform_probe_color_top1: task = 'color': the views never differ in it"
    cells = [problem for problem in caught.value.problems if expected in problem]
    assert len(cells) == len(caught.value.problems)
    assert sum("'first=crop, second=crop'" in problem for problem in cells) == 2  # at both scales
    assert not any("'first=crop, second=color'" in problem for problem in cells)
