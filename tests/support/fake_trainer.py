"""Stand-ins for ``simclr_core.run.execute`` that write a run's records, or fail, without torch."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from simclr_core.config.identity import CONFIG_VERSION, canonical, eval_id, run_id
from simclr_core.config.runtime import Progress, TrainingStopped
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.records import append_jsonl, read_json, write_json


class WrongInputError(ValueError):
    problems = ("no folder data/cifar10-jpeg", "no folder data/stl10")


def quick(config, evaluations, _runtime, run_dir, on_progress, _stop_requested) -> None:
    """All records of a run, with numbers that follow from its seed."""
    on_progress(Progress("pretrain", 1, 1, 100.0))
    write_records(config, evaluations, run_dir)


def slow(config, *others: object) -> None:
    """Seed 0 at once, other seeds after ten minutes."""
    if config.seed:
        time.sleep(600)
    quick(config, *others)


def raises(config, *others: object) -> None:
    """A bug that shows with seed 1 only."""
    if config.seed == 1:
        raise ZeroDivisionError("seed 1\nand more")
    quick(config, *others)


def dies(config, *others: object) -> None:
    """The operating system kills the process that runs seed 1."""
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    quick(config, *others)


def refuses(*_: object) -> None:
    """Says that the input is wrong."""
    raise WrongInputError


def note_start(run_dir: Path) -> None:
    """What a launch calls before the trainer."""
    (run_dir / "started.txt").write_text(f"result: {(run_dir / 'result.json').exists()}", encoding="utf-8")


def write_records(config: RunConfig, evaluations: list[EvalConfig], run_dir: Path) -> None:
    """Results of a run as the trainer writes them; top1 is 50 + seed, kNN 1 lower."""
    write_json(
        run_dir / "spec.json",
        {"config_version": CONFIG_VERSION, "run_id": run_id(config), "config": canonical(config)},
    )
    for step in (1, 2):
        line = {"step": step, "epoch": step / 2, "loss": 5.0 - step - config.seed / 8, "lr": 0.1, "z_std": 0.25}
        line |= {"knn_top1": 40.0 + config.seed} if step == 2 else {}
        append_jsonl(run_dir / "metrics.jsonl", line)
    for evaluation in evaluations:
        content = {
            "schema_version": 1,
            "eval_id": eval_id(evaluation),
            "evaluation": canonical(evaluation),
            "metric": evaluation.metric,
            "top1": 50.0 + config.seed - (evaluation.protocol == "knn"),
            "num_labels": evaluation.num_labels,
            "num_test": 100,
            "l2": None,
            "backbone_sha256": "0" * 64,
            "duration_s": 1.5,
        }
        write_json(run_dir / "evals" / f"{eval_id(evaluation)}.json", content)
    result = {
        "schema_version": 1,
        "run_id": run_id(config),
        "outcome": "trained" if config.training.epochs else "untrained",
        "num_steps": 2,
        "final_loss": 3.0 - config.seed / 8,
        "z_std": 0.0625,
        "z_std_ratio": 0.5,
        "z_std_images": 100,
        "dim": 64,
        "duration_s": 7.0,
        "data_fingerprint": "0" * 64,
        "train_images": 1000,
    }
    write_json(run_dir / "result.json", result)


def naps(config, evaluations, runtime, run_dir, *others: object) -> None:
    """A second of sleep, whose begin and end are noted."""
    begin = time.time()
    time.sleep(1)
    write_json(run_dir / "nap.json", [begin, time.time()])
    quick(config, evaluations, runtime, run_dir, *others)


def steps(config, evaluations, runtime, run_dir, on_progress, stop_requested) -> None:
    """``training.epochs`` steps of a tenth of a second; it stops when asked, and goes on from there."""
    path = run_dir / "steps.json"
    done = read_json(path)["steps"] if path.exists() else 0
    for step in range(done, config.training.epochs):
        write_json(path, {"steps": step})
        if stop_requested() and step > done:
            raise TrainingStopped
        on_progress(Progress("pretrain", step, config.training.epochs, 0.0))
        append_jsonl(run_dir / "made.jsonl", {"step": step})
        time.sleep(0.1)
    quick(config, evaluations, runtime, run_dir, on_progress, stop_requested)


def dies_once(config, evaluations, runtime, run_dir, *others: object) -> None:
    """The operating system kills the first process that runs seed 1."""
    if config.seed == 1 and not (run_dir / "died").exists():
        (run_dir / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    quick(config, evaluations, runtime, run_dir, *others)


def with_scores(config, evaluations, run_dir, top1: float | None) -> None:
    """A run's records, every evaluation with this accuracy in percent; None: it diverged."""
    write_records(config, evaluations, run_dir)
    for path in (run_dir / "evals").glob("*.json"):
        write_json(path, read_json(path) | {"top1": top1})
    if top1 is None:
        write_json(run_dir / "result.json", read_json(run_dir / "result.json") | {"outcome": "diverged"})


