"""Evaluations that keep their network, and those that read inside the projector, against computations by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ablate, WriteGrid
from small_data import CPU, NUM_CLASSES, small_config, small_dataset, small_network, small_source
from torch import Tensor
from torch.nn import functional
from torchvision import models

from simclr_core import interchange
from simclr_core.config.identity import canonical, eval_id, run_id
from simclr_core.config.options import override
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data.datasets import ImageSet, label_indices
from simclr_core.evals import run as evaluating
from simclr_core.evals.embed import embed
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.linear import fit_linear
from simclr_core.methods import build_network
from simclr_core.networks.network import Network
from simclr_core.records import read_json, write_json
from simclr_core.training import checkpoint

LINEAR = EvalConfig(protocol="linear", num_labels=24)
SGD = EvalConfig(protocol="linear_sgd", num_labels=24, epochs=2, batch_size=8)
FINE_TUNE = EvalConfig(protocol="fine_tune", num_labels=24, epochs=2, batch_size=8)
KEEPING = [
    override(evaluation, {"embedding": embedding, "keep": True})
    for evaluation in (LINEAR, SGD, FINE_TUNE)
    for embedding in ("features", "head_1", "z")
]
DEEPER = {"projector__num_layers": 3, "projector__hidden_dim": 24}


def evaluated(
    evaluations: list[EvalConfig], folder: Path, config: RunConfig | None = None, outcome: str = "trained"
) -> tuple[Network, list[dict[str, Any]]]:
    config = config or small_config()
    network = small_network(config)
    source = small_source(config, network, small_dataset(), evaluations, outcome=outcome)
    evaluating.evaluate(source, evaluations, folder, lambda _: None)
    return network, [read_json(folder / "evals" / f"{eval_id(evaluation)}.json") for evaluation in evaluations]


def test_images() -> Tensor:
    images = small_dataset().test
    assert isinstance(images, ImageSet)
    return images.images.float() / 255


test_images.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("evaluation", KEEPING, ids=eval_id)
def test_a_kept_network_predicts_as_the_evaluation_did(evaluation: EvalConfig, tmp_path: Path) -> None:
    """By its tensors, module by module: backbone, projector up to the embedding, linear layer."""
    pretrained, (result,) = evaluated([evaluation], tmp_path)
    path = tmp_path / "evals" / f"{eval_id(evaluation)}.pt"
    content = torch.load(path, weights_only=True)
    state = content["method"]
    network = build_network(small_config()).eval()
    num_modules = {"features": 0, "head_1": 3, "z": 5}[evaluation.embedding]
    missing = network.load_state_dict({k: v for k, v in state.items() if k[:10] != "classifier"}, strict=False)
    with torch.no_grad():
        x = network.features(test_images())
        for module in network.projector[:num_modules]:
            x = module(x)
        weight, bias = state["classifier.weight"], state["classifier.bias"]
        scores = functional.linear(x.to(weight.dtype), weight, bias)

    assert missing.unexpected_keys == []
    assert {key.split(".")[0] for key in missing.missing_keys} <= {"projector"}
    assert {int(key.split(".")[1]) for key in state if key.startswith("projector")} <= set(range(num_modules))
    np.testing.assert_array_equal(scores.argmax(1).numpy(), np.load(path.with_suffix(".npy")))
    assert scores.shape == (30, NUM_CLASSES)
    assert content["sha256"] == result["weights_sha256"] == checkpoint.checksum(checkpoint.read(path))
    assert (content["eval_id"], content["config"]) == (eval_id(evaluation), canonical(small_config()))
    same = torch.equal(state["backbone.conv1.weight"], pretrained.backbone.conv1.weight)
    assert same == (evaluation.protocol != "fine_tune")


def test_keeping_changes_the_id_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and predictions stay, nothing is kept unasked, and the network is whole before the result is there."""
    write, early = evaluating.write_json, []

    def noting(path: Path, content: dict[str, Any]) -> None:
        early.append(path.with_suffix(".pt").exists())
        write(path, content)

    monkeypatch.setattr(evaluating, "write_json", noting)
    for evaluation in (LINEAR, SGD, FINE_TUNE):
        keeping = override(evaluation, {"keep": True})
        _, (one, other) = evaluated([evaluation, keeping], tmp_path)
        assert one["eval_id"] != other["eval_id"]
        assert one["metric"] == other["metric"]
        assert "keep" not in one["evaluation"]
        own = ("eval_id", "evaluation", "duration_s", "weights_sha256")
        assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}
        assert "weights_sha256" not in one
        assert not (tmp_path / "evals" / f"{eval_id(evaluation)}.pt").exists()
    assert early == [False, True] * 3


