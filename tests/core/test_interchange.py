"""Checkpoints that leave for torchvision, and those that come in SimSiam's layout."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import small_config, small_dataset, small_network
from torch import Tensor, nn
from torchvision import models
from typer.testing import CliRunner, Result

from ablations import console
from ablations.commands.cli import app
from simclr_core import interchange, run
from simclr_core.config.identity import canonical, eval_id, run_id
from simclr_core.config.options import ConfigError, override
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import BackboneConfig, EvalConfig, RunConfig
from simclr_core.interchange import CheckpointError, evaluate_checkpoint, load_backbone
from simclr_core.methods import build_network
from simclr_core.networks.resnet import ResNet
from simclr_core.records import read_json, write_json
from simclr_core.training import checkpoint

LAYOUT = json.loads((Path(__file__).parents[1] / "golden" / "07_simsiam_resnet50_checkpoint_layout.json").read_text())
Ablate = Callable[..., Result]


@pytest.fixture
def ablate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ablate:
    monkeypatch.chdir(tmp_path)
    for shown in (console.out, console.err):
        monkeypatch.setattr(shown, "_width", 200)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def with_statistics(network: nn.Module) -> None:
    """Weights and BN statistics that all count: none is 0 or 1."""
    source = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=source))


def finished_run(store: Path, outcome: str = "trained", **values: object) -> tuple[RunConfig, nn.Module, Path]:
    """The folder of a run of a ResNet with the ImageNet stem, without any training."""
    changes = {"backbone.depth": 18, "backbone.stem": "imagenet", "projector.dim": 8, "projector.hidden_dim": 8}
    config = override(recipe("simsiam_imagenet"), changes | {k.replace("__", "."): v for k, v in values.items()})
    torch.manual_seed(0)
    method = build_network(config).eval()
    with_statistics(method.backbone)
    folder = store / run_id(config)
    write_json(folder / "spec.json", {"config_version": 1, "run_id": run_id(config), "config": canonical(config)})
    write_json(folder / "result.json", {"outcome": outcome})
    checkpoint.save(folder, {"method": method.state_dict()})
    return config, method, folder


def assert_same_features(ours: nn.Module, torchvisions: nn.Module) -> None:
    """In float64: the layouts in memory differ, and with them the order of float32's sums."""
    torchvisions.fc = nn.Identity()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.double().eval()(images), torchvisions.double().eval()(images), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("depth", [18, 50])
def test_an_export_is_torchvisions_resnet_without_its_classifier(depth: int, ablate: Ablate, tmp_path: Path) -> None:
    _, method, folder = finished_run(tmp_path / "runs", backbone__depth=depth)
    done = ablate("export", folder.name[:20], "--format", "torchvision", "--out", "models/r.pt")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"models/r.pt: for torchvision.models.resnet{depth}(), load_state_dict(..., strict=False);"
        " images in [0, 1], normalization imagenet\n"
    )
    state = torch.load(tmp_path / "models" / "r.pt", weights_only=True)
    model = getattr(models, f"resnet{depth}")()
    keys = model.load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["fc.weight", "fc.bias"], [])
    assert all(tensor.is_contiguous() for tensor in state.values())
    assert_same_features(method.backbone, model)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["r.pt"]


