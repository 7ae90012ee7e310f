"""Evaluations of a run: their files, what they share, and that nothing about the test set reaches a choice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_data import (
    NUM_CLASSES,
    SIZE,
    no_load,
    small_config,
    small_dataset,
    small_network,
    small_source,
    with_test,
)
from torch import Tensor, nn

from simclr_core import run
from simclr_core.config.identity import eval_id
from simclr_core.config.options import override
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import DataConfig, EvalConfig, RunConfig
from simclr_core.data.datasets import DataError, Dataset, ImageSet, load_dataset
from simclr_core.evals import fine_tune, linear, linear_sgd, material, transform_probe
from simclr_core.evals import run as evaluating
from simclr_core.evals.embed import embed, sha256_of
from simclr_core.evals.embed_views import embed_views
from simclr_core.evals.labelled_sgd import train_with_labels
from simclr_core.evals.material import Load
from simclr_core.methods.base import Method
from simclr_core.training.loop import Progress

LINEAR = EvalConfig(protocol="linear", num_labels=24)
KNN = EvalConfig(protocol="knn", embedding="z", num_labels=24, k=5)
SGD = EvalConfig(protocol="linear_sgd", num_labels=24, epochs=2, batch_size=8)
LARS = override(SGD, {"optimizer": "lars", "embedding": "z"})
FINE_TUNE = EvalConfig(protocol="fine_tune", num_labels=24, epochs=2, batch_size=8)
COLOR = EvalConfig(protocol="transform_probe", num_labels=24, epochs=2, batch_size=8)
ROTATE = override(COLOR, {"task": "rotate", "embedding": "z"})
ALL = [LINEAR, KNN, SGD, LARS, FINE_TUNE, COLOR, ROTATE]
WITH_ROTATION = {"views__rotate_probability": 0.5, "views__gray_probability": 0.4}


def evaluated(
    evaluations: list[EvalConfig],
    folder: Path,
    *,
    method: Method | None = None,
    outcome: str = "trained",
    load: Load = no_load,
    progress: list[Progress] | None = None,
) -> list[dict[str, Any]]:
    """The contents of the result files, of an untrained network if none is given."""
    config, dataset = small_config(**WITH_ROTATION), small_dataset()
    method = method or small_network(config)
    source = small_source(config, method, dataset, evaluations, outcome=outcome, load=load)
    heard = progress if progress is not None else []
    evaluating.evaluate(source, evaluations, folder, heard.append)
    return [result_of(evaluation, folder) for evaluation in evaluations]


def result_of(evaluation: EvalConfig, folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "evals" / f"{eval_id(evaluation)}.json").read_text())
    return content


def predictions_of(evaluation: EvalConfig, folder: Path) -> np.ndarray[Any, Any]:
    return np.load(folder / "evals" / f"{eval_id(evaluation)}.npy", allow_pickle=False)


def test_every_evaluation_leaves_its_result_and_each_images_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The predictions are there before the result says so, and the share that is right is top-1."""
    write, early = evaluating.write_json, []
    monkeypatch.setattr(
        evaluating,
        "write_json",
        lambda path, content: (early.append(path.with_suffix(".npy").exists()), write(path, content)),
    )
    results = evaluated(ALL, tmp_path)

    assert early == [True] * len(ALL)
    truth = small_dataset().test.labels.numpy()
    for evaluation, result in zip(ALL[:5], results, strict=False):
        predictions = predictions_of(evaluation, tmp_path)
        assert (predictions.dtype, predictions.shape) == (np.uint16, (30,))
        assert result["top1"] == pytest.approx(100 * (predictions == truth).mean())
        assert result["top1"] <= result["top5"] <= 100
        assert (result["num_labels"], result["num_test"]) == (24, 30)
    assert [result["metric"] for result in results] == [evaluation.metric for evaluation in ALL]
    assert [result["l2"] is None for result in results] == [False, *[True] * 6]
    assert len({result["backbone_sha256"] for result in results}) == 1
    assert {path.suffix for path in (tmp_path / "evals").iterdir()} == {".json", ".npy"}


