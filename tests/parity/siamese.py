"""Family 07: SimSiam.

The last linear layer of the reference's projector has a frozen bias before a BN, which takes it out again. Ours has
none, so the BN's running mean lies lower by just that bias.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from parity.comparison import NotCovered, Outcome, compare
from parity.golden import Golden
from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import DEPTHS, OptimizerConfig, RunConfig
from simclr_core.methods import build_network
from simclr_core.methods.base import Batch
from simclr_core.methods.simsiam import SimSiam
from simclr_core.networks.heads import build_predictor, build_projector
from simclr_core.networks.network import Network
from simclr_core.training.optim import build_optimizer, lr_at, peak_lr, set_lr

FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}
FROZEN_BIAS = "encoder.fc.6.bias"


def check(golden: Golden) -> Iterator[Outcome]:
    """The steps of a tiny network, or the counts and the state's layout of a whole one."""
    yield from _check_layout(golden) if "state_keys" in golden else _check_steps(golden)


class TinyBackbone(nn.Module):
    """The reference run's backbone, in its layout: two convolutions with BN and ReLU, then the mean over pixels."""

    def __init__(self, width_1: int, width_2: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width_1, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width_1)
        self.conv2 = nn.Conv2d(width_1, width_2, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_2)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, width_2)."""
        x = self.bn1(self.conv1(images)).relu()
        features: Tensor = self.bn2(self.conv2(x)).relu().mean((2, 3))
        return features


class TinyNetwork(Network):
    """A network on that backbone, in float64 throughout."""

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F), without the cast to float32."""
        features: Tensor = self.backbone(images)
        return features


class TinySimSiam(SimSiam):
    """SimSiam on that network."""

    @staticmethod
    def build_network(config: RunConfig) -> Network:
        """The parts are put in later."""
        return TinyNetwork(config)


def _check_steps(golden: Golden) -> Iterator[Outcome]:
    hp = golden.hp
    config = _config(golden, hidden_dim=hp["c2"])
    model = TinySimSiam(override(config, {"backbone.depth": 10, "backbone.width_multiplier": 1 / 64}), num_images=0)
    net = model.net
    net.projector = build_projector(config.projector, hp["c2"])
    net.predictor = build_predictor(config.predictor, hp["dim"])
    net.add_module("backbone", TinyBackbone(hp["c1"], hp["c2"]))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps, module.momentum = hp["bn_eps"], hp["bn_momentum"]
    net.double().train().load_state_dict(_state(golden, "state/"))
    yield from _check_first_step(golden, model)
    net.load_state_dict(_state(golden, "state/"))
    yield from _check_trajectory(golden, model, config)


def _config(golden: Golden, *, hidden_dim: int) -> RunConfig:
    return override(
        recipe("simsiam_imagenet_released"),
        {
            "projector.hidden_dim": hidden_dim,
            "projector.dim": golden.hp["dim"],
            "predictor.hidden_dim": golden.hp["pred_dim"],
        },
    )


def _batch(golden: Golden, step: int) -> Batch:
    """The two views of a step."""
    view_1, view_2 = golden.tensor("x1")[step], golden.tensor("x2")[step]
    rows = torch.arange(len(view_1))
    return Batch(step, rows, rows, [view_1, view_2])


def _check_first_step(golden: Golden, model: TinySimSiam) -> Iterator[Outcome]:
    """Outputs, loss, gradients and BN statistics of the first batch."""
    predictions: list[Tensor] = []
    hook = model.net.predictor.register_forward_hook(lambda _module, _args, p: predictions.append(p.detach()))
    output = model.step(_batch(golden, 0))
    output.loss.backward()
    hook.remove()

    z_1, z_2 = (z.detach() for z in output.projections)
    for ours, key in ((z_1, "z1"), (z_2, "z2"), (predictions[0], "p1"), (predictions[1], "p2")):
        yield compare(key, ours, golden[key], **FLOAT64)
    yield compare("loss", output.loss.item(), golden["loss"], **FLOAT64)
    gradients = {name: p.grad for name, p in model.net.named_parameters() if p.grad is not None}
    yield from _compare_states("gradients", gradients, _state(golden, "grad/"))
    buffers = dict(model.net.named_buffers())
    yield from _compare_states("BN statistics", buffers, _state(golden, "buf_after_step0/"))
    model.zero_grad()


