"""The loop: literal losses, what it writes, and that its randomness depends on nothing but the seed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import ImageSet
from simclr_core.methods.base import Batch
from simclr_core.processes.distributed import joined
from simclr_core.training.loop import Training, pretrain

TINY = {
    "data.train_images": 40,
    "backbone.width_multiplier": 0.125,
    "training.global_batch_size": 8,
    "training.epochs": 1,
    "optimizer.warmup_epochs": 0,
}


def tiny(name: str, **values: object) -> RunConfig:
    return override(recipe(name), TINY | {key.replace("__", "."): value for key, value in values.items()})


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """64 smooth random images."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(64, 3, 6, 6, generator=source)
    smooth = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear", align_corners=False)
    return ImageSet((smooth * 255).byte(), torch.arange(64) % 4)


def train(config: RunConfig, images: ImageSet, run_dir: Path) -> Training:
    torch.set_num_threads(1)
    with joined("cpu") as world:
        return pretrain(config, images, world, RuntimeConfig(), run_dir, lambda _: None)


def losses(run_dir: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simclr_mini", [2.610050, 3.309411, 3.090899, 3.684780, 2.975568]),
        ("simsiam_mini", [0.005560, 0.009916, 0.009087, -0.017692, -0.001962]),
    ],
)
def test_five_steps_have_the_losses_they_had(
    name: str, expected: list[float], images: ImageSet, tmp_path: Path
) -> None:
    """If this fails, the same configuration gives another result: raise CONFIG_VERSION, or old runs are aliased."""
    train(tiny(name), images, tmp_path)

    assert losses(tmp_path) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(images: ImageSet, tmp_path: Path) -> None:
    states, lines = [], []
    for number, seed in enumerate([0, 0, 1]):
        run_dir = tmp_path / str(number)
        run_dir.mkdir()
        states.append(train(tiny("simclr_mini", seed=seed), images, run_dir).method.state_dict())
        lines.append((run_dir / "metrics.jsonl").read_text())

    assert lines[0] == lines[1] != lines[2]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_random_state_outside_does_not_matter(images: ImageSet, tmp_path: Path) -> None:
    torch.manual_seed(1)
    train(tiny("simclr_mini"), images, tmp_path)
    first = losses(tmp_path)
    torch.manual_seed(2)
    train(tiny("simclr_mini"), images, tmp_path)

    assert losses(tmp_path) == first


def test_metrics_and_timing_have_a_line_for_each_logged_step(images: ImageSet, tmp_path: Path) -> None:
    trained = train(tiny("simclr_mini", training__epochs=20), images, tmp_path)
    metrics, timing = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("metrics.jsonl", "timing.jsonl")
    )

    assert trained.step == 100
    assert [line["step"] for line in metrics] == [line["step"] for line in timing]
    assert metrics[-1]["step"] == 100
    assert metrics[-1]["epoch"] == 20
    assert len(metrics) <= 20
    assert set(metrics[0]) == {"step", "epoch", "loss", "lr", "z_std", "contrastive_top1", "contrastive_entropy"}
    assert 0 <= metrics[-1]["contrastive_entropy"] <= math.log(8)
    assert "host" in timing[0]


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(images: ImageSet, tmp_path: Path) -> None:
    config = tiny(
        "simclr_mini",
        optimizer__base_lr=1e30,
        projector__hidden_batch_norm=False,
        projector__output_batch_norm="none",
        training__epochs=20,
    )
    trained = train(config, images, tmp_path)

    assert trained.diverged
    assert trained.step < 100


def test_no_epochs_is_the_untrained_network(images: ImageSet, tmp_path: Path) -> None:
    trained = train(tiny("simclr_mini", training__epochs=0), images, tmp_path)

    assert (trained.step, trained.final_loss, trained.diverged) == (0, None, False)


def test_bfloat16_is_of_the_backbone_alone(images: ImageSet, tmp_path: Path) -> None:
    exact = train(tiny("simclr_mini"), images, tmp_path).method.net
    rounded = train(tiny("simclr_mini", training__precision="bfloat16"), images, tmp_path).method.net
    view = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rounded.load_state_dict(exact.state_dict())

    assert rounded.features(view).dtype == torch.float32
    assert not torch.equal(rounded.features(view), exact.features(view))
    torch.testing.assert_close(rounded.features(view), exact.features(view), rtol=0.1, atol=0.1)
    z_1, _ = rounded.project([view, view])
    assert z_1.dtype == torch.float32


@pytest.mark.parametrize("name", ["simclr_mini", "simsiam_mini"])
@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_views_go_together_or_apart(name: str, forward: str, images: ImageSet, tmp_path: Path) -> None:
    """Separate passes give each view its own BN statistics: two running-mean updates a step instead of one."""
    network = train(tiny(name, training__views_forward=forward), images, tmp_path).method.net

    assert network.backbone.bn1.num_batches_tracked.item() == {"joint": 5, "separate": 10}[forward]


def test_without_stop_gradient_both_branches_take_gradient(images: ImageSet, tmp_path: Path) -> None:
    """Without predictor, stop-gradient halves the gradient and leaves its direction (SimSiam Sec. 4.1, by algebra)."""
    gradients = []
    for stop in (True, False):
        config = tiny("simsiam_mini", method__stop_gradient=stop, predictor__kind="none", training__epochs=0)
        method = train(config, images, tmp_path).method
        view_1, view_2 = torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        method.step(Batch(0, torch.arange(8), torch.arange(8), [view_1, view_2])).loss.backward()
        gradients.append(method.net.backbone.conv1.weight.grad)

    torch.testing.assert_close(gradients[0] * 2, gradients[1], rtol=1e-4, atol=1e-7)