def test_a_probe_tells_the_commonest_answers_share(tmp_path: Path) -> None:
    """Of two views an image; views of the test images are other than those of the training images."""
    (color, rotate), folder = evaluated([COLOR, ROTATE], tmp_path), tmp_path
    assert (color["num_test"], color["top5"]) == (60, None)
    assert predictions_of(COLOR, folder).shape == (60,)
    assert 100 * 0.35 < color["majority_top1"] <= 100 * 0.8  # 0.4 of the views are gray
    assert 100 * 0.4 < rotate["majority_top1"] < 100 * 0.9  # 1 - 0.5 * 3 / 4 are not turned
    for result in (color, rotate):
        assert 0 <= result["val_top1"] <= 100


def test_probes_on_answers_that_show_in_the_embedding_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views, embeddings and answers belong together: an embedding that is gray's share of the view is read out."""
    config = small_config(**WITH_ROTATION)
    method = small_network(config)

    def grayness(images: Tensor) -> Tensor:
        spread = images.std(1).flatten(1).mean(1, keepdim=True)
        return torch.cat([(spread < 1e-6).float(), torch.randn(len(images), 15)], dim=1)

    monkeypatch.setattr(method, "features", grayness)
    monkeypatch.setattr(method, "projector", nn.Identity())
    dataset = small_dataset()
    longer = override(COLOR, {"epochs": 60, "num_labels": 0})
    evaluating.evaluate(small_source(config, method, dataset), [longer], tmp_path, lambda _: None)
    result = result_of(longer, tmp_path)

    assert (result["top1"], result["val_top1"]) == (100, 100)
    assert result["majority_top1"] < 100


def test_what_evaluations_share_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their order: embeddings for each choice of labels, views for each choice and split."""
    counts = {"images": 0, "views": 0}

    def counting_embed(*arguments: Any, **named: Any) -> Any:
        counts["images"] += 1
        return embed(*arguments, **named)

    def counting_views(*arguments: Any) -> Any:
        counts["views"] += 1
        return embed_views(*arguments)

    monkeypatch.setattr(material, "embed", counting_embed)
    monkeypatch.setattr(material, "embed_views", counting_views)
    fewer = override(LINEAR, {"num_labels": 12})
    progress: list[Progress] = []
    evaluated([LINEAR, COLOR, fewer, KNN, ROTATE], tmp_path, progress=progress)

    assert counts == {"images": 2, "views": 2}
    shares = [now.step / now.num_steps for now in progress]
    assert {now.phase for now in progress} == {"evaluate"}
    assert shares == sorted(shares)
    assert shares[0] == 0


def test_evaluations_do_not_hang_on_each_other(tmp_path: Path) -> None:
    evaluated(ALL, tmp_path / "together")
    for number, evaluation in enumerate(ALL):
        folder = tmp_path / str(number)
        evaluated([evaluation], folder)
        alone, together = result_of(evaluation, folder), result_of(evaluation, tmp_path / "together")
        assert {**alone, "duration_s": 0} == {**together, "duration_s": 0}
        np.testing.assert_array_equal(
            predictions_of(evaluation, folder), predictions_of(evaluation, tmp_path / "together")
        )


@pytest.mark.parametrize(
    ("evaluation", "metric"),
    [
        (LINEAR, "linear_other_top1"),
        (KNN, "knn_z_other_top1"),
        (SGD, "linear_sgd_other_top1"),
        (FINE_TUNE, "fine_tune_other_24_labels_top1"),
    ],
)
def test_transfer_is_the_evaluation_on_the_other_data(evaluation: EvalConfig, metric: str, tmp_path: Path) -> None:
    """Training and test images, classes and labels of the other set, at the run's size in pixels."""
    other, asked = small_dataset("other", seed=40), []

    def load(data: DataConfig) -> Dataset:
        asked.append((data.name, data.image_size, data.reading))
        return other

    transfer = override(evaluation, {"data": "other"})
    (result,) = evaluated([transfer], tmp_path / "transfer", load=load)
    config = small_config(**WITH_ROTATION)
    method = small_network(config)
    evaluating.evaluate(small_source(config, method, other), [evaluation], tmp_path / "own", lambda _: None)

    assert asked == [("other", 16, "memory")]
    assert result["metric"] == metric
    assert result["data_fingerprint"] == "fingerprint of other"
    assert result["top1"] == result_of(evaluation, tmp_path / "own")["top1"]
    np.testing.assert_array_equal(
        predictions_of(transfer, tmp_path / "transfer"), predictions_of(evaluation, tmp_path / "own")
    )


