"""The evaluations of a pre-trained network: what each protocol is given, and the files that its result goes into."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formats.whole_files import written_whole
from simclr_core.config.identity import canonical, eval_id
from simclr_core.config.runtime import OnProgress, Progress, RuntimeConfig
from simclr_core.config.schema import DataConfig, EvalConfig, RunConfig
from simclr_core.data.datasets import Dataset, Images, label_indices, transferred_to
from simclr_core.data.label_lists import LabelList, find_label_list, labels_from_list
from simclr_core.evals.embed import Embeddings, Reading, embed, sha256_of
from simclr_core.evals.fine_tune import fine_tuned_scores
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.labelled_sgd import Tell
from simclr_core.evals.linear import fit_linear
from simclr_core.evals.linear_sgd import fit_linear_sgd
from simclr_core.evals.score import NOTHING, Score, score
from simclr_core.evals.transform_probe import EmbeddedViews, embed_views, probe
from simclr_core.networks.network import Network
from simclr_core.records import write_json
from simclr_core.seeding import derive

Load = Callable[[DataConfig], Dataset]
Labels = tuple[str, int, int, str]
"""What chooses the labelled images: data set, number, seed, list."""


def evaluate(
    config: RunConfig,
    evaluations: list[EvalConfig],
    network: Network,
    outcome: str,
    dataset: Dataset,
    test: Embeddings,
    device: torch.device,
    runtime: RuntimeConfig,
    run_dir: Path,
    on_progress: OnProgress,
    load: Load,
) -> None:
    """Write ``evals/<eval_id>.json`` of every evaluation, and before it ``<eval_id>.npy``, the class predicted for
    each test image: uint16 (M,).

    ``dataset`` is what ``network`` was pre-trained on and ``test`` holds the embeddings of its test images; ``load``
    gives another data set by its configuration. Evaluations on the same labels share embeddings, whatever their
    order. A diverged network has none to score: its evaluations hold ``top1: null`` and no predictions, and so does
    an evaluation whose own training diverges. Raises DataError for labels or data sets that are not there.
    """
    before = sha256_of(network.backbone)
    by_labels: dict[Labels, list[EvalConfig]] = {}
    for evaluation in evaluations:
        by_labels.setdefault(_labels(evaluation), []).append(evaluation)
    number = 0
    for group in by_labels.values():
        material = _Material(config, network, dataset, test, device, runtime, load, group[0])
        for evaluation in group:
            start = time.perf_counter()
            tell = _teller(on_progress, number, len(evaluations))
            tell(0, 1)
            num_test, result = len(material.data.test.labels), NOTHING
            details: dict[str, Any] = {"l2": None}
            if outcome != "diverged":
                class_scores, truth, found = _class_scores(evaluation, material, tell)
                num_test, result = len(truth), score(class_scores, truth)
                details |= found
            assert sha256_of(network.backbone) == before, "an evaluation changed the frozen backbone"
            content = {
                "schema_version": 1,
                "eval_id": eval_id(evaluation),
                "evaluation": canonical(evaluation),
                "metric": evaluation.metric,
                "top1": result.top1,
                "top5": result.top5,
                **details,
                "num_labels": len(material.rows),
                "label_list_sha256": material.label_list.sha256 if material.label_list else None,
                "num_test": num_test,
                "data_fingerprint": material.data.fingerprint,
                "backbone_sha256": before,
                "duration_s": time.perf_counter() - start,
            }
            _write(run_dir / "evals", content, result)
            number += 1


def _teller(on_progress: OnProgress, number: int, count: int) -> Tell:
    """Progress within evaluation ``number`` of ``count``, as progress of all."""
    return lambda done, total: on_progress(Progress("evaluate", number * total + done, count * total))


def _labels(evaluation: EvalConfig) -> Labels:
    return evaluation.data, evaluation.num_labels, evaluation.label_seed, evaluation.label_list


@dataclass(eq=False)
class _Material:
    """What evaluations on the same labels have in common; each part is made when the first of them needs it."""

    config: RunConfig
    network: Network
    pretrained_on: Dataset
    pretrained_on_test: Embeddings
    device: torch.device
    runtime: RuntimeConfig
    load: Load
    evaluation: EvalConfig  # any of them
    views_by_seed: dict[tuple[str, int], EmbeddedViews] = field(default_factory=dict)

    @functools.cached_property
    def data(self) -> Dataset:
        """The data set pre-trained on, or the one to transfer to, at the same size in pixels."""
        name = self.evaluation.data
        return self.load(transferred_to(name, self.config.data)) if name else self.pretrained_on

    @functools.cached_property
    def label_list(self) -> LabelList | None:
        """The list that names the labelled images, if there is one."""
        if not self.evaluation.label_list:
            return None
        path = find_label_list(self.evaluation.label_list, self.runtime.data_path / self.data.name)
        return labels_from_list(path, self.data.train_files)

    @functools.cached_property
    def rows(self) -> Tensor:
        """Positions of the training images whose labels may be seen."""
        if self.label_list:
            return torch.tensor(self.label_list.rows)
        return label_indices(self.data.train.labels, self.evaluation.num_labels, self.evaluation.label_seed)

    @functools.cached_property
    def train(self) -> Embeddings:
        """Of the labelled training images."""
        return self._embed(self.data.train, self.rows)

    @functools.cached_property
    def test(self) -> Embeddings:
        """Of the test images."""
        return self._embed(self.data.test, None) if self.evaluation.data else self.pretrained_on_test

    @property
    def reading(self) -> Reading:
        """How images come to the network."""
        data = self.config.data
        return Reading(data.image_size, data.normalization, self.device, self.runtime.num_workers)

    def views(self, split: str, seed: int) -> EmbeddedViews:
        """Of the labelled training images or of the test images, drawn as for pre-training, by a seed of their own.

        They serve all tasks and both embeddings.
        """
        if (split, seed) not in self.views_by_seed:
            images = self.data.train if split == "train" else self.data.test
            rows = self.rows if split == "train" else torch.arange(len(images))
            own_seed = derive(seed, "transform_probe", split)
            made = embed_views(self.network, images, rows, self.config.views, self.reading, own_seed)
            self.views_by_seed[split, seed] = made
        return self.views_by_seed[split, seed]

    def _embed(self, images: Images, rows: Tensor | None) -> Embeddings:
        how = self.reading
        return embed(self.network, images, how.normalization, how.device, rows=rows, num_workers=how.num_workers)


def _class_scores(evaluation: EvalConfig, material: _Material, tell: Tell) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Scores of the classes (M, C), the true ones (M,), and what else to write down.

    No protocol is given the labels of the test images: what it trains and chooses cannot depend on them.
    """
    data, embedding, network = material.data, evaluation.embedding, material.network
    num_classes, truth = len(data.classes), data.test.labels
    match evaluation.protocol:
        case "linear":
            classifier = fit_linear(material.train.of(embedding), material.train.labels)
            return classifier.scores(material.test.of(embedding), num_classes), truth, {"l2": classifier.l2}
        case "knn":
            bank, queries = material.train.of(embedding), material.test.of(embedding)
            k, temperature = evaluation.k, evaluation.temperature
            scores = knn_scores(bank, material.train.labels, queries, num_classes, k=k, temperature=temperature)
            return scores, truth, {}
        case "linear_sgd":
            layer, details = fit_linear_sgd(
                network, data.train, material.rows, num_classes, evaluation, material.reading, tell
            )
            with torch.no_grad():
                return layer.cpu()(material.test.of(embedding)), truth, details
        case "fine_tune":
            scores, details = fine_tuned_scores(
                network, data.train, material.rows, data.test, num_classes, evaluation, material.reading, tell
            )
            return scores, truth, details
        case _:
            train, test = (material.views(split, evaluation.seed) for split in ("train", "test"))
            return probe(train, test, evaluation, material.device)


def _write(folder: Path, content: dict[str, Any], result: Score) -> None:
    """The predictions first: where the JSON file is, they are whole."""
    if result.predictions is not None:
        with written_whole(folder / f"{content['eval_id']}.npy") as file:
            np.save(file, result.predictions, allow_pickle=False)
    write_json(folder / f"{content['eval_id']}.json", content)
