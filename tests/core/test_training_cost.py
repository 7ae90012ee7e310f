"""The multiply-adds that a training step is charged, against what torch counts of a real one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from toy import toy_config

from simclr_core.config import cost
from simclr_core.config.layers import backbone_layers, convolutions
from simclr_core.config.methods import METHODS, MethodConfig
from simclr_core.config.options import option
from simclr_core.config.schema import RunConfig
from simclr_core.methods import build_method
from simclr_core.methods.base import Batch, Method, Step
from simclr_core.methods.losses import simclr_loss

BATCH = 2


@dataclass
class CropsConfig(MethodConfig):
    """All views, large and small."""

    module = f"{__name__}:Crops"
    takes_small_views = True

    name: str = option("crops", choices=("crops",))


class Crops(Method):
    def step(self, batch: Batch) -> Step:
        large = self.config.num_views
        projections = [*self.net.project(batch.views[:large]), *self.net.project(batch.views[large:])]
        return Step(torch.stack(self.net.predict(projections)).square().mean(), projections)


@pytest.fixture(autouse=True)
def crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "crops", CropsConfig)


def counted_by_torch(config: RunConfig) -> int:
    """Multiply-adds of the convolutions and linear layers of a step there and back; the loss's own are taken off."""
    method = build_method(config, 2 * BATCH).train()
    sizes = [config.data.image_size] * config.method.num_views + [config.views.small_size] * config.views.small_views
    views = [torch.rand(BATCH, 3, size, size) for size in sizes]
    batch = Batch(0, torch.arange(BATCH), torch.arange(BATCH) % 2, views)
    with FlopCounterMode(display=False) as counter:
        step = method.step(batch)
        step.loss.backward()
    with FlopCounterMode(display=False) as of_loss:
        if config.method.name == "simclr":
            z_1, z_2 = (z.detach().requires_grad_() for z in step.projections)
            keys = [z.detach() if config.method.stop_gradient else z.clone() for z in (z_1, z_2)]
            as_keys = None if config.predictor.kind == "none" and not config.method.stop_gradient else tuple(keys)
            simclr_loss(config.method, z_1, z_2, as_keys).backward()
    return (counter.get_total_flops() - of_loss.get_total_flops()) // 2


def gradients_of_images(config: RunConfig) -> int:
    """Multiply-adds of the gradient of the first convolution's input, which are charged and which nothing needs."""
    total = 0
    for each in config.method.passes(config):
        size = config.views.small_size if each.small else config.data.image_size
        stem, side = next(convolutions(backbone_layers(config.backbone), size))
        total += each.trains * each.views * stem.kernel**2 * stem.inputs * stem.outputs * side**2
    return BATCH * total


SIMSIAM: list[dict[str, object]] = [
    {},
    {"method.stop_gradient": False},
    {"method.similarity": "cross_entropy"},
    {"method.alternation_steps": 10},
    {"method.alternation_steps": 10, "method.symmetry": "asymmetric"},
    {"method.target": "moving_average"},
    {"method.target": "moving_average", "method.symmetry": "asymmetric"},
    {"method.symmetry": "asymmetric"},
    {"method.symmetry": "asymmetric", "method.stop_gradient": False},
    {"method.symmetry": "asymmetric", "predictor.kind": "none"},
    {"method.symmetry": "asymmetric", "predictor.trained": False},
    {"method.symmetry": "asymmetric", "predictor.trained": False, "method.stop_gradient": False},
    {"method.symmetry": "asymmetric_2x"},
    {"predictor.kind": "none"},
    {"predictor.trained": False},
]
CROPS = {"method.name": "crops", "views.small_views": 3, "views.small_size": 20}
CASES: list[tuple[str, dict[str, object]]] = [
    *(("simsiam_mini", values) for values in SIMSIAM),
    ("simclr_mini", {}),
    ("simclr_mini", {"method.stop_gradient": True}),
    ("simclr_mini", {"predictor.kind": "mlp"}),
    ("simclr_mini", {"predictor.kind": "mlp", "method.stop_gradient": True}),
    ("simclr_mini", {"method.loss": "nt_logistic"}),
    ("supervised_mini", {}),
    ("supervised_mini", {"projector.kind": "none"}),
    ("simclr_mini", CROPS),
    ("simsiam_mini", CROPS),
]


@pytest.mark.parametrize("depth", [10, 50])
@pytest.mark.parametrize("forward", ["joint", "separate"])
@pytest.mark.parametrize(("name", "values"), CASES, ids=[f"{name} {values}" for name, values in CASES])
def test_a_step_is_charged_what_torch_counts(name: str, values: dict[str, object], forward: str, depth: int) -> None:
    """Maps stay above 2x2 pixels, which a CPU computes as products of whole maps (``networks.convolution``)."""
    one_step = {
        "backbone.depth": depth,
        "backbone.stem": "cifar",
        "data.image_size": 24,
        "data.train_images": BATCH,
        "training.global_batch_size": BATCH,
        "training.views_forward": forward,
        "training.knn_epochs": 0,
    }
    config = toy_config(name, one_step | values)

    assert counted_by_torch(config) == cost.training_multiply_adds(config) - gradients_of_images(config)


def test_every_registered_method_is_among_the_cases() -> None:
    assert {toy_config(name, values).method.name for name, values in CASES} == set(METHODS)


def test_a_snapshot_adds_its_forward_pass() -> None:
    """With alternation over one step there is none; over ten there is one, of backbone and projector."""
    plain, alternating = (toy_config("simsiam_mini", {"method.alternation_steps": steps}) for steps in (1, 10))
    added = cost.training_multiply_adds(alternating) - cost.training_multiply_adds(plain)
    predictor = 2 * plain.projector.dim * plain.predictor.hidden_dim

    assert added == 40 * 2 * (cost.forward_multiply_adds(plain) - predictor)