def test_a_run_is_named_by_its_folder_too(ablate: Ablate, tmp_path: Path) -> None:
    _, _, folder = finished_run(tmp_path / "elsewhere")

    assert ablate("export", folder, "--out", "r.pt").exit_code == 0
    assert (tmp_path / "r.pt").exists()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"backbone__stem": "cifar"},
            (
                "backbone.stem = 'cifar': torchvision's conv1 is 7x7 with stride 2 and a max-pool after it, this one's"
                " 3x3 without; layer1 to layer4 would fit, conv1 does not"
            ),
        ),
        (
            {"backbone__width_multiplier": 0.25},
            "backbone.width_multiplier = 0.25: torchvision's channels are those of 1; nothing fits",
        ),
        (
            {"backbone__layout": "original"},
            (
                "backbone.layout = 'original': other shortcuts below depth 50, and a max-pool that pads otherwise,"
                " so that the same weights give other features"
            ),
        ),
        (
            {"backbone__depth": 10},
            "backbone.depth = 10: torchvision has no such ResNet; it has 18, 34, 50, 101, 152",
        ),
    ],
)
def test_networks_that_torchvision_has_not_are_refused(
    values: dict[str, object], problem: str, ablate: Ablate, tmp_path: Path
) -> None:
    _, _, folder = finished_run(tmp_path / "runs", **values)
    done = ablate("export", folder.name, "--out", "r.pt")

    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {problem}\n")
    assert not (tmp_path / "r.pt").exists()


def test_what_cannot_be_exported_is_told(ablate: Ablate, tmp_path: Path) -> None:
    _, _, folder = finished_run(tmp_path / "runs", outcome="diverged", backbone__stem="small")
    (folder / "checkpoint.pt").unlink()
    relative = f"{tmp_path}/runs/{folder.name}"
    done = ablate("export", relative, "--out", "r.pt")
    lines = done.stderr.splitlines()
    assert (done.exit_code, lines[0]) == (2, "error: 3 problems")
    assert lines[2:] == [
        f"  - {folder}/result.json: the run diverged; there are no weights to export",
        f"  - {folder}/checkpoint.pt: no such file; the run has to be trained again",
    ]
    (folder / "result.json").unlink()

    assert "result.json: no such file; the run is not finished" in ablate("export", folder, "--out", "r.pt").stderr
    assert "(did you mean 'torchvision'?)" in ablate("export", folder, "--out", "r.pt", "--format", "torchvisio").stderr
    assert "--out runs: is a folder" in ablate("export", folder, "--out", "runs").stderr
    assert "no run 'other'" in ablate("export", "other", "--out", "r.pt").stderr


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in SimSiam's layout to the letter, with an optimiser's state, of random numbers."""
    source = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for entry in LAYOUT["state_dict"]:
        if entry["dtype"] == "int64":
            state[entry["key"]] = torch.tensor(7)
        elif len(entry["shape"]) == 1:
            state[entry["key"]] = 0.5 + torch.rand(entry["shape"], generator=source)
        else:
            scale = 1 / torch.Size(entry["shape"][1:]).numel() ** 0.5
            state[entry["key"]] = scale * torch.randn(entry["shape"], generator=source)
    optimizer = {
        "state": {0: {"momentum_buffer": torch.zeros(64, 3, 7, 7)}},
        "param_groups": [{"lr": 0.1, "params": [0]}],
    }
    content = {"epoch": 100, "arch": "resnet50", "state_dict": state, "optimizer": optimizer}
    assert list(content) == LAYOUT["checkpoint_top_level_keys"]
    path = tmp_path_factory.mktemp("released") / "checkpoint_0099.pth.tar"
    torch.save(content, path)
    return path


def test_a_released_simsiam_checkpoint_is_its_resnet_50(released: Path) -> None:
    """Features of torchvision's ResNet-50 with the encoder's tensors, as SimSiam's main_lincls takes them."""
    config = BackboneConfig(depth=50)
    backbone = ResNet(config).eval()
    told = load_backbone(released, backbone, config)
    state = torch.load(released, weights_only=True)["state_dict"]
    encoder = {key.removeprefix("module.encoder."): value for key, value in state.items() if ".encoder." in key}
    model = models.resnet50()
    model.load_state_dict({key: value for key, value in encoder.items() if not key.startswith("fc")}, strict=False)

    assert len(state) == LAYOUT["info"]["n_state_entries"] == 343
    assert told == {"arch": "resnet50", "epoch": 100}
    assert sum(p.numel() for p in backbone.parameters()) == LAYOUT["info"]["backbone_params"]
    assert backbone.bn1.num_batches_tracked == 7
    assert_same_features(backbone, model)


