"""The evaluations of a pre-trained network, and the files that their results go into."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from formats.whole_files import written_whole
from simclr_core.config.identity import canonical, eval_id
from simclr_core.config.runtime import OnProgress, Progress
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.evals.embed import sha256_of
from simclr_core.evals.material import Material, Pretrained
from simclr_core.evals.protocol import Scored, Tell, build_protocol
from simclr_core.evals.score import NOTHING, Score, score
from simclr_core.records import write_json
from simclr_core.training import checkpoint

Labels = tuple[str, int, int, str]
"""What chooses the labelled images: data set, number, seed, list."""


def evaluate(source: Pretrained, evaluations: Sequence[EvalConfig], run_dir: Path, on_progress: OnProgress) -> None:
    """Write ``evals/<eval_id>.json`` of every evaluation, and before it ``<eval_id>.npy``, the class predicted for
    each test image: uint16 (M,); of an evaluation that keeps its network also ``<eval_id>.pt``.

    Evaluations on the same labels share embeddings, whatever their order. A diverged network has none to score: its
    evaluations hold ``top1: null`` and no other file, and so does an evaluation whose own training diverges. Raises
    DataError for labels or data sets that are not there.
    """
    before = sha256_of(source.network.backbone)
    by_labels: dict[Labels, list[EvalConfig]] = {}
    for evaluation in evaluations:
        by_labels.setdefault(_labels(evaluation), []).append(evaluation)
    number = 0
    for group in by_labels.values():
        material = Material(source, group)
        for evaluation in group:
            tell = _teller(on_progress, number, len(evaluations))
            tell(0, 1)
            _evaluate_one(evaluation, material, before, run_dir / "evals", tell)
            number += 1


def _evaluate_one(evaluation: EvalConfig, material: Material, backbone_sha256: str, folder: Path, tell: Tell) -> None:
    start = time.perf_counter()
    truth, result, scored = material.data.test.labels, NOTHING, None
    if material.source.outcome != "diverged":
        scored = build_protocol(evaluation, material).score(tell)
        truth = truth if scored.answers is None else scored.answers
        result = score(scored.scores, truth)
    assert sha256_of(material.network.backbone) == backbone_sha256, "an evaluation changed the frozen backbone"
    content = {
        "schema_version": 1,
        "eval_id": eval_id(evaluation),
        "evaluation": canonical(evaluation),
        "metric": evaluation.metric,
        "top1": result.top1,
        "top5": result.top5,
        "l2": None,  # of the protocol linear alone
        **(scored.details if scored else {}),
        "num_labels": len(material.rows),
        "label_list_sha256": material.label_list.sha256 if material.label_list else None,
        "num_test": len(truth),
        "data_fingerprint": material.data.fingerprint,
        "backbone_sha256": backbone_sha256,
        "duration_s": time.perf_counter() - start,
    }
    kept = _kept(material.source.config, evaluation, scored) if evaluation.keep else None
    _write(folder, content, result, kept)


def _teller(on_progress: OnProgress, number: int, count: int) -> Tell:
    """Progress within evaluation ``number`` of ``count``, as progress of all."""
    return lambda done, total: on_progress(Progress("evaluate", number * total + done, count * total))


def _labels(evaluation: EvalConfig) -> Labels:
    return evaluation.data, evaluation.num_labels, evaluation.label_seed, evaluation.label_list


def _kept(config: RunConfig, evaluation: EvalConfig, scored: Scored | None) -> checkpoint.State:
    """What an evaluation keeps: the network that scores, as a checkpoint has it, and what it is."""
    weights = scored.weights if scored else None
    return {
        "eval_id": eval_id(evaluation),
        "config": canonical(config),
        "evaluation": canonical(evaluation),
        "method": {name: weight.cpu() for name, weight in (weights or {}).items()},
    }


def _write(folder: Path, content: dict[str, Any], result: Score, kept: checkpoint.State | None) -> None:
    """The JSON file last: where it is, the others are whole."""
    name = content["eval_id"]
    if result.predictions is not None:
        with written_whole(folder / f"{name}.npy") as file:
            np.save(file, result.predictions, allow_pickle=False)
    if kept is not None:
        is_number = result.predictions is not None
        content["weights_sha256"] = checkpoint.write(folder / f"{name}.pt", kept) if is_number else None
    write_json(folder / f"{name}.json", content)
