"""What a step computes under every switch of the methods."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from toy import toy_config

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import ImageSet
from simclr_core.methods import build_method
from simclr_core.methods.base import Batch, Method
from simclr_core.methods.simsiam import MovingAverage, SimSiam
from simclr_core.processes.distributed import World
from simclr_core.training.batches import Batches
from simclr_core.training.loop import Training, pretrain
from simclr_core.training.optim import build_optimizer


def build(name: str, **values: object) -> Method:
    torch.manual_seed(0)
    config = toy_config(name, {key.replace("__", "."): value for key, value in values.items()})
    return build_method(config, num_images=40).train()


def views(number: int = 0) -> list[Tensor]:
    source = torch.Generator().manual_seed(number)
    return [torch.rand(8, 3, 32, 32, generator=source) for _ in range(2)]


def loss_of(method: Method) -> Tensor:
    return method.step(Batch(0, torch.arange(8), torch.arange(8), views())).loss


def outputs(method: Method) -> tuple[Tensor, ...]:
    """z_1, z_2, p_1, p_2 of the two views; BN's statistics are those of the batch in train mode."""
    projections = method.net.project(views())
    return *projections, *method.net.predict(projections)


def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    return -(normalize(p, dim=1) * normalize(z, dim=1)).sum(1).mean()


def test_simsiam_averages_both_directions_or_takes_one() -> None:
    z_1, z_2, p_1, p_2 = outputs(build("simsiam_mini"))
    one, other = cosine_distance(p_1, z_2), cosine_distance(p_2, z_1)

    assert loss_of(build("simsiam_mini")).item() == pytest.approx(((one + other) / 2).item(), abs=1e-6)
    assert loss_of(build("simsiam_mini", method__symmetry="asymmetric")).item() == pytest.approx(one.item(), abs=1e-6)


def test_simsiam_with_cross_entropy_compares_channels_as_classes() -> None:
    z_1, z_2, p_1, p_2 = outputs(build("simsiam_mini"))
    expected = (cross_entropy(p_1, z_2.softmax(1)) + cross_entropy(p_2, z_1.softmax(1))) / 2

    loss = loss_of(build("simsiam_mini", method__similarity="cross_entropy"))

    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def gradients(method: Method) -> dict[str, Tensor]:
    loss_of(method).backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def test_without_predictor_stop_gradient_halves_the_gradient_and_keeps_its_direction() -> None:
    with_stop = gradients(build("simsiam_mini", predictor__kind="none"))
    without = gradients(build("simsiam_mini", predictor__kind="none", method__stop_gradient=False))

    for name, gradient in with_stop.items():
        torch.testing.assert_close(2 * gradient, without[name], rtol=1e-3, atol=1e-6)