def _check_trajectory(golden: Golden, model: TinySimSiam, config: RunConfig) -> Iterator[Outcome]:
    """Some steps of training, one an epoch, from the first again."""
    hp = golden.hp
    optimizer = build_optimizer(
        OptimizerConfig(momentum=hp["sgd_momentum"], weight_decay=hp["weight_decay"], decay_norm_and_bias=True),
        model,
        constant_lr=model.net.predictor if hp["fix_pred_lr"] else None,
    )
    peak = peak_lr(hp["lr"], config.optimizer.lr_scaling, hp["batch_size_for_lr"])
    yield compare("peak of the learning rate", peak, hp["init_lr"], **FLOAT64)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    of_both = [groups[id(next(part.parameters()))] for part in (model.net.backbone, model.net.predictor)]
    num_groups = golden["lrs_per_group"].shape[1]  # the reference has one group where the predictor's rate decays too
    losses, rates = [], []
    for step in range(hp["steps"]):
        set_lr(optimizer, lr_at(step, peak, 0, hp["epochs"]), peak)
        rates.append([group["lr"] for group in of_both][:num_groups])
        loss = model.step(_batch(golden, step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    yield compare("learning rates", rates, golden["lrs_per_group"], **FLOAT64)
    yield compare(f"losses of {hp['steps']} steps", losses, golden["losses"], **FLOAT64)
    yield from _compare_states("final state", model.net.state_dict(), _state(golden, "final/"))
    network = model.network().eval()
    with torch.no_grad():
        z = network.projector(network.features(golden.tensor("x1")[0]))
        yield compare("z after training, eval mode", z, golden["eval_z_after_training"], **FLOAT64)
        yield compare("p after training, eval mode", network.predictor(z), golden["eval_p_after_training"], **FLOAT64)


def _state(golden: Golden, prefix: str) -> dict[str, Tensor]:
    """The reference's tensors under our names, without the bias that we do not have."""
    theirs = {
        key.removeprefix(prefix): torch.from_numpy(golden[key]) for key in golden.arrays if key.startswith(prefix)
    }
    bias = torch.from_numpy(golden[f"state/{FROZEN_BIAS}"])
    theirs.pop(FROZEN_BIAS, None)
    if "encoder.fc.7.running_mean" in theirs:
        theirs["encoder.fc.7.running_mean"] = theirs["encoder.fc.7.running_mean"] - bias
    return {_our_name(key): value for key, value in theirs.items()}


def _our_name(key: str) -> str:
    return re.sub(r"^encoder\.(fc\.)?", lambda found: "projector." if found[1] else "backbone.", key)


def _compare_states(what: str, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> Iterator[Outcome]:
    """The worst of the tensors by name; ours may be more than theirs, not fewer."""
    yield compare(f"{what}: tensors without a counterpart", len(theirs.keys() - ours.keys()), 0)
    found = [compare(what, ours[name], theirs[name], **FLOAT64) for name in theirs.keys() & ours.keys()]
    yield max(found, key=lambda one: one.share, default=compare(what, [], []))


def _check_layout(golden: Golden) -> Iterator[Outcome]:
    """Parameters by part, and every key of the state with its shape."""
    depth = re.fullmatch(r"resnet(\d+)", golden.hp["arch"])
    if not depth or int(depth[1]) not in DEPTHS:
        yield NotCovered("all", f"no {golden.hp['arch']} here")
        return
    theirs = dict(zip(golden["names"].tolist(), golden["values"].tolist(), strict=True))
    config = override(_config(golden, hidden_dim=0), {"backbone.depth": int(depth[1])})
    with torch.device("meta"):
        model = build_network(config)
    parts = {"backbone": model.backbone, "projector": model.projector, "predictor": model.predictor}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    bias = theirs["total_params"] - theirs["trainable_params"]
    yield compare("numbers in the frozen bias", config.projector.dim, bias)
    yield compare("parameters that are trained", sum(counts.values()), theirs["trainable_params"])
    for name, count in counts.items():
        yield compare(f"parameters, {name}", count, theirs[f"{name}_params"] - (bias if name == "projector" else 0))

    shapes = zip(
        golden["state_keys"].tolist(), golden["state_ndim"].tolist(), golden["state_shapes"].tolist(), strict=True
    )
    expected = {_our_name(key.removeprefix("module.")): tuple(shape[:ndim]) for key, ndim, shape in shapes}
    expected.pop(_our_name(FROZEN_BIAS), None)
    ours = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    yield compare("keys of the state, or shapes, that differ", len(set(ours.items()) ^ set(expected.items())), 0)
