"""How a job starts: signals before it listens to them, and the GPUs that it was given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.records import read_json
from slurm.cluster import Cluster, until
from slurm.conftest import Study
from slurm.test_faults import FEW_LABELS, ONE_RUN, made, steps_of

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

SLOW_ONCE = """\
import os, pathlib, time
here = pathlib.Path(__file__).parent / "starting"
if "SLURM_PROCID" in os.environ and not here.exists():
    here.touch()
    time.sleep(4)
"""


@pytest.fixture
def slow_start(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file that appears as a job's Python starts for the first time, four seconds of it; a profile's ``env``."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_ONCE, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "slow"), os.environ["PYTHONPATH"]])
    return tmp_path / "slow" / "starting", {"PYTHONPATH": path}


@pytest.mark.parametrize("preempted", [False, True], ids=["signal", "preemption"])
def test_a_signal_while_python_starts_puts_the_job_back_into_the_queue(
    cluster: Cluster,
    study: MakeStudy,
    fake_trainer: UseTrainer,
    slow_start: tuple[Path, dict[str, str]],
    preempted: bool,
) -> None:
    fake_trainer("steps")
    starting, env = slow_start
    little = study(*ONE_RUN, steps_of(10))
    little.submit(partition="low", time_min=60, env=env)
    until(starting.exists, 30, "Python starts")
    if preempted:
        cluster.tell("sbatch", "-p", "high", "--exclusive", "-N3", "-o", "/dev/null", "--wrap", "sleep 1")
    else:
        cluster.tell("scancel", "--signal=USR2", little.job_of())
    little.wait(60)

    assert made(little) == list(range(10))
    attempts = read_json(little.run_dir() / "provenance.json")["attempts"]
    assert [(attempt["outcome"], attempt["restart_count"]) for attempt in attempts] == [("done", 1)]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    "asks",
    [{"gpus_per_node": "a100:1"}, {"extra": {"gres": "gpu:a100:1"}}, {"extra": {"gpus": "1"}}],
    ids=str,
)
def test_a_job_with_a_gpu_trains_on_it_whatever_words_asked_for_it(
    study: MakeStudy, fake_trainer: UseTrainer, tmp_path: Path, asks: dict[str, object]
) -> None:
    fake_trainer("tells_runtime")
    little = study(*ONE_RUN)
    little.submit("--cache-dir", str(tmp_path / "cache"), time_min=60, **asks)
    little.wait(60)
    runtime = read_json(little.run_dir() / "runtime.json")
    assert (runtime["device"], runtime["cache_dir"]) == ("cuda", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cluster")
def test_a_job_obeys_the_shell_that_submits_and_knows_its_script_though_it_exports_nothing(
    study: MakeStudy, fake_trainer: UseTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_trainer("tells_runtime")
    monkeypatch.setenv("SBATCH_GRES", "gpu:1")
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")  # where the profile has a word too, that counts
    little = study(*ONE_RUN)
    env = {name: os.environ[name] for name in ("SLURM_CONF", "PATH", "PYTHONPATH")}
    little.submit(partition="main", time_min=60, extra={"export": "NONE"}, env=env)
    little.wait(60)
    assert read_json(little.run_dir() / "runtime.json")["device"] == "cuda"


@pytest.mark.usefixtures("cluster")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU behind the one that SLURM makes up")
def test_a_job_whose_gpu_cannot_be_used_fails_at_its_start(study: MakeStudy, toy_runtime: RuntimeConfig) -> None:
    settings = (
        "set:\n  data.name: toy\n  data.train_images: 40\n  backbone.width_multiplier: 0.125\n"
        "  training.global_batch_size: 8\n  training.epochs: 1\n  optimizer.warmup_epochs: 0\n"
    )
    toy = study(*ONE_RUN, ("set:\n", settings), *FEW_LABELS, scale="mini")
    toy.submit("--data-dir", toy_runtime.data_dir, time_min=60, extra={"gres": "gpu:a100:1"})
    until(
        lambda: toy.states() != ["queued"] and not list(toy.store.root.glob("*/queued")), 60, "the job ends", toy.logs
    )
    assert toy.states() == ["failed"]
    error = (toy.run_dir() / "error.txt").read_text(encoding="utf-8")
    assert error.startswith("runtime.device = 'cuda': torch sees no GPU")
    assert not (toy.run_dir() / "metrics.jsonl").exists()
