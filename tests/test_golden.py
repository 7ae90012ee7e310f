"""Parity with the original authors' code, by the numbers it gave: tests/golden/README.md has sources, tolerances."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor, nn

from simclr_core.backbones import ResNet
from simclr_core.config import BackboneConfig, OptimizerConfig, ProjectorConfig, RunConfig
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.score import score
from simclr_core.heads import build_projector
from simclr_core.losses import nt_xent
from simclr_core.methods import build_method
from simclr_core.methods.simsiam import SimSiam
from simclr_core.optim import LARS, build_optimizer, lr_at, peak_lr, set_lr
from simclr_core.options import override
from simclr_core.recipes import recipe

GOLDEN = Path(__file__).parent / "golden"


class Golden:
    """One file: its arrays by name, its hyper-parameters in ``hp``."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            self.arrays: dict[str, NDArray[Any]] = {key: file[key] for key in file.files}
        self.hp: dict[str, Any] = json.loads(str(self.arrays.pop("hp_json")))

    def __getitem__(self, key: str) -> NDArray[Any]:
        return self.arrays[key]

    def tensor(self, key: str) -> Tensor:
        """An array as float64: the precision that the comparisons are made in."""
        return torch.from_numpy(self.arrays[key]).double()

    def table(self) -> list[dict[str, int]]:
        """The rows of a table of counts, by column name."""
        return [dict(zip(self["columns"].tolist(), row, strict=True)) for row in self["table"].tolist()]


def test_every_golden_file_is_used() -> None:
    names = {path.name[:2] for path in GOLDEN.glob("*.npz")}
    tested = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert {name for name in names if f'"{name}_' not in tested} == set()


# NT-Xent. The reference sums the means over either view: its loss and gradient are twice the paper's mean over N.


@pytest.mark.parametrize("letter", "abcdg")
def test_nt_xent_loss_and_gradient(letter: str) -> None:
    golden = Golden(f"01_ntxent_{letter}")
    z = golden.tensor("z").requires_grad_()

    loss = nt_xent(*z.chunk(2), float(golden["temperature"]))
    loss.backward()

    assert z.grad is not None
    assert_allclose(2 * loss.item(), golden["loss_google"], rtol=2e-5, atol=2e-6)
    assert_allclose(2 * z.grad, golden["grad_z_google"], rtol=2e-5, atol=2e-6)
    assert_allclose(loss.item(), golden["loss_lightly"], rtol=1e-10)
    assert_allclose(loss.item(), golden["loss_solo"], rtol=1e-10)
    assert_allclose(z.grad, golden["grad_z_lightly"], rtol=1e-10, atol=1e-15)


def test_nt_xent_of_unit_vectors_has_the_tangential_part_of_the_unnormalised_gradient() -> None:
    golden = Golden("01_ntxent_f")
    z = golden.tensor("z").requires_grad_()

    loss = nt_xent(*z.chunk(2), float(golden["temperature"]))
    loss.backward()

    raw = golden.tensor("grad_z_google")
    tangential = raw - (raw * z).sum(1, keepdim=True).detach() * z.detach()
    assert z.grad is not None
    assert_allclose(2 * loss.item(), golden["loss_google"], rtol=2e-5, atol=2e-6)
    assert_allclose(2 * z.grad, tangential, rtol=2e-5, atol=2e-6)


# LARS


@pytest.mark.parametrize(
    "name",
    [
        "02_lars_big_wd",
        "02_lars_simclr_0_float32",
        "02_lars_simclr_0_float64",
        "02_lars_simclr_1_float64",
        "02_lars_simclr_2_float64",
        "02_lars_simclr_3_float64",
    ],
)
def test_lars_trajectory(name: str) -> None:
    golden = Golden(name)
    excluded = re.compile("|".join(golden.hp["exclude_regex"]))
    variables = golden["names"].tolist()
    weights = [nn.Parameter(torch.from_numpy(golden[f"p{i}_init"])) for i in range(len(variables))]
    adapted = [w for w, variable in zip(weights, variables, strict=True) if not excluded.search(variable)]
    vectors = [w for w, variable in zip(weights, variables, strict=True) if excluded.search(variable)]
    optimizer = LARS(
        [{"params": adapted}, {"params": vectors, "weight_decay": 0.0, "adapt": False}],
        lr=float(np.float32(golden.hp["lr"])),  # the reference stores its learning rate as float32
        momentum=golden.hp["momentum"],
        weight_decay=golden.hp["weight_decay"],
        trust_coefficient=golden.hp["eeta"],
    )
    rtol = {"float64": 1e-10, "float32": 2e-6}[golden.hp["dtype"]]

    for step in range(golden.hp["steps"]):
        for i, w in enumerate(weights):
            w.grad = torch.from_numpy(golden[f"p{i}_grads"][step])
        optimizer.step()

        for i, w in enumerate(weights):
            for ours, theirs in (
                (w.detach(), golden[f"p{i}_traj"][step]),
                (optimizer.state[w]["momentum_buffer"], golden[f"p{i}_momentum"][step]),
            ):
                # In float32 a momentum that all but cancels is off by the rounding of what it was made from.
                atol = rtol * np.abs(theirs).max() if theirs.dtype == np.float32 else 0
                assert_allclose(ours, theirs, rtol=rtol, atol=atol)