def test_another_network_is_told_in_full(released: Path) -> None:
    config = BackboneConfig(depth=50, stem="cifar", width_multiplier=0.5)
    with pytest.raises(CheckpointError) as caught:
        load_backbone(released, ResNet(config), config)
    shapes, network = caught.value.problems

    assert shapes.startswith(
        f"{released}: conv1.weight (64, 3, 7, 7), not (32, 3, 3, 3), bn1.weight (64,), not (32,), "
    )
    assert shapes.endswith("more: of another shape")
    assert network == (
        "expected: the backbone of depth 50, width_multiplier 0.5, stem cifar, zero_init_residual True,"
        " as module.encoder.*, backbone.* or without a prefix"
    )
    shallow = BackboneConfig(depth=18)
    with pytest.raises(CheckpointError, match=r"layer1\.0\.conv3\.weight, .* more: not known"):
        load_backbone(released, ResNet(shallow), shallow)
    deeper = BackboneConfig(depth=101)
    with pytest.raises(CheckpointError, match=r"layer3\.6\.conv1\.weight, .* more: missing"):
        load_backbone(released, ResNet(deeper), deeper)


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("ran",))


def test_files_that_are_no_checkpoints_are_told_and_run_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = BackboneConfig(depth=10)
    backbone = ResNet(config)
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"state_dict": Harmful()}, tmp_path / "code.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"state_dict": {}}, tmp_path / "nothing.pt")
    expected = {
        "missing.pt": os.strerror(errno.ENOENT),
        "text.pt": "not a file of tensors that torch can load",
        "empty.pt": "not a file of tensors that torch can load",
        "code.pt": "not a file of tensors that torch can load",
        "list.pt": "holds a list; expected a state dict",
        "nothing.pt": "conv1.weight, bn1.weight, bn1.bias and 57 more: missing",
    }

    for name, message in expected.items():
        with pytest.raises(CheckpointError) as caught:
            load_backbone(tmp_path / name, backbone, config)
        assert caught.value.problems[0].startswith(f"{tmp_path / name}: {message}"), name
    assert capsys.readouterr().out == ""


def test_a_checkpoint_from_before_batches_were_counted_is_loaded(tmp_path: Path) -> None:
    config = BackboneConfig(depth=10)
    torch.manual_seed(0)
    full = ResNet(config).state_dict()
    torch.save({name: tensor for name, tensor in full.items() if "num_batches" not in name}, tmp_path / "old.pth")
    backbone = ResNet(config)
    load_backbone(tmp_path / "old.pth", backbone, config)

    assert all(torch.equal(tensor, full[name]) for name, tensor in backbone.state_dict().items())


WRONG_STATES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "NaN": (lambda s: s | {"conv1.weight": s["conv1.weight"] * math.nan}, "conv1.weight: not finite (NaN or infinite)"),
    "infinity": (lambda s: s | {"bn1.bias": s["bn1.bias"] + math.inf}, "bn1.bias: not finite (NaN or infinite)"),
    "a list": (lambda s: {"state_dict": list(s)}, "its state is a list; expected a dict of tensors by name"),
    "a tensor": (lambda _: {"state_dict": torch.zeros(3)}, "its state is a Tensor; expected a dict of tensors by name"),
    "integer keys": (lambda s: s | {0: torch.zeros(1)}, "has 0 as a key; expected names, such as conv1.weight"),
    "integers": (lambda s: s | {"bn1.bias": s["bn1.bias"].int()}, "bn1.bias strided of int32, not strided of float32"),
    "complex": (lambda s: s | {"bn1.bias": s["bn1.bias"] + 0j}, "bn1.bias strided of complex64, not strided of float"),
    "no values": (lambda s: s | {"bn1.bias": s["bn1.bias"].to("meta")}, "bn1.bias strided of float32 without values"),
}


