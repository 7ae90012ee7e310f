"""Multiply-adds and parameters by formula, against torch's counter and the networks themselves."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simclr_core.config import cost
from simclr_core.config.layers import num_features
from simclr_core.config.options import override
from simclr_core.config.recipes import RECIPES, recipe
from simclr_core.config.schema import RunConfig
from simclr_core.methods import build_network

CASES: list[tuple[str, dict[str, object]]] = [
    *((name, {}) for name in sorted(RECIPES)),
    *(("simclr_imagenet", {"backbone.depth": depth}) for depth in (18, 34, 101, 152)),
    ("simclr_mini", {"data.image_size": 33, "backbone.stem": "imagenet", "backbone.layout": "original"}),
    ("simclr_mini", {"backbone.width_multiplier": 0.3, "projector.kind": "none"}),
    ("simclr_mini", {"projector.kind": "linear", "projector.output_batch_norm": "affine"}),
    ("simsiam_mini", {"projector.hidden_batch_norm": False, "predictor.output_batch_norm": "affine"}),
]


@pytest.mark.parametrize(("name", "values"), CASES, ids=[f"{name} {values}" for name, values in CASES])
def test_the_formula_is_what_torch_counts(name: str, values: dict[str, object]) -> None:
    config = override(recipe(name), values)
    size = config.data.image_size
    with torch.device("meta"):
        network = build_network(config)
        view = torch.zeros(2, 3, size, size)
        with FlopCounterMode(display=False) as counter:
            z, _ = network.predict([network.projector(network.backbone(view))] * 2)
            if config.method.num_outputs:
                network.classifier(z)  # type: ignore[operator]
    in_both_views = 2 * 2 * cost.forward_multiply_adds(config)
    predictor = config.predictor
    if predictor.kind == "mlp":  # predict passes both views through the predictor
        in_both_views += 2 * 2 * 2 * network.dim * predictor.hidden_dim

    assert counter.get_total_flops() == in_both_views
    assert sum(p.numel() for p in network.parameters()) == cost.num_parameters(config)
    assert sum(p.numel() for p in network.backbone.parameters()) == cost.backbone_parameters(config.backbone)
    assert network.backbone.num_features == num_features(config.backbone)


def test_the_papers_resnet_50_has_four_billion_multiply_adds() -> None:
    """He et al. (arXiv 1512.03385), Table 1: 3.8 with the stride on the first 1x1; on the 3x3, 4.1 (torchvision)."""
    config = override(recipe("simclr_imagenet"), {"projector.kind": "none"})

    assert cost.forward_multiply_adds(config) / 1e9 == pytest.approx(4.09, abs=0.02)


@pytest.mark.parametrize(
    ("name", "values", "views"),
    [
        ("simclr_mini", {}, 2),
        ("supervised_mini", {}, 1),
        ("simsiam_mini", {"method.symmetry": "asymmetric_2x", "training.views_forward": "joint"}, 4),
    ],
)
def test_training_sees_whole_batches_of_all_views_three_times(name: str, values: dict[str, object], views: int) -> None:
    config = override(recipe(name), {"training.global_batch_size": 256, "training.epochs": 2, **values})

    assert cost.training_multiply_adds(config) == 3 * views * 2 * 4864 * cost.forward_multiply_adds(config)


def test_the_knn_along_a_training_passes_its_images_once() -> None:
    """After epochs 2, 4 and 5: the 5,000 images that are trained on, and the 10,000 test images."""
    config = override(recipe("simclr_mini"), {"training.epochs": 5})
    with_knn = override(config, {"training.knn_epochs": 2})

    added = (cost.training_multiply_adds(with_knn) or 0) - (cost.training_multiply_adds(config) or 0)
    assert added == 3 * 15_000 * cost.forward_multiply_adds(config)


def test_a_data_set_of_unknown_size_has_no_cost() -> None:
    config = override(RunConfig(), {"data.name": "mine"})

    assert cost.training_multiply_adds(config) is None
    assert cost.training_multiply_adds(override(config, {"data.train_images": 1000})) is not None
