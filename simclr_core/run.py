"""One configuration in, one run directory out: pre-train once, then each evaluation that is missing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import torch

from simclr_core.config.identity import CONFIG_VERSION, canonical, eval_id, run_id
from simclr_core.config.options import flatten
from simclr_core.config.runtime import OnProgress, Progress, RuntimeConfig, StopRequested
from simclr_core.config.schema import DataConfig, EvalConfig, RunConfig, validate
from simclr_core.data.contents import check_content
from simclr_core.data.datasets import Dataset, load_dataset, transferred_to
from simclr_core.data.errors import DataError
from simclr_core.data.inventory import Inventory, inventory, is_here, training_problems
from simclr_core.evals.checks import label_problems, validate_evaluations
from simclr_core.evals.embed import Embeddings, embed, names_to_embed
from simclr_core.evals.material import Load, Pretrained
from simclr_core.evals.monitor import embedder, knn_monitor
from simclr_core.evals.run import evaluate
from simclr_core.methods import build_network
from simclr_core.networks.heads import z_std
from simclr_core.processes.distributed import World, agree, from_main, joined
from simclr_core.processes.malloc import keep_freed_memory
from simclr_core.records import read_json, write_json
from simclr_core.training import checkpoint
from simclr_core.training.log import late_mean
from simclr_core.training.loop import Training, pretrain

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
    stop_requested: StopRequested = lambda: False,
) -> None:
    """Bring ``run_dir`` to hold the pre-training of ``config`` and every one of ``evaluations``.

    What is there already is not done again, except that an evaluation which needs a checkpoint that has been
    removed trains again; a training that was interrupted goes on from its last checkpoint. Where a launcher has
    started several processes, they train together; process 0 alone looks at ``run_dir``, writes to it, tells of
    progress and evaluates, while the others return after the training.
    Raises ConfigError, DataError, or SpecMismatchError for a directory of another run, and TrainingStopped, after a
    checkpoint, once ``stop_requested`` is true. Whatever can be known of the data and of the evaluations is checked
    before ``run_dir`` is written to.
    """
    validate(config)
    validate_evaluations(config, evaluations)
    with joined(runtime.device) as world:
        agree(dict(flatten(config)))
        world.slice_of(config.training.global_batch_size)
        missing, finished = from_main(lambda: _look(config, evaluations, run_dir))
        if finished and not missing:
            return
        from_main(lambda: _foresee(config, missing, finished, runtime))
        torch.set_num_threads(runtime.num_threads)
        keep_freed_memory()
        on_progress = on_progress if world.is_main else lambda _: None
        on_progress(Progress("load", 0, 1))
        load = functools.partial(_load_for, run_dir.parent, runtime=runtime)
        # one process alone decodes images into the cache, those of transfer too: they may turn out to be unreadable
        from_main(lambda: _check(config, missing, finished, runtime, lambda name: _loaded(name, config, load)))
        dataset = load(config.data)
        from_main(lambda: _claim_spec(config, run_dir))
        kept = checkpoint.read(run_dir / checkpoint.NAME) if finished and world.is_main else None
        training = None
        if not from_main(lambda: kept is not None):
            knn_top1 = knn_monitor(config, dataset, world.device, runtime.num_workers)
            embed_all = embedder(dataset.pretrain, config.data.normalization, world.device, runtime.num_workers)
            training = pretrain(
                config, dataset.pretrain, world, runtime, run_dir, on_progress, stop_requested, knn_top1, embed_all
            )
    if not world.is_main:
        return
    state = kept or {}
    if training is not None:
        state = training.state(final=True)
        checkpoint.save(run_dir, state)
    # evaluations have a network of their own: that of the training may have BN layers that need other processes
    network = build_network(config).to(world.device)
    network.load_state_dict(state["method"])
    test = embed(
        network,
        dataset.test,
        config.data.normalization,
        world.device,
        num_workers=runtime.num_workers,
        names=names_to_embed(evaluation.embedding for evaluation in missing),
    )
    if training is not None:
        write_json(run_dir / "result.json", _result(config, training, test, dataset, world, run_dir))
        checkpoint.drop_previous(run_dir)
    outcome = read_json(run_dir / "result.json")["outcome"]
    pretrained = Pretrained(config, network, outcome, dataset, test, world.device, runtime, load)
    evaluate(pretrained, missing, run_dir, on_progress)


def _look(config: RunConfig, evaluations: list[EvalConfig], run_dir: Path) -> tuple[list[EvalConfig], bool]:
    """Whether ``run_dir`` is this configuration's; which evaluations are missing, and whether the training is done."""
    path = run_dir / "spec.json"
    if path.exists() and read_json(path) != _spec(config):
        raise SpecMismatchError(f"{path}: holds another configuration than {run_id(config)}; move the folder away")
    missing = [e for e in evaluations if not (run_dir / "evals" / f"{eval_id(e)}.json").exists()]
    return missing, (run_dir / "result.json").exists()


