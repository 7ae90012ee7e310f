"""One configuration in, one run directory out: pre-train once, then each evaluation that is missing."""

from __future__ import annotations

import functools
import math
import os
import time
from pathlib import Path
from typing import Any

import torch

from simclr_core.config import DataConfig, EvalConfig, RunConfig, validate
from simclr_core.data import Dataset, ImageSet, label_indices, load_dataset
from simclr_core.distributed import World, agree, from_main, joined
from simclr_core.evals.embed import Embeddings, embed, sha256_of
from simclr_core.evals.knn import knn_top1
from simclr_core.evals.linear import linear_top1
from simclr_core.heads import z_std
from simclr_core.identity import CONFIG_VERSION, canonical, eval_id, run_id
from simclr_core.methods import build_method
from simclr_core.methods.base import Method
from simclr_core.options import flatten
from simclr_core.pretrain import OnProgress, Pretrained, Progress, pretrain
from simclr_core.records import read_json, write_json
from simclr_core.runtime import RuntimeConfig

COLLAPSE_THRESHOLD = 0.1
"""Collapsed: eval-mode z_std below this fraction of 1/sqrt(D) (SimSiam Fig. 2 and Sec. 4.1)."""


class SpecMismatchError(ValueError):
    """The run directory belongs to another configuration."""


def execute(
    config: RunConfig,
    evaluations: list[EvalConfig],
    runtime: RuntimeConfig,
    run_dir: Path,
    on_progress: OnProgress = lambda _: None,
) -> None:
    """Bring ``run_dir`` to hold the pre-training of ``config`` and every one of ``evaluations``.

    What is there already is not done again, except that an evaluation which needs a checkpoint that has been
    removed trains again. Where a launcher has started several processes, they train together; process 0 alone looks
    at ``run_dir``, writes to it, tells of progress and evaluates, while the others return after the training.
    Raises ConfigError, DataError, or SpecMismatchError for a directory of another run.
    """
    validate(config)
    with joined(runtime.device) as world:
        agree(dict(flatten(config)))
        world.slice_of(config.training.global_batch_size)
        missing, pretrained_already, checkpoint_exists = from_main(lambda: _look(config, evaluations, run_dir))
        if pretrained_already and not missing:
            return
        torch.set_num_threads(runtime.num_threads)
        on_progress = on_progress if world.is_main else lambda _: None
        on_progress(Progress("load", 0, 1))
        place = (_key(config.data), runtime.data_path, runtime.cache_path)
        from_main(lambda: bool(_load(*place)))  # one process alone decodes images into the cache
        dataset = _load(*place)
        pretrained: Pretrained | None = None
        if not (pretrained_already and checkpoint_exists):
            pretrained = pretrain(config, dataset.train, world, run_dir, on_progress)
    if not world.is_main:
        return
    checkpoint = run_dir / "checkpoint.pt"
    if pretrained is not None:
        _save(checkpoint, pretrained.method)
    # evaluations have a network of their own: that of the training may have BN layers that need other processes
    method = build_method(config).to(world.device)
    method.load_state_dict(torch.load(checkpoint, map_location=world.device, weights_only=True)["method"])
    test = embed(method, dataset.test, config.data.normalization, world.device)
    if pretrained is not None:
        write_json(run_dir / "result.json", _result(config, pretrained, test, dataset, world))
    outcome = read_json(run_dir / "result.json")["outcome"]
    _evaluate(config, missing, method, outcome, dataset, test, world.device, run_dir, on_progress)