def test_a_diverged_run_has_no_scores(tmp_path: Path) -> None:
    for result in evaluated(ALL, tmp_path, outcome="diverged"):
        assert (result["top1"], result["top5"], result["l2"]) == (None, None, None)
    assert not list((tmp_path / "evals").glob("*.npy"))


def test_an_evaluation_that_diverges_has_no_score(tmp_path: Path) -> None:
    (result,) = evaluated([override(FINE_TUNE, {"base_lr": 1e30})], tmp_path)

    assert (result["top1"], result["top5"], result["final_loss"]) == (None, None, None)
    assert not list((tmp_path / "evals").glob("*.npy"))


def test_a_collapsed_network_is_scored_at_chance(tmp_path: Path) -> None:
    method = small_network(small_config(**WITH_ROTATION))
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.zeros_(module.weight)
    frozen = [LINEAR, KNN, SGD, LARS]
    for result in evaluated([*frozen, COLOR], tmp_path, method=method, outcome="collapsed"):
        chance = result["majority_top1"] if result["metric"].startswith("transform") else 100 / NUM_CLASSES
        assert result["top1"] == pytest.approx(chance)


def run_all(
    dataset: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, list[Tensor], list[dict[str, Any]]]:
    """A whole run on this data: its metrics, its network's hash, every classifier's weights, every result."""
    classifiers: list[Tensor] = []
    with monkeypatch.context() as patch:
        patch.setattr(run, "load_dataset", lambda *_, **__: dataset)
        patch.setattr(linear, "fit_linear", _spied(linear.fit_linear, classifiers))
        patch.setattr(linear_sgd.LinearSGD, "fit", _spied(linear_sgd.LinearSGD.fit, classifiers))
        patch.setattr(transform_probe, "fit_probe", _spied(transform_probe.fit_probe, classifiers))
        patch.setattr(fine_tune, "train_with_labels", _spied_training(classifiers))
        run._load_once.cache_clear()
        run.execute(small_config(**WITH_ROTATION), ALL, RuntimeConfig(device="cpu"), folder)
        run._load_once.cache_clear()
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["method"]
    holder = nn.ParameterDict({name.replace(".", "/"): value.float() for name, value in weights.items()})
    metrics = (folder / "metrics.jsonl").read_text()
    return metrics, sha256_of(holder), classifiers, [result_of(evaluation, folder) for evaluation in ALL]


def _spied(fit: Any, classifiers: list[Tensor]) -> Any:
    def fitted(*arguments: Any) -> Any:
        made = fit(*arguments)
        classifier = made[0] if isinstance(made, tuple) else made
        if hasattr(classifier, "weights"):
            classifiers.append(classifier.weights)
        else:
            module = classifier.mlp if hasattr(classifier, "mlp") else classifier
            classifiers.extend(w.detach().clone() for w in module.parameters())
        return made

    return fitted


def _spied_training(classifiers: list[Tensor]) -> Any:
    def trained(*arguments: Any) -> Any:
        *others, parameters, tell = arguments
        details = train_with_labels(*others, parameters, tell)
        classifiers.extend(w.detach().clone() for w in parameters)
        return details

    return trained


SCORES = ("top1", "top5", "duration_s", "majority_top1")


def without_scores(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in SCORES}