@pytest.mark.parametrize("name", WRONG_STATES)
def test_a_state_that_no_network_can_have_is_one_message(name: str, ablate: Ablate, tmp_path: Path) -> None:
    change, expected = WRONG_STATES[name]
    path = tmp_path / "wrong.pth"
    torch.save(change(small_network(small_config()).backbone.state_dict()), path)
    narrow = ["--recipe", "simclr_mini", "backbone.width_multiplier=0.125"]
    done = ablate("evaluate-checkpoint", path, *narrow, "--out", "scored", "--device", "cpu")

    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{path}: {expected}" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "scored").exists()


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """The backbone of an untrained small network under torchvision's names, with a classifier that is passed over."""
    path = tmp_path / "backbone.pt"
    torch.save({**small_network(small_config()).backbone.state_dict(), "fc.weight": torch.zeros(6, 3)}, path)
    return path


def test_a_checkpoint_is_evaluated_as_a_run_is(
    ablate: Ablate, small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same scores as from a run's folder, and once only."""
    monkeypatch.setattr(interchange, "load_dataset", lambda *_: small_dataset())
    settings = ["data.name=toy", "data.image_size=16", "data.train_images=40", "backbone.width_multiplier=0.125"]
    settings.append("training.global_batch_size=8")
    arguments = ["evaluate-checkpoint", small_file, *settings, "--recipe", "simclr_mini", "--out", "scored"]
    done = ablate(*arguments, "--num-labels", 24, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "linear_top1" in done.stdout
    evaluations = [EvalConfig(protocol=protocol, num_labels=24) for protocol in ("linear", "knn")]
    results = [read_json(tmp_path / "scored" / "evals" / f"{eval_id(e)}.json") for e in evaluations]
    method = small_network(small_config())

    with monkeypatch.context() as patch:
        patch.setattr(run, "load_dataset", lambda *_, **__: small_dataset())
        run._load_once.cache_clear()
        folder = tmp_path / "run"
        config = small_config(projector__dim=128)
        folder.mkdir()
        write_json(folder / "result.json", {"outcome": "trained"})
        other = build_network(config)
        other.backbone.load_state_dict(method.backbone.state_dict())
        checkpoint.save(folder, {"method": other.state_dict()})
        run.execute(config, evaluations, RuntimeConfig(device="cpu"), folder)
        run._load_once.cache_clear()
    for evaluation, result in zip(evaluations, results, strict=True):
        own = read_json(folder / "evals" / f"{eval_id(evaluation)}.json")
        assert {**own, "duration_s": 0} == {**result, "duration_s": 0}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "scored").rglob("*")}
    assert ablate(*arguments, "--num-labels", 24).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "scored").rglob("*")} == before
    refused = ablate(*arguments, "--num-labels", 12, "data.image_size=8")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "checkpoint.json: is about another checkpoint, network or data; choose another folder" in refused.stderr


def test_wrong_input_for_a_checkpoints_evaluation_is_told(ablate: Ablate, small_file: Path, tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        done = ablate("evaluate-checkpoint", small_file, "--out", "scored", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        return done.stderr

    assert "(did you mean 'simclr_mini'?)" in error("--recipe", "simclr_mimi")
    assert "'data.name': expected key=value, as in data.name=cifar10" in error("data.name", "--recipe", "simclr_mini")
    assert "data.nam: no such setting" in error("data.nam=x", "--recipe", "simclr_mini")
    assert "of another shape" in error("--recipe", "simclr_mini")
    narrow = ["backbone.width_multiplier=0.125", "data.name=nowhere"]
    assert "data.name = 'nowhere': no folder data/nowhere" in error(*narrow, "--recipe", "simclr_mini")
    evaluations = [EvalConfig(embedding="z")]
    with pytest.raises(ConfigError, match="linear_z_top1: the backbone alone is loaded; expected 'features'"):
        evaluate_checkpoint(small_file, small_config(), evaluations, RuntimeConfig(), tmp_path / "scored")
