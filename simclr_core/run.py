"""One configuration in, one run directory out: pre-train once, then each evaluation that is missing."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

import torch

from simclr_core.config import DataConfig, EvalConfig, RunConfig, validate
from simclr_core.data import Dataset, load_dataset
from simclr_core.eval_checks import validate_evaluations
from simclr_core.evals.embed import Embeddings, embed
from simclr_core.evaluate import evaluate
from simclr_core.heads import z_std
from simclr_core.identity import CONFIG_VERSION, canonical, eval_id, run_id
from simclr_core.methods import build_method
from simclr_core.methods.base import Method
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
    removed trains again. Raises ConfigError, DataError, or SpecMismatchError for a directory of another run.
    """
    validate(config)
    validate_evaluations(config, evaluations)
    run_dir.mkdir(parents=True, exist_ok=True)
    _claim_spec(config, run_dir)
    missing = [e for e in evaluations if not (run_dir / "evals" / f"{eval_id(e)}.json").exists()]
    pretrained_already = (run_dir / "result.json").exists()
    if pretrained_already and not missing:
        return
    torch.set_num_threads(runtime.num_threads)
    device = device_of(runtime.device)
    on_progress(Progress("load", 0, 1))
    dataset = _load(_key(config.data), runtime.data_path, runtime.cache_path)
    checkpoint = run_dir / "checkpoint.pt"
    if pretrained_already and checkpoint.exists():
        method = build_method(config).to(device)
        method.load_state_dict(torch.load(checkpoint, map_location=device, weights_only=True)["method"])
        test = embed(method, dataset.test, config.data.normalization, device)
    else:
        pretrained = pretrain(config, dataset.train, device, run_dir, on_progress)
        method = pretrained.method
        test = embed(method, dataset.test, config.data.normalization, device)
        _save(checkpoint, method)
        write_json(run_dir / "result.json", _result(config, pretrained, test, dataset))
    outcome = read_json(run_dir / "result.json")["outcome"]

    def load(data: DataConfig) -> Dataset:
        return _load(_key(data), runtime.data_path, runtime.cache_path)

    evaluate(config, missing, method, outcome, dataset, test, device, runtime, run_dir, on_progress, load)


def _claim_spec(config: RunConfig, run_dir: Path) -> None:
    spec = {"config_version": CONFIG_VERSION, "run_id": run_id(config), "config": canonical(config)}
    path = run_dir / "spec.json"
    if not path.exists():
        write_json(path, spec)
    elif read_json(path) != spec:
        raise SpecMismatchError(f"{path}: holds another configuration than {spec['run_id']}; move the folder away")


def device_of(name: str) -> torch.device:
    """The device of a name as ``RuntimeConfig`` has it; ``auto`` takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


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


def _result(config: RunConfig, pretrained: Pretrained, test: Embeddings, dataset: Dataset) -> dict[str, Any]:
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
        "duration_s": pretrained.duration_s,
    }