def test_poisoned_test_labels_change_scores_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pre-training, chosen settings, classifiers and predictions are the same to the last bit."""
    clean = small_dataset()
    poisoned = with_test(clean, labels=(clean.test.labels + 1) % NUM_CLASSES)
    runs = [run_all(data, tmp_path / name, monkeypatch) for name, data in (("clean", clean), ("poisoned", poisoned))]
    (metrics, weights, classifiers, results), (other_metrics, other_weights, other_classifiers, other_results) = runs

    assert (metrics, weights) == (other_metrics, other_weights)
    assert len(classifiers) == len(other_classifiers) > 20
    assert all(torch.equal(one, other) for one, other in zip(classifiers, other_classifiers, strict=True))
    assert [without_scores(result) for result in results] == [without_scores(result) for result in other_results]
    for evaluation in ALL:
        np.testing.assert_array_equal(*(predictions_of(evaluation, tmp_path / name) for name in ("clean", "poisoned")))
    scored = [(a["top1"], b["top1"]) for a, b in zip(results, other_results, strict=True)]
    assert any(one != other for one, other in scored[:5])
    assert all(one == other for one, other in scored[5:])  # what was done to a view is not the images' label


def test_training_sees_no_test_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test images in negative: the same training, choices and classifiers, other predictions."""
    clean = small_dataset()
    poisoned = with_test(clean, images=255 - clean.test.images)
    runs = [run_all(data, tmp_path / name, monkeypatch) for name, data in (("clean", clean), ("poisoned", poisoned))]
    (metrics, weights, classifiers, results), (other_metrics, other_weights, other_classifiers, other_results) = runs

    assert (metrics, weights) == (other_metrics, other_weights)
    assert all(torch.equal(one, other) for one, other in zip(classifiers, other_classifiers, strict=True))
    assert [without_scores(result) for result in results] == [without_scores(result) for result in other_results]
    changed = [
        (predictions_of(evaluation, tmp_path / "clean") != predictions_of(evaluation, tmp_path / "poisoned")).any()
        for evaluation in ALL
    ]
    assert sum(changed) >= len(ALL) - 2


def test_an_impossible_evaluation_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_train(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(run, "pretrain", must_not_train)
    config: RunConfig = small_config()
    with pytest.raises(ValueError, match=r"task = 'rotate': .*\n.*fine_tune_24_labels_top1: batch_size = 1"):
        run.execute(config, [ROTATE, override(FINE_TUNE, {"batch_size": 1})], RuntimeConfig(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small data as larger pictures of two sizes, read as a stream."""
    root = tmp_path_factory.mktemp("data")
    for split, part in (("train", small_dataset().train), ("test", small_dataset().test)):
        assert isinstance(part, ImageSet)
        for row, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
            path = root / "toy" / split / "abcdef"[label] / f"{row:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = image.permute(1, 2, 0).numpy()
            Image.fromarray(pixels).resize((24, 20 + 4 * (row % 2)), Image.Resampling.NEAREST).save(path)
    (root / "toy" / "chosen.txt").write_text("\n".join(f"{row:02}.png" for row in range(24)))
    config = DataConfig(name="toy", image_size=SIZE, reading="stream")
    return load_dataset(config, root, root / "cache", progress=False)


def test_streams_are_evaluated_by_every_protocol(streamed: Dataset, tmp_path: Path) -> None:
    """With labels from a list of file names: 24 of them, four of each class."""
    config = small_config(**WITH_ROTATION, data__reading="stream")
    method = small_network(config)
    root = streamed.train.root.parent  # type: ignore[attr-defined]
    runtime = RuntimeConfig(data_dir=str(root), num_workers=0)
    listed = [override(evaluation, {"num_labels": 0, "label_list": "chosen.txt"}) for evaluation in ALL]
    source = replace(small_source(config, method, streamed, listed), runtime=runtime)
    for name in ("first", "again"):
        evaluating.evaluate(source, listed, tmp_path / name, lambda _: None)

    for evaluation in listed:
        result, again = (result_of(evaluation, tmp_path / name) for name in ("first", "again"))
        assert result["num_labels"] == 24
        assert result["top1"] is not None
        assert {**result, "duration_s": 0} == {**again, "duration_s": 0}


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label_list = '1percent\.txt': no file"):
        evaluated([override(LINEAR, {"num_labels": 0, "label_list": "1percent.txt"})], tmp_path)
