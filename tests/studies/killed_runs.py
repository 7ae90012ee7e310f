"""Runs that are killed again and again, against one that was not.

``nox -s fidelity`` writes what comes out into docs/fidelity.md.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toy import toy_config

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig
from simclr_core.run import execute
from simclr_core.training import checkpoint

EVALUATIONS = [EvalConfig(num_labels=30), EvalConfig(protocol="knn", num_labels=30, k=5)]
STEPS_PER_EPOCH, NUM_EPOCHS = 5, 6


@dataclass
class Tally:
    """What was done to the runs, and what came of it."""

    num_runs: int = 0
    num_kills: int = 0
    num_damaged: int = 0  # newest checkpoints that were torn, or had a bit flipped, after a kill
    resumed_at: list[int] = field(default_factory=list)  # steps
    num_different: int = 0  # runs that left another file, weight or number than the one that was not killed


def outcome(run_dir: Path) -> dict[str, Any]:
    """All that a run leaves, without the times: final weights by checksum, curves, result, evaluations."""
    state = checkpoint.read(run_dir / checkpoint.NAME)
    assert state is not None
    files: dict[str, Any] = {"metrics": (run_dir / "metrics.jsonl").read_text()}
    for path in [run_dir / "result.json", *sorted((run_dir / "evals").glob("*.json"))]:
        content = json.loads(path.read_text())
        files[path.name] = {key: value for key, value in content.items() if key not in {"duration_s", "resumes"}}
    return files | {"weights": checkpoint.checksum(state["method"]), "step": state["step"]}


def damage(path: Path, source: random.Random) -> None:
    """Tear a file at a random byte, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = source.randrange(len(content))
    if source.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << source.randrange(8)
    path.write_bytes(content)


def kill_and_resume(folder: Path, runtime: RuntimeConfig, num_kills: int) -> Tally:
    """Runs with a checkpoint every step, SIGKILLed after random times until so many kills have hit.

    After every third kill the newest checkpoint is damaged, if it is there and its run not finished.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["simclr_core.run"])
    config = toy_config(values={"training.epochs": NUM_EPOCHS, "optimizer.warmup_epochs": 1})
    runtime = replace(runtime, checkpoint_every_s=0.0)

    def start(run_dir: Path) -> Any:
        process = context.Process(target=execute, args=(config, EVALUATIONS, runtime, run_dir))
        process.start()
        return process

    start(folder / "warm").join()
    begun = time.perf_counter()
    start(folder / "reference").join()
    duration_s = time.perf_counter() - begun
    expected = outcome(folder / "reference")
    assert expected["step"] == STEPS_PER_EPOCH * NUM_EPOCHS
    source = random.Random(0)  # noqa: S311 - no secret
    tally = Tally()
    while tally.num_kills < num_kills or tally.num_damaged < num_kills // 8:
        run_dir = folder / str(tally.num_runs)
        tally.num_runs += 1
        while True:
            process = start(run_dir)
            process.join(source.uniform(0, duration_s))
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            tally.num_kills += 1
            newest = run_dir / checkpoint.NAME
            if tally.num_kills % 3 == 0 and newest.exists() and not (run_dir / "result.json").exists():
                damage(newest, source)
                tally.num_damaged += 1
        assert process.exitcode == 0
        tally.num_different += outcome(run_dir) != expected
        resumes = json.loads((run_dir / "result.json").read_text())["resumes"]
        assert all(resume["bit_exact"] for resume in resumes)
        tally.resumed_at += [resume["step"] for resume in resumes]
    return tally


def markdown(tally: Tally) -> str:
    """The tally as a table for docs/fidelity.md."""
    in_mid_epoch = sum(step % STEPS_PER_EPOCH > 0 for step in tally.resumed_at)
    rows = {
        "kills (SIGKILL, after random times)": tally.num_kills,
        "newest checkpoint torn, or a bit of it flipped, after a kill": tally.num_damaged,
        "resumes from a checkpoint": len(tally.resumed_at),
        "of these in mid-epoch": in_mid_epoch,
        "runs finished": tally.num_runs,
        "runs that differ from the one never killed": tally.num_different,
    }
    return "\n".join(
        ["| what | number |", "| --- | ---: |", *(f"| {what} | {number} |" for what, number in rows.items())]
    )