def _look(config: RunConfig, evaluations: list[EvalConfig], run_dir: Path) -> tuple[list[EvalConfig], bool, bool]:
    """Make ``run_dir`` this configuration's; which evaluations are missing, whether result and checkpoint are there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    _claim_spec(config, run_dir)
    missing = [e for e in evaluations if not (run_dir / "evals" / f"{eval_id(e)}.json").exists()]
    return missing, (run_dir / "result.json").exists(), (run_dir / "checkpoint.pt").exists()


def _claim_spec(config: RunConfig, run_dir: Path) -> None:
    spec = {"config_version": CONFIG_VERSION, "run_id": run_id(config), "config": canonical(config)}
    path = run_dir / "spec.json"
    if not path.exists():
        write_json(path, spec)
    elif read_json(path) != spec:
        raise SpecMismatchError(f"{path}: holds another configuration than {spec['run_id']}; move the folder away")


def _key(data: DataConfig) -> tuple[str, int, int]:
    return data.name, data.version, data.image_size


@functools.lru_cache(maxsize=1)
def _load(key: tuple[str, int, int], data_dir: Path, cache_dir: Path) -> Dataset:
    """A worker that runs one configuration after the other reads its data once."""
    name, version, image_size = key
    return load_dataset(DataConfig(name=name, version=version, image_size=image_size), data_dir, cache_dir)


def _save(path: Path, method: Method) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save({"method": method.state_dict()}, temporary)
    temporary.replace(path)


def _result(
    config: RunConfig, pretrained: Pretrained, test: Embeddings, dataset: Dataset, world: World
) -> dict[str, Any]:
    spread = z_std(test.z).item()
    ratio = spread * math.sqrt(pretrained.method.dim)
    if pretrained.diverged or not math.isfinite(ratio):
        outcome = "diverged"
    elif config.training.epochs == 0:
        outcome = "untrained"
    else:
        outcome = "collapsed" if ratio < COLLAPSE_THRESHOLD else "trained"
    return {
        "schema_version": 1,
        "run_id": run_id(config),
        "outcome": outcome,
        "num_steps": pretrained.num_steps,
        "final_loss": pretrained.final_loss,
        "z_std": spread if math.isfinite(spread) else None,
        "z_std_ratio": ratio if math.isfinite(ratio) else None,
        "z_std_images": len(test.labels),
        "dim": pretrained.method.dim,
        "train_images": config.data.train_images or len(dataset.train.labels),
        "data_fingerprint": dataset.fingerprint,
        "num_processes": world.size,
        "device_batch_size": config.training.global_batch_size // world.size,
        "duration_s": pretrained.duration_s,
    }


def _evaluate(
    config: RunConfig,
    evaluations: list[EvalConfig],
    method: Method,
    outcome: str,
    dataset: Dataset,
    test: Embeddings,
    device: torch.device,
    run_dir: Path,
    on_progress: OnProgress,
) -> None:
    """A diverged network has no embeddings to score: its evaluations hold ``top1: null``."""
    before = sha256_of(method.backbone)
    train: dict[tuple[int, int], Embeddings] = {}
    for number, evaluation in enumerate(evaluations):
        on_progress(Progress("evaluate", number, len(evaluations)))
        start = time.perf_counter()
        labelled = (evaluation.num_labels, evaluation.label_seed)
        if labelled not in train:
            rows = label_indices(dataset.train.labels, *labelled)
            images = ImageSet(dataset.train.images[rows], dataset.train.labels[rows])
            train = {labelled: embed(method, images, config.data.normalization, device)}
        top1, l2 = (None, None) if outcome == "diverged" else _score(evaluation, train[labelled], test)
        assert sha256_of(method.backbone) == before, "an evaluation changed the frozen backbone"
        content = {
            "schema_version": 1,
            "eval_id": eval_id(evaluation),
            "evaluation": canonical(evaluation),
            "metric": evaluation.metric,
            "top1": top1,
            "l2": l2,
            "num_labels": len(train[labelled].labels),
            "num_test": len(test.labels),
            "backbone_sha256": before,
            "duration_s": time.perf_counter() - start,
        }
        write_json(run_dir / "evals" / f"{eval_id(evaluation)}.json", content)


def _score(evaluation: EvalConfig, train: Embeddings, test: Embeddings) -> tuple[float, float | None]:
    bank, queries = train.of(evaluation.embedding), test.of(evaluation.embedding)
    if evaluation.protocol == "linear":
        return linear_top1(bank, train.labels, queries, test.labels)
    k, temperature = evaluation.k, evaluation.temperature
    return knn_top1(bank, train.labels, queries, test.labels, k=k, temperature=temperature), None