# Learning rate


@pytest.mark.parametrize("number", range(7))
def test_learning_rate_schedule(number: int) -> None:
    golden = Golden(f"03_schedule_{number}")
    hp = golden.hp
    peak = peak_lr(hp["base_learning_rate"], hp["learning_rate_scaling"], hp["train_batch_size"])
    warmup_steps = int(hp["warmup_epochs"] * hp["num_examples"] // hp["train_batch_size"])

    ours = [lr_at(step, peak, warmup_steps, int(golden["total_steps"])) for step in golden["steps"].tolist()]

    assert_allclose(ours, golden["lr"], rtol=2e-6, atol=2e-7 * peak)


# Backbones and heads


def test_backbone_counts() -> None:
    rows = [
        row for row in Golden("04_resnet_counts").table() if not row["sk_ratio_x10000"] and not row["se_ratio_x10000"]
    ]
    assert len(rows) == 30
    for row in rows:
        stem = "cifar" if row["cifar_stem"] else "imagenet"
        with torch.device("meta"):
            resnet = ResNet(BackboneConfig(depth=row["depth"], width_multiplier=row["width"], stem=stem))
        parameters = list(resnet.parameters())
        ours = (
            sum(p.numel() for p in parameters),
            sum(p.numel() for p in parameters if p.ndim == 4),
            sum(b.numel() for b in resnet.buffers() if b.ndim == 1),
            len(parameters),
            resnet.num_features,
        )
        channels = 64 * row["width"]
        # The reference also projects the first shortcut of the basic-block networks; torchvision's does not.
        extra = (channels**2 + 2 * channels, channels**2, 2 * channels, 3, 0) if row["depth"] < 50 else (0, 0, 0, 0, 0)
        theirs = (
            row["trainable_params"],
            row["conv_kernel_params"],
            row["non_trainable_params(bn moving stats)"],
            row["n_trainable_tensors"],
            row["feature_dim"],
        )
        assert tuple(a + b for a, b in zip(ours, extra, strict=True)) == theirs, row


def test_projector_counts() -> None:
    for row in Golden("05_projhead_counts").table():
        layers = row["num_proj_layers"]
        config = ProjectorConfig(kind="linear" if layers == 1 else "nonlinear", dim=row["proj_out_dim"])
        with torch.device("meta"):
            projector = build_projector(override(config, {"num_layers": layers}), row["in_dim"])
        parameters = list(projector.parameters())

        assert sum(p.numel() for p in parameters) == row["trainable_params"], row
        assert sum(b.numel() for b in projector.buffers() if b.ndim == 1) == row["non_trainable_params"], row
        assert len(parameters) == row["n_trainable_tensors"], row


@pytest.mark.parametrize("num_layers", [2, 3])
def test_projector_outputs_gradients_and_statistics(num_layers: int) -> None:
    golden = Golden(f"05_projhead_io_{num_layers}layer")
    x = golden.tensor("x").requires_grad_()
    config = ProjectorConfig(num_layers=num_layers, dim=golden.hp["proj_out_dim"])
    projector = build_projector(config, golden.hp["in_dim"]).double()
    assert isinstance(projector, nn.Sequential)
    linears = [projector[3 * j] for j in range(num_layers)]
    norms = [projector[3 * j + 1] for j in range(num_layers)]
    with torch.no_grad():
        for j, (linear, norm) in enumerate(zip(linears, norms, strict=True)):
            linear.weight.copy_(golden.tensor(f"l{j}_kernel").T)
            norm.weight.copy_(golden.tensor(f"l{j}_gamma"))
            norm.running_mean.copy_(golden.tensor(f"l{j}_moving_mean"))
            norm.running_var.copy_(golden.tensor(f"l{j}_moving_var"))
            if j < num_layers - 1:
                norm.bias.copy_(golden.tensor(f"l{j}_beta"))

    projector.eval()
    with torch.no_grad():
        assert_allclose(projector(x), golden["out_eval"], rtol=1e-10, atol=1e-10)
        for j in range(num_layers):
            assert_allclose(projector[: 3 * j](x), golden[f"eval_selector_{j}"], rtol=1e-10, atol=1e-10)

    projector.train()
    z = projector(x)
    (z * torch.linspace(-1, 1, z.numel(), dtype=torch.float64).reshape(z.shape)).sum().backward()
    assert x.grad is not None
    assert_allclose(z.detach(), golden["out_train"], rtol=1e-10, atol=1e-10)
    assert_allclose(x.grad, golden["grad_x_train"], rtol=1e-10, atol=1e-10)
    for j, (linear, norm) in enumerate(zip(linears, norms, strict=True)):
        assert_allclose(linear.weight.grad.T, golden[f"l{j}_grad_kernel_train"], rtol=1e-10, atol=1e-10)
        # The reference's decay is a float32 constant, and it moves the variance by the biased batch variance.
        biased = (len(x) - 1) / len(x)
        old_var = golden[f"l{j}_moving_var"]
        moved_var = 0.9 * old_var + (norm.running_var.numpy() - 0.9 * old_var) * biased
        assert_allclose(norm.running_mean, golden[f"l{j}_moving_mean_after"], rtol=0, atol=5e-8)
        assert_allclose(moved_var, golden[f"l{j}_moving_var_after"], rtol=0, atol=5e-8)


# SimSiam


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


class TinySimSiam(SimSiam):
    """SimSiam on that backbone, in float64 throughout."""

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F), without the cast to float32."""
        features: Tensor = self.backbone(images)
        return features


def _our_name(key: str) -> str:
    return re.sub(r"^encoder\.(fc\.)?", lambda found: "projector." if found[1] else "backbone.", key)


def _simsiam_state(golden: Golden, prefix: str) -> dict[str, Tensor]:
    """The reference's tensors under our names.

    The last linear layer of the reference's projector has a frozen bias before a BN, which takes it out again; ours
    has none, so the BN's running mean lies lower by just that bias.
    """
    theirs = {
        key.removeprefix(prefix): torch.from_numpy(golden[key]) for key in golden.arrays if key.startswith(prefix)
    }
    bias = torch.from_numpy(golden["state/encoder.fc.6.bias"])
    theirs.pop("encoder.fc.6.bias", None)
    if "encoder.fc.7.running_mean" in theirs:
        theirs["encoder.fc.7.running_mean"] = theirs["encoder.fc.7.running_mean"] - bias
    return {_our_name(key): value for key, value in theirs.items()}


@pytest.fixture
def simsiam_golden() -> Golden:
    return Golden("07_simsiam_step")


@pytest.fixture
def simsiam(simsiam_golden: Golden) -> TinySimSiam:
    hp = simsiam_golden.hp
    config = override(
        recipe("simsiam_imagenet"),
        {
            "projector.hidden_dim": hp["c2"],
            "projector.dim": hp["dim"],
            "predictor.hidden_dim": hp["pred_dim"],
            "training.precision": "float32",
        },
    )
    model = TinySimSiam(config)
    model.projector = build_projector(config.projector, hp["c2"])
    model.backbone = TinyBackbone(hp["c1"], hp["c2"])
    model.double().load_state_dict(_simsiam_state(simsiam_golden, "state/"))
    return model.train()


def test_simsiam_outputs_loss_gradients_and_statistics(simsiam: TinySimSiam, simsiam_golden: Golden) -> None:
    view_1, view_2 = simsiam_golden.tensor("x1")[0], simsiam_golden.tensor("x2")[0]
    predictions: list[Tensor] = []
    simsiam.predictor.register_forward_hook(lambda _module, _args, p: predictions.append(p.detach()))

    output = simsiam(view_1, view_2)
    output.loss.backward()

    z_1, z_2 = output.z.detach().chunk(2)
    for ours, key in ((z_1, "z1"), (z_2, "z2"), (predictions[0], "p1"), (predictions[1], "p2")):
        assert_allclose(ours, simsiam_golden[key], rtol=1e-10, atol=1e-10)
    assert_allclose(output.loss.item(), simsiam_golden["loss"], rtol=1e-10, atol=1e-10)
    gradients = _simsiam_state(simsiam_golden, "grad/")
    parameters = dict(simsiam.named_parameters())
    assert parameters.keys() == gradients.keys()
    for name, theirs in gradients.items():
        assert_allclose(parameters[name].grad, theirs, rtol=1e-10, atol=1e-10, err_msg=name)
    buffers = dict(simsiam.named_buffers())
    for name, theirs in _simsiam_state(simsiam_golden, "buf_after_step0/").items():
        assert_allclose(buffers[name], theirs, rtol=1e-10, atol=1e-10, err_msg=name)


def test_simsiam_trajectory(simsiam: TinySimSiam, simsiam_golden: Golden) -> None:
    hp = simsiam_golden.hp
    config = OptimizerConfig(momentum=hp["sgd_momentum"], weight_decay=hp["weight_decay"], decay_norm_and_bias=True)
    optimizer = build_optimizer(config, simsiam, constant_lr=simsiam.predictor)
    peak = peak_lr(hp["lr"], "linear", hp["batch_size_for_lr"])
    losses = []
    for step, rates in enumerate(simsiam_golden["lrs_per_group"].tolist()):  # one step an epoch
        set_lr(optimizer, lr_at(step, peak, 0, hp["epochs"]), peak)
        assert_allclose([group["lr"] for group in optimizer.param_groups if not group["constant_lr"]], rates[0])
        assert_allclose([group["lr"] for group in optimizer.param_groups if group["constant_lr"]], rates[1])
        loss = simsiam(simsiam_golden.tensor("x1")[step], simsiam_golden.tensor("x2")[step]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert_allclose(losses, simsiam_golden["losses"], rtol=1e-10, atol=1e-10)
    state = simsiam.state_dict()
    for name, theirs in _simsiam_state(simsiam_golden, "final/").items():
        assert_allclose(state[name], theirs, rtol=1e-10, atol=1e-10, err_msg=name)
    simsiam.eval()
    with torch.no_grad():
        z = simsiam.projector(simsiam.features(simsiam_golden.tensor("x1")[0]))
        assert_allclose(z, simsiam_golden["eval_z_after_training"], rtol=1e-10, atol=1e-10)
        assert_allclose(simsiam.predictor(z), simsiam_golden["eval_p_after_training"], rtol=1e-10, atol=1e-10)


def test_simsiam_resnet50_counts_and_state() -> None:
    golden = Golden("07_simsiam_resnet50_counts")
    theirs = dict(zip(golden["names"].tolist(), golden["values"].tolist(), strict=True))
    config: RunConfig = recipe("simsiam_imagenet")
    with torch.device("meta"):
        model = build_method(config)

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    frozen_bias = theirs["total_params"] - theirs["trainable_params"]
    assert frozen_bias == config.projector.dim
    assert count(model) == theirs["trainable_params"]
    assert count(model.backbone) == theirs["backbone_params"]
    assert count(model.projector) == theirs["projector_params"] - frozen_bias
    assert count(model.predictor) == theirs["predictor_params"]
    shapes = zip(
        golden["state_keys"].tolist(), golden["state_ndim"].tolist(), golden["state_shapes"].tolist(), strict=True
    )
    state = {_our_name(key.removeprefix("module.")): tuple(shape[:ndim]) for key, ndim, shape in shapes}
    del state["projector.6.bias"]
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == state


# kNN


@pytest.mark.parametrize("name", ["12_knn_k20_T007", "12_knn_k200_T01", "12_knn_k_over"])
def test_knn_predictions(name: str) -> None:
    golden = Golden(name)
    bank, bank_labels = golden.tensor("train_features"), torch.from_numpy(golden["train_labels"])
    queries, query_labels = golden.tensor("test_features"), torch.from_numpy(golden["test_labels"])
    k, temperature = golden.hp["k"], golden.hp["T"]

    scores = knn_scores(bank, bank_labels, queries, golden.hp["classes"], k=k, temperature=temperature)
    found = score(scores, query_labels)

    clear = golden["relative_top2_gap_f64"] > 1e-5
    assert_allclose(scores.argmax(1).numpy()[clear], golden["pred_ranked"][clear, 0])
    one_sample = 100 / len(queries) + 1e-9
    for source in ("lightly", "solo", "instdisc"):
        assert found.top1 == pytest.approx(float(golden[f"top1_{source}"]), abs=one_sample)
    assert found.top5 == pytest.approx(float(golden["top5_solo"]), abs=one_sample)