def slow_simclr(anchors: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """NT-Xent of anchors against keys of both views, one anchor at a time; its own key is left out."""
    total = torch.zeros(())
    size = len(anchors[0])
    flat_keys = normalize(torch.cat(keys), dim=1)
    for view in (0, 1):
        for i in range(size):
            u = normalize(anchors[view][i], dim=0)
            own, partner = view * size + i, (1 - view) * size + i
            exponents = {k: u @ flat_keys[k] / temperature for k in range(2 * size) if k != own}
            total = total - exponents[partner] + torch.logsumexp(torch.stack(list(exponents.values())), 0)
    return total / (2 * size)


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_simclr_with_a_predictor_compares_predictions_with_projections(stop_gradient: bool) -> None:
    values = {"predictor__kind": "mlp", "predictor__hidden_dim": 8, "method__stop_gradient": stop_gradient}
    slow = build("simclr_mini", **values)
    z_1, z_2, p_1, p_2 = outputs(slow)
    keys = (z_1.detach(), z_2.detach()) if stop_gradient else (z_1, z_2)
    expected = slow_simclr((p_1, p_2), keys, slow.config.temperature)
    expected.backward()

    method = build("simclr_mini", **values)
    loss = loss_of(method)
    loss.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(method.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_simclr_with_stop_gradient_alone_holds_the_keys_fixed() -> None:
    slow = build("simclr_mini")
    z_1, z_2, *_ = outputs(slow)
    slow_simclr((z_1, z_2), (z_1.detach(), z_2.detach()), slow.config.temperature).backward()

    held = gradients(build("simclr_mini", method__stop_gradient=True))

    for name, p in slow.named_parameters():
        torch.testing.assert_close(held[name], p.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["simclr_mini", "simsiam_mini"])
def test_loss_scale_multiplies(name: str) -> None:
    assert loss_of(build(name, method__loss_scale=2)).item() == 2 * loss_of(build(name)).item()


def test_a_fixed_predictor_stays_as_it_was_drawn() -> None:
    method = build("simsiam_mini", predictor__trained=False)
    before = {name: p.clone() for name, p in method.net.named_parameters()}
    config = toy_config("simsiam_mini", {"predictor.trained": False})
    optimizer = build_optimizer(config.optimizer, method, None)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    loss_of(method).backward()
    optimizer.step()

    changed = {name.split(".")[0] for name, p in method.net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"backbone", "projector"}


# Section 5.2


def test_a_snapshot_gives_the_targets_until_the_next_one_and_learns_nothing() -> None:
    method = build("simsiam_mini", method__alternation_steps=2)
    assert isinstance(method, SimSiam)
    frozen = build("simsiam_mini")
    for step in (4, 5):
        pair = views(step)
        with torch.no_grad():
            for p in method.net.parameters():
                p.add_(step == 5)  # as an optimiser does between the steps
        target_1, target_2 = method._targets(Batch(step, torch.arange(8), torch.arange(8), pair), pair, pair)
        z_1, z_2 = frozen.net.project(pair)
        assert torch.equal(target_1, z_2)
        assert torch.equal(target_2, z_1)
        assert not target_1.requires_grad
    assert method.snapshot is not None
    assert not any(p.requires_grad for p in method.snapshot.parameters())


@pytest.fixture
def images() -> ImageSet:
    source = torch.Generator().manual_seed(0)
    return ImageSet(torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=source), torch.arange(40) % 4)


def train(config: RunConfig, images: ImageSet, run_dir: Path) -> Training:
    run_dir.mkdir()
    return pretrain(config, images, World(), RuntimeConfig(), run_dir, lambda _: None)


def test_alternation_every_step_is_simsiam_to_the_bit(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(toy_config("simsiam_mini"), images, tmp_path / "plain")
    steps: list[int] = []

    real = SimSiam._snapshot_targets

    def at_every_step(method: SimSiam, step: int, pair: list[Tensor]) -> list[Tensor]:
        steps.append(step)
        method.snapshot_steps = 1
        return real(method, step, pair)

    monkeypatch.setattr(SimSiam, "_snapshot_targets", at_every_step)
    alternating = train(toy_config("simsiam_mini", {"method.alternation_steps": 7}), images, tmp_path / "alternating")

    assert steps == [0, 1, 2, 3, 4]
    for name, value in plain.method.net.state_dict().items():
        assert torch.equal(alternating.method.net.state_dict()[name], value), name


def test_alternation_holds_its_targets_for_its_steps(images: ImageSet, tmp_path: Path) -> None:
    config = toy_config("simsiam_mini", {"method.alternation_steps": 3})
    ours = train(config, images, tmp_path / "run")

    torch.manual_seed(0)
    slow = train(toy_config("simsiam_mini", {"training.epochs": 0}), images, tmp_path / "initial")
    batches = list(Batches(config, images, World(), 0).steps(0, 5))
    targets: list[list[Tensor]] = []
    rates = [0.5 * (1 + math.cos(math.pi * step / 5)) for step in range(5)]
    peak = config.optimizer.base_lr * 8 / 256
    for step, batch in enumerate(batches):
        if step % 3 == 0:
            frozen = [m for m in slow.method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            statistics = [{k: v.clone() for k, v in m.state_dict().items()} for m in frozen]
            with torch.no_grad():
                targets = [slow.method.net.project(later.views) for later in batches[step : step + 3]]
            for module, content in zip(frozen, statistics, strict=True):
                module.load_state_dict(content)
        for group in slow.optimizer.param_groups:
            group["lr"] = peak if group["constant_lr"] else peak * rates[step]
        p_1, p_2 = slow.method.net.predict(slow.method.net.project(batch.views))
        old_1, old_2 = targets[step % 3]
        slow.optimizer.zero_grad()
        ((cosine_distance(p_1, old_2) + cosine_distance(p_2, old_1)) / 2).backward()
        slow.optimizer.step()

    for name, value in slow.method.net.state_dict().items():
        torch.testing.assert_close(ours.method.net.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_moving_average_by_hand() -> None:
    average = MovingAverage(num_images=3, dim=2, momentum=0.8)
    z_1, z_2 = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 4.0]])

    first = average.update(torch.tensor([2, 0]), z_1, z_2)
    torch.testing.assert_close(first[0], z_2)
    torch.testing.assert_close(first[1], z_1)
    torch.testing.assert_close(average.memory, torch.tensor([[0.0, 3.0], [0.0, 0.0], [2.0, 0.0]]))

    second = average.update(torch.tensor([2]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 3.0]]))
    torch.testing.assert_close(second[0], torch.tensor([[1.6, 0.6]]))
    torch.testing.assert_close(second[1], torch.tensor([[1.6, 0.2]]))
    torch.testing.assert_close(average.memory[2], torch.tensor([1.6, 0.4]))
    assert average.seen.tolist() == [True, False, True]


def test_asymmetric_2x_draws_two_pairs_and_averages(images: ImageSet) -> None:
    values: dict[str, object] = {"method.symmetry": "asymmetric_2x"}
    (batch,) = Batches(toy_config("simsiam_mini", values), images, World(), 0).steps(0, 1)
    (single,) = Batches(toy_config("simsiam_mini"), images, World(), 0).steps(0, 1)

    assert len(batch.views) == 4
    assert torch.equal(batch.views[0], single.views[0])
    assert not torch.equal(batch.views[0], batch.views[2])
