"""A run directory: what it holds, what is done again and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy import toy_config

from simclr_core import run
from simclr_core.config.identity import eval_id, run_id
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.evals.embed import embed, sha256_of
from simclr_core.run import SpecMismatchError, execute

LINEAR = EvalConfig(protocol="linear", num_labels=30)
KNN = EvalConfig(protocol="knn", embedding="z", num_labels=30, k=5)


@pytest.fixture
def runtime(toy_runtime: RuntimeConfig) -> RuntimeConfig:
    return toy_runtime


def tiny(**values: object) -> RunConfig:
    return toy_config(values={key.replace("__", "."): value for key, value in values.items()})


def read(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text())
    return content


def test_a_run_directory_holds_the_result_and_each_evaluation(runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(tiny(), [LINEAR, KNN], runtime, tmp_path)
    result = read(tmp_path / "result.json")
    linear, knn = (read(tmp_path / "evals" / f"{eval_id(e)}.json") for e in (LINEAR, KNN))

    assert read(tmp_path / "spec.json")["run_id"] == run_id(tiny())
    assert (result["outcome"], result["num_steps"], result["z_std_images"]) == ("trained", 5, 24)
    assert (linear["metric"], knn["metric"]) == ("linear_top1", "knn_z_top1")
    assert linear["num_labels"] == knn["num_labels"] == 30
    assert linear["backbone_sha256"] == knn["backbone_sha256"]
    assert 0 <= linear["top1"] <= 100


def test_what_is_there_is_not_done_again(
    runtime: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(tiny(), [LINEAR], runtime, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    def must_not_train(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(run, "pretrain", must_not_train)
    execute(tiny(), [LINEAR], runtime, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    execute(tiny(), [LINEAR, KNN], runtime, tmp_path)  # from the checkpoint
    assert (tmp_path / "evals" / f"{eval_id(KNN)}.json").exists()


def test_an_evaluation_from_the_checkpoint_is_the_one_after_training(runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(tiny(), [LINEAR], runtime, tmp_path)
    path = tmp_path / "evals" / f"{eval_id(LINEAR)}.json"
    after_training = read(path)
    path.unlink()
    execute(tiny(), [LINEAR], runtime, tmp_path)

    assert {k: v for k, v in read(path).items() if k != "duration_s"} == {
        k: v for k, v in after_training.items() if k != "duration_s"
    }


def test_a_missing_checkpoint_means_training_again_to_the_same_result(runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(tiny(), [], runtime, tmp_path)
    first = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "checkpoint.pt").unlink()
    execute(tiny(), [KNN], runtime, tmp_path)

    assert (tmp_path / "metrics.jsonl").read_text() == first


def test_a_folder_of_another_configuration_is_refused(runtime: RuntimeConfig, tmp_path: Path) -> None:
    execute(tiny(training__epochs=0), [], runtime, tmp_path)

    with pytest.raises(SpecMismatchError, match="holds another configuration than simclr-toy-"):
        execute(tiny(seed=1), [], runtime, tmp_path)


def curve_of(run_dir: Path) -> dict[int, object]:
    """Step -> the accuracy of kNN, at the steps that have one."""
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["knn_top1"] for line in lines if "knn_top1" in line}


def test_the_knn_along_a_training_ends_in_the_evaluations_and_changes_nothing(
    runtime: RuntimeConfig, tmp_path: Path
) -> None:
    """40 of 48 images are trained on: the bank. Five steps an epoch, log lines at every one."""
    knn = EvalConfig(protocol="knn", num_labels=40)
    hashes = []
    for knn_epochs in (0, 2):
        folder = tmp_path / str(knn_epochs)
        execute(tiny(training__epochs=5, training__knn_epochs=knn_epochs), [knn], runtime, folder)
        evaluation = read(folder / "evals" / f"{eval_id(knn)}.json")
        hashes.append(evaluation["backbone_sha256"])
    curve = curve_of(folder)

    assert curve_of(tmp_path / "0") == {}
    assert list(curve) == [10, 20, 25]
    assert curve[25] == evaluation["top1"]
    assert all(0 <= top1 <= 100 for top1 in curve.values())
    assert hashes[0] == hashes[1]


def test_divergence_is_a_result(runtime: RuntimeConfig, tmp_path: Path) -> None:
    config = tiny(
        optimizer__base_lr=1e30,
        projector__hidden_batch_norm=False,
        projector__output_batch_norm="none",
        training__epochs=8,
    )
    execute(config, [LINEAR], runtime, tmp_path)

    assert read(tmp_path / "result.json")["outcome"] == "diverged"
    assert read(tmp_path / "evals" / f"{eval_id(LINEAR)}.json")["top1"] is None


def test_collapse_is_a_result_judged_in_eval_mode(
    runtime: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network whose projector maps everything to one vector has z_std 0."""
    real = run.pretrain

    def collapsed(*arguments: object) -> object:
        pretrained = real(*arguments)  # type: ignore[arg-type]
        last = pretrained.method.net.projector[-1]
        torch.nn.init.zeros_(last.weight)
        return pretrained

    monkeypatch.setattr(run, "pretrain", collapsed)
    execute(tiny(), [], runtime, tmp_path)
    result = read(tmp_path / "result.json")

    assert result["outcome"] == "collapsed"
    assert result["z_std_ratio"] == pytest.approx(0, abs=1e-5)


def test_embedding_leaves_the_network_alone_and_uses_eval_mode(runtime: RuntimeConfig) -> None:
    dataset = run._load(tiny().data, runtime)
    method = run.build_network(tiny()).train()
    before = sha256_of(method)
    whole = embed(method, dataset.test, "none", torch.device("cpu"))
    part = embed(method, dataset.test, "none", torch.device("cpu"), rows=torch.arange(3))

    assert sha256_of(method) == before
    assert method.training
    torch.testing.assert_close(part.features, whole.features[:3], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        method.backbone.bn1.running_mean += 1
    assert sha256_of(method) != before  # buffers count


def test_a_test_label_never_reaches_training(runtime: RuntimeConfig, tmp_path: Path) -> None:
    """Poisoned test labels change the score and not the network."""
    execute(tiny(), [LINEAR], runtime, tmp_path / "clean")
    dataset = run._load(tiny().data, runtime)
    dataset.test.labels.neg_().add_(1)
    try:
        execute(tiny(), [LINEAR], runtime, tmp_path / "poisoned")
    finally:
        dataset.test.labels.neg_().add_(1)
    clean, poisoned = (read(tmp_path / kind / "evals" / f"{eval_id(LINEAR)}.json") for kind in ("clean", "poisoned"))

    assert clean["backbone_sha256"] == poisoned["backbone_sha256"]
    assert clean["l2"] == poisoned["l2"]
    assert clean["top1"] + poisoned["top1"] == pytest.approx(100)  # type: ignore[operator]