def _spec(config: RunConfig) -> dict[str, Any]:
    return {"config_version": CONFIG_VERSION, "run_id": run_id(config), "config": canonical(config)}


def _claim_spec(config: RunConfig, run_dir: Path) -> None:
    """Make ``run_dir`` this configuration's."""
    run_dir.mkdir(parents=True, exist_ok=True)
    if not (run_dir / "spec.json").exists():
        write_json(run_dir / "spec.json", _spec(config))


def _check(
    config: RunConfig,
    missing: list[EvalConfig],
    finished: bool,
    runtime: RuntimeConfig,
    look: Callable[[str], Inventory],
) -> None:
    """Raise DataError if the data sets do not allow the training that is to come, or an evaluation after it."""
    look = functools.cache(look)
    own = look(config.data.name)
    problems = list(own.problems) if finished else training_problems(config, own)
    problems += label_problems(missing, config.data.name, look, runtime.data_path)
    if problems:
        raise DataError(problems)


def _foresee(config: RunConfig, missing: list[EvalConfig], finished: bool, runtime: RuntimeConfig) -> None:
    """Check what the names of files tell at once, where decoding may take an hour; a missing folder is told by it."""
    if is_here(config.data.name, runtime.data_path):
        _check(config, missing, finished, runtime, lambda name: inventory(name, runtime.data_path))


def _loaded(name: str, config: RunConfig, load: Load) -> Inventory:
    """What a data set turns out to hold once it is read, or its headers are: without what is skipped."""
    dataset = load(config.data if name == config.data.name else transferred_to(name, config.data))
    num_pretrain, num_labelled = len(dataset.pretrain.labels), len(dataset.train.labels)
    return Inventory(name, len(dataset.classes), num_pretrain, num_labelled, dataset.train_files)


def _load_for(store: Path, data: DataConfig, runtime: RuntimeConfig) -> Dataset:
    """The data set, of the content that the runs of ``store`` rest on."""
    dataset = _load(data, runtime)
    check_content(store, runtime.data_path / data.name, data, dataset.fingerprint)
    return dataset


def _load(data: DataConfig, runtime: RuntimeConfig) -> Dataset:
    """A worker that runs one configuration after the other reads its data once."""
    whole = replace(data, train_images=0, subset_seed=0, normalization="none")  # these choose from it
    return _load_once(astuple(whole), runtime.data_path, runtime.cache_path)


@functools.lru_cache(maxsize=2)  # what is pre-trained on, and what is transferred to
def _load_once(data: tuple[Any, ...], data_dir: Path, cache_dir: Path | None) -> Dataset:
    return load_dataset(DataConfig(*data), data_dir, cache_dir)


def _result(
    config: RunConfig, training: Training, test: Embeddings, dataset: Dataset, world: World, run_dir: Path
) -> dict[str, Any]:
    spread = z_std(test.z).item()
    ratio = spread * math.sqrt(training.method.net.dim)
    if training.diverged or not math.isfinite(ratio):
        outcome = "diverged"
    elif config.training.epochs == 0:
        outcome = "untrained"
    else:
        outcome = "collapsed" if ratio < COLLAPSE_THRESHOLD else "trained"
    return {
        "schema_version": 1,
        "run_id": run_id(config),
        "outcome": outcome,
        "num_steps": training.step,
        "final_loss": training.final_loss,
        "z_std": spread if math.isfinite(spread) else None,
        "z_std_ratio": ratio if math.isfinite(ratio) else None,
        "z_std_images": len(test.labels),
        "dim": training.method.net.dim,
        "contrastive_top1": late_mean(run_dir, "contrastive_top1"),
        "contrastive_entropy": late_mean(run_dir, "contrastive_entropy"),
        "train_images": config.data.train_images or len(dataset.train.labels),
        "data_fingerprint": dataset.fingerprint,
        "num_processes": world.size,
        "device_batch_size": config.training.global_batch_size // world.size,
        "resumes": training.resumes,
        "duration_s": training.duration_s,
    }