@pytest.mark.parametrize(("values", "outcome"), [({}, "diverged"), ({"base_lr": 1e30}, "trained")])
def test_what_has_no_scores_keeps_no_network(values: dict[str, float], outcome: str, tmp_path: Path) -> None:
    _, (result,) = evaluated([override(FINE_TUNE, {"keep": True, **values})], tmp_path, outcome=outcome)

    assert (result["top1"], result["weights_sha256"]) == (None, None)
    assert [path.suffix for path in (tmp_path / "evals").iterdir()] == [".json"]


def by_hand(network: Network, images: Tensor, embedding: str) -> Tensor:
    """Image by image: linear, BN by its running statistics and ReLU, as far as the embedding."""
    rows = []
    for image in images:
        with torch.no_grad():
            x = network.features(image[None])[0].double()
        linear = bn = None
        for number, module in enumerate(network.projector[: {"features": 0, "head_1": 3, "head_2": 6}[embedding]]):
            if number % 3 == 0:
                linear = module
                x = linear.weight.double() @ x
            elif number % 3 == 1:
                bn = module
                x = (x - bn.running_mean) / (bn.running_var.double() + bn.eps).sqrt() * bn.weight + bn.bias
            else:
                x = x.clamp_min(0)
        rows.append(x.detach().float())
    return torch.stack(rows)


def test_evaluations_read_after_any_projector_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings as made by hand, scores as of these embeddings, and one pass over a set of images for all."""
    config, names = small_config(**DEEPER), ("features", "head_1", "head_2", "z")
    knn = [EvalConfig(protocol="knn", embedding=name, num_labels=24, k=5) for name in names]
    linear = [EvalConfig(embedding=name, num_labels=24) for name in names]
    passes: list[int] = []
    features = Network.features

    def counting(self: Network, images: Tensor) -> Tensor:
        passes.append(len(images))
        return features(self, images)

    monkeypatch.setattr(Network, "features", counting)
    network, results = evaluated([*knn, *linear], tmp_path, config)
    assert passes[3:] == [30, 24]  # after those that gave BN its statistics
    monkeypatch.undo()

    train, labels = small_dataset().train, small_dataset().train.labels
    assert isinstance(train, ImageSet)
    rows = label_indices(labels, 24, 0)
    bank = embed(network, train, "none", CPU, rows=rows, names=names)
    queries = embed(network, small_dataset().test, "none", CPU, names=names)
    for name, by_votes, by_layer in zip(names, knn, linear, strict=True):
        if name != "z":
            for whole, images in ((bank, train.images[rows].float() / 255), (queries, test_images())):
                torch.testing.assert_close(whole.of(name), by_hand(network, images, name), rtol=1e-4, atol=1e-5)
        x, y = bank.of(name), queries.of(name)
        scores = knn_scores(x, labels[rows], y, NUM_CLASSES, k=5, temperature=0.1)
        layer = fit_linear(x, labels[rows]).scores(y, NUM_CLASSES)
        for evaluation, expected in ((by_votes, scores), (by_layer, layer)):
            found = np.load(tmp_path / "evals" / f"{eval_id(evaluation)}.npy")
            np.testing.assert_array_equal(found, expected.argmax(1).numpy())
    metrics = [result["metric"] for result in results]
    assert metrics[1] == "knn_head_1_top1"
    assert metrics[6] == "linear_head_2_top1"
    assert len({result["top1"] for result in results}) > 3


def test_a_probe_reads_inside_the_projector(tmp_path: Path) -> None:
    probe = EvalConfig(protocol="transform_probe", embedding="head_2", num_labels=24, epochs=2, batch_size=8)
    _, (result,) = evaluated([probe], tmp_path, small_config(**DEEPER))

    assert result["metric"] == "transform_probe_color_head_2_top1"
    assert result["num_test"] == 60
    assert 0 <= result["top1"] <= 100


def test_plan_refuses_layers_that_are_not_there_and_nothing_to_keep(ablate: Ablate, write_grid: WriteGrid) -> None:
    for entry, said in (
        ("protocol: linear, embedding: head_2", "the projector has 2 linear layers, and z is after the last"),
        ("protocol: linear, embedding: head_x", "expected one of features, z, head_1, head_2, ..."),
        ("protocol: linear, embedding: head_1, projector: 1", "projector: no such setting"),
        ("protocol: knn, keep: true", "keep = true: knn trains no classifier to keep"),
    ):
        grid = write_grid(("  - {protocol: knn", f"  - {{{entry}, num_labels: 7}}\n  - {{protocol: knn, embedding: z"))
        done = ablate("plan", str(grid), "--scale", "demo")
        assert (done.exit_code, said in done.stderr.replace("\n", " ")) == (2, True), done.stderr
    grid = write_grid(("protocol: knn", "protocol: linear, embedding: head_1, keep: true"))
    done = ablate("plan", str(grid), "--scale", "demo")
    assert done.exit_code == 0, done.stderr


def kept_by_a_run(store: Path, embedding: str) -> tuple[Path, str]:
    """A run's folder with a ResNet-18 that was fine-tuned on the small data set."""
    values = {"backbone__depth": 18, "backbone__stem": "imagenet", "backbone__width_multiplier": 1.0}
    config = small_config(**values)
    folder = store / run_id(config)
    write_json(folder / "spec.json", {"config_version": 1, "run_id": run_id(config), "config": canonical(config)})
    write_json(folder / "result.json", {"outcome": "trained"})
    evaluation = override(FINE_TUNE, {"embedding": embedding, "keep": True, "epochs": 1})
    network, _ = evaluated([evaluation], folder, config)
    checkpoint.save(folder, {"method": network.state_dict()})
    return folder, eval_id(evaluation)