def noise(config) -> float:
    """Between -1 and 1, from what tells the cells of the tests' grid apart and the seed, whatever the recipe."""
    digest = hashlib.sha256(f"{config.views.first} {config.views.second} {config.seed}".encode())
    return int(digest.hexdigest()[:6], 16) / 0x7FFFFF - 1


def crop_then_color(config, evaluations, _runtime, run_dir, *_: object) -> None:
    """Crop then colour is five points above the other cells, which differ by noise alone."""
    best = (config.views.first, config.views.second) == ("crop", "color")
    with_scores(config, evaluations, run_dir, 50.0 + 5.0 * best + noise(config))


def color_diverges(config, evaluations, runtime, run_dir, *others: object) -> None:
    """The same, but the second seed of colour alone diverges."""
    if (config.views.first, config.views.second, config.seed) == ("color", "color", 1):
        with_scores(config, evaluations, run_dir, None)
    else:
        crop_then_color(config, evaluations, runtime, run_dir, *others)


def best_at_half(config, evaluations, _runtime, run_dir, *_: object) -> None:
    """Temperature .5 is best where crop comes first, .1 elsewhere."""
    wanted = 0.5 if config.views.first == "crop" else 0.1
    with_scores(config, evaluations, run_dir, 50.0 + 5.0 * (config.method.temperature == wanted))


def both_or_neither(config, evaluations, _runtime, run_dir, *_: object) -> None:
    """Rate .4 is best at temperature .5 and rate .1 at .1, by less where crop does not come first; rate .2 is poor."""
    pair, crop = (config.optimizer.base_lr, config.method.temperature), config.views.first == "crop"
    gain = {(0.4, 0.5): 6.0 if crop else 4.0, (0.1, 0.1): 5.0, (0.2, 0.5): 0.5 * crop, (0.2, 0.1): 0.25 * (not crop)}
    with_scores(config, evaluations, run_dir, 50.0 + gain.get(pair, 0.0))


def tells_where(config, evaluations, runtime, run_dir, *others: object) -> None:
    """Notes the file that the job's code was imported from."""
    quick(config, evaluations, runtime, run_dir, *others)
    write_json(run_dir / "code.json", sys.modules["ablations.local.worker"].__file__)


class UnreadableError(ValueError):
    problems = ("data/animals/train/ant/ant7.png: not a readable image",)


def refuses_in_mid_run(config, _evaluations, _runtime, run_dir, *_: object) -> None:
    """After a checkpoint, an image cannot be read."""
    spec = {"config_version": CONFIG_VERSION, "run_id": run_id(config), "config": canonical(config)}
    write_json(run_dir / "spec.json", spec)
    (run_dir / "checkpoint.pt").write_text("hours of work")
    raise UnreadableError


def tells_runtime(config, evaluations, runtime, run_dir, *others: object) -> None:
    """Notes where and how the run was to execute."""
    quick(config, evaluations, runtime, run_dir, *others)
    write_json(run_dir / "runtime.json", asdict(runtime))