def test_an_export_of_a_kept_network_is_torchvisions_with_its_classifier(ablate: Ablate, tmp_path: Path) -> None:
    folder, name = kept_by_a_run(tmp_path / "runs", "features")
    done = ablate("export", str(folder), "--evaluation", name, "--out", "tuned.pt")

    assert done.exit_code == 0, done.stderr
    assert done.stdout == (
        "tuned.pt: for torchvision.models.resnet18(num_classes=6), load_state_dict(...);"
        " images in [0, 1], normalization none\n"
    )
    model = models.resnet18(num_classes=6).eval()
    model.load_state_dict(torch.load(tmp_path / "tuned.pt", weights_only=True))
    with torch.no_grad():
        predicted = model(test_images()).argmax(1)
    np.testing.assert_array_equal(predicted.numpy(), np.load(folder / "evals" / f"{name}.npy"))

    wrong = ablate("export", str(folder), "--evaluation", name[:-1], "--out", "other.pt")
    assert wrong.exit_code == 2
    assert f"no evaluation '{name[:-1]}' has kept its network; expected one of {name} (did you mean" in wrong.stderr
    state = torch.load(folder / "evals" / f"{name}.pt", weights_only=True)
    state["method"]["classifier.bias"] += 1
    torch.save(state, folder / "evals" / f"{name}.pt")
    changed = ablate("export", str(folder), "--evaluation", name, "--out", "other.pt")
    assert changed.exit_code == 2
    assert "was changed after it was written: its checksum does not fit" in changed.stderr
    assert not (tmp_path / "other.pt").exists()


def test_a_kept_network_is_evaluated_as_a_checkpoint(
    ablate: Ablate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are those of the fine-tuned backbone, not of the pre-trained one."""
    keeping = override(FINE_TUNE, {"embedding": "head_1", "keep": True})
    evaluated([keeping], tmp_path)
    path = tmp_path / "evals" / f"{eval_id(keeping)}.pt"
    monkeypatch.setattr(interchange, "load_dataset", lambda *_: small_dataset())
    settings = ["data.name=toy", "data.image_size=16", "data.train_images=40", "backbone.width_multiplier=0.125"]
    arguments = ["--recipe", "simclr_mini", "training.global_batch_size=8", *settings, "--num-labels", "24"]
    done = ablate("evaluate-checkpoint", str(path), *arguments, "--out", "scored", "--device", "cpu")
    assert done.exit_code == 0, done.stderr

    tuned = small_network(small_config())
    state = torch.load(path, weights_only=True)["method"]
    tuned.load_state_dict({k: v for k, v in state.items() if k.startswith("backbone")}, strict=False)
    source = small_source(small_config(), tuned, small_dataset(), [LINEAR])
    evaluating.evaluate(source, [LINEAR], tmp_path / "own", lambda _: None)
    own, scored = (read_json(tmp_path / at / "evals" / f"{eval_id(LINEAR)}.json") for at in ("own", "scored"))
    assert {**own, "duration_s": 0} == {**scored, "duration_s": 0}
    path.write_bytes(path.read_bytes()[:-100])
    torn = ablate("evaluate-checkpoint", str(path), *arguments, "--out", "other", "--device", "cpu")
    assert (torn.exit_code, "not a file of tensors that torch can load" in torn.stderr) == (2, True)


def test_of_a_network_tuned_on_a_projector_layer_the_backbone_is_exported(ablate: Ablate, tmp_path: Path) -> None:
    folder, name = kept_by_a_run(tmp_path / "runs", "head_1")
    done = ablate("export", str(folder), "--evaluation", name, "--out", "tuned.pt")

    assert done.exit_code == 0, done.stderr
    keys = models.resnet18().load_state_dict(torch.load(tmp_path / "tuned.pt", weights_only=True), strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["fc.weight", "fc.bias"], [])
