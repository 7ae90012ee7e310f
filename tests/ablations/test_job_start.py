"""From a user's shell to the start of a job: variables, users without a home, signals, GPUs. Without SLURM."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid

from ablations.errors import UserError
from ablations.slurm import gpus, queue, runs_file, submit
from ablations.slurm.profiles import Profile, find_profiles
from ablations.slurm.resources import Batch, check_pack
from ablations.slurm.sbatch import script
from ablations.slurm.source import Code
from ablations.slurm.task import Task
from ablations.slurm.variables import as_a_user_means_them
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import RuntimeConfig, user_path
from simclr_core.processes.distributed import device_of
from simclr_core.records import read_json

LISTENS = """\
import signal, sys, time, pathlib
pathlib.Path(sys.argv[1]).touch()
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.01)
signal.signal(signal.SIGUSR2, lambda *_: print("heard"))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
print("ready")
"""


@pytest.fixture
def spec(write_grid: WriteGrid) -> RunSpec:
    """Some run."""
    return expand(load_grid(str(write_grid())), "demo")[0]


def script_of(spec: RunSpec, folder: Path, **profile: object) -> str:
    """The batch script of one run."""
    return script(Profile("p", **profile), Batch(60, ((spec,),)), Code(Path("/code")), folder)


@pytest.mark.parametrize("old", [False, True], ids=["env blocks signals", "env cannot"])
def test_a_signal_before_python_listens_does_not_end_it(spec: RunSpec, tmp_path: Path, old: bool) -> None:
    srun = script_of(spec, tmp_path, python=sys.executable).splitlines()[-1]
    words = shlex.split(srun)
    words = words[words.index("sh") : words.index("-u")]  # what srun starts, up to the program
    (tmp_path / "env").write_text("#!/bin/sh\nexit 125\n", encoding="utf-8")
    (tmp_path / "env").chmod(0o755)
    path = os.environ["PATH"]
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    process = subprocess.Popen(
        [*words, "-c", LISTENS, str(started), str(go_on)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{path}" if old else path},
    )
    deadline = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR2)
    go_on.touch()
    told, _ = process.communicate(timeout=60)
    command = ["env", "--block-signal=USR2", "true"]
    blocks = subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert told.split() == (["heard", "ready"] if blocks and not old else ["ready"])


def test_a_script_gives_its_variables_to_srun_and_its_signal_to_submitit(spec: RunSpec, tmp_path: Path) -> None:
    text = script_of(spec, tmp_path, extra={"export": "NONE"}, env={"SUBMITIT_PREEMPT_SIGNAL": "USR1"})
    setup = text[text.index("# setup\n") : text.index("# command\n")]
    command = ["bash", "-c", setup + 'echo "$SUBMITIT_PREEMPT_SIGNAL ${SLURM_EXPORT_ENV-unset}"']
    environment = os.environ | {"SLURM_EXPORT_ENV": "NONE"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "USR2 unset\n"
    assert "#SBATCH --signal=USR2@120\n" in text


def test_variables_for_sbatch_are_the_users_but_where_the_script_says_otherwise(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCOUNT", "RESERVATION", "PARTITION", "ARRAY_INX", "TIMELIMIT", "OUTPUT", "NO_REQUEUE", "WAIT"):
        monkeypatch.setenv(f"SBATCH_{name}", "mine")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_CONF", "here")
    text = script_of(spec, tmp_path, partition="gpu").replace("--cpus-per-task", "--array=0-1\n#SBATCH --cpus-per-task")
    before = dict(os.environ)

    with as_a_user_means_them(text):
        left = {name for name in os.environ if name.startswith(("SBATCH_", "SLURM_")) or name == "WORLD_SIZE"}
    assert left == {"SBATCH_ACCOUNT", "SBATCH_RESERVATION", "SLURM_CONF"}
    assert dict(os.environ) == before

    monkeypatch.setenv("SLURM_JOB_ID", "120")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    with as_a_user_means_them(text):
        assert {name for name in os.environ if name.startswith(("SBATCH_", "SLURM_", "SUBMITIT_"))} == {"SLURM_CONF"}
    assert os.environ["SBATCH_ACCOUNT"] == "mine"


@pytest.mark.parametrize(
    ("profile", "number"),
    [
        ({}, 0),
        ({"gpus_per_node": 2}, 2),
        ({"gpus_per_node": "a100:2"}, 2),
        ({"extra": {"gres": "gpu"}}, 1),
        ({"extra": {"gres": "gpu:4"}}, 4),
        ({"extra": {"gres": "lustre:1,gpu:a100:2"}}, 2),
        ({"extra": {"gres": "gpu:a100"}}, 1),
        ({"extra": {"gres": "shard:8"}}, 1),
        ({"extra": {"gres": "lustre:1"}}, 0),
        ({"extra": {"gpus": "a100:2"}}, 2),
        ({"extra": {"gpus-per-task": "1"}}, 1),
        ({"extra": {"tres-per-task": "cpu:4,gres/gpu:a100:2"}}, 2),
        ({"extra": {"tres-per-node": "gres/gpu=2"}}, 2),
        ({"extra": {"gpu-bind": "none", "comment": "gpu:2", "hold": True}}, 0),
    ],
    ids=str,
)
def test_gpus_are_seen_in_whatever_words_ask_for_them(profile: dict[str, object], number: int) -> None:
    asking = Profile("p", **profile)
    assert gpus.asked_for(asking) == number
    if number > 1:
        with pytest.raises(UserError, match=f"packed runs share one GPU; profile p asks for {number}"):
            check_pack(asking, 4)
    else:
        check_pack(asking, 4)


@pytest.mark.parametrize(
    ("variables", "given"),
    [
        ({}, False),
        ({"SLURM_GPUS_ON_NODE": "0"}, False),
        ({"SLURM_GPUS_ON_NODE": "1"}, True),
        ({"SLURM_JOB_GPUS": "0"}, True),  # the first
        ({"SLURM_STEP_GPUS": "1,2"}, True),
        ({"SLURM_JOB_GPUS": "", "SLURM_GPUS_ON_NODE": ""}, False),
    ],
    ids=str,
)
def test_a_gpu_that_slurm_gave_is_used_or_missed_aloud(
    variables: dict[str, str], given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if given:
        with pytest.raises(ConfigError, match=r"runtime\.device = 'cuda': torch sees no GPU; torch .* (driver|CUDA)"):
            device_of("auto")
    else:
        assert device_of("auto").type == "cpu"


@pytest.mark.parametrize("name", ["50%", "%j", "back\\slash", "two\nlines"])
def test_a_store_whose_path_slurm_would_change_is_refused(
    ablate: Ablate, write_grid: WriteGrid, tmp_path: Path, name: str
) -> None:
    (tmp_path / "p.yaml").write_text("time_min: 5\n", encoding="utf-8")
    words = ["submit", str(write_grid()), "--scale", "demo", "--profile", str(tmp_path / "p.yaml"), "--allow-dirty"]
    done = ablate(*words, "--store", str(tmp_path / name), "--data-dir", "~nobody-of-this-name/data", "--pack", "2")
    assert done.exit_code == 2
    assert "in the names of logs as something else" in done.output
    assert "~nobody-of-this-name/data: that home directory is not known here" in done.output
    assert not (tmp_path / name).exists()


def test_retry_clears_nothing_for_a_submission_that_is_refused(ablate: Ablate, spec: RunSpec, tmp_path: Path) -> None:
    error = tmp_path / "runs" / spec.run_id / "error.txt"
    error.parent.mkdir(parents=True)
    error.write_text("ZeroDivisionError: why\n", encoding="utf-8")
    done = ablate("retry", "little.yaml", "--scale", "demo", "--profile", "nothing-of-this-name")
    assert done.exit_code == 2
    assert "--profile 'nothing-of-this-name': no such profile" in done.output
    assert error.exists()


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a name and a home, as in a container that is run with a user's id."""

    def unknown(_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("nameless")
def test_a_user_without_name_and_home_can_submit(
    ablate: Ablate, write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.enqueue(tmp_path / "run", "s", "p", None)
    assert read_json(tmp_path / "run" / "queued" / "job.json")["user"] == str(os.getuid())
    assert "example-gpu" in find_profiles()
    with pytest.raises(ConfigError, match="~/data: that home directory is not known here; expected a path without ~"):
        user_path("~/data")

    monkeypatch.setattr(submit, "submit", lambda *_: submit.Submitted("s", ["120"], num_runs=10, num_tasks=10))
    done = ablate("submit", str(write_grid()), "--scale", "demo", "--profile", "example-gpu", "--allow-dirty")
    assert (done.exit_code, done.output.splitlines()[-1][:17]) == (0, "submitted 10 runs")


def test_a_run_keeps_decoded_images_where_it_is_told(
    ablate: Ablate, write_grid: WriteGrid, fake_trainer: UseTrainer, tmp_path: Path
) -> None:
    fake_trainer("tells_runtime")
    words = ["run", str(write_grid()), "--scale", "demo", "--limit", "1", "--cache-dir", str(tmp_path / "cache")]
    done = ablate(*words)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "runs").glob("*/runtime.json")
    assert read_json(path)["cache_dir"] == str(tmp_path / "cache")


def test_starts_that_come_to_nothing_are_bounded_and_told(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "120")
    store = Store(tmp_path)
    runs_file.write(tmp_path / "s", [spec])
    queue.enqueue(store.run_dir(spec.run_id), "s", "p", None)
    runtime = RuntimeConfig(store=str(tmp_path))
    task = Task(str(tmp_path / "s"), (spec.run_id,), runtime, 1, 3, "fake_trainer:quick")

    for _ in range(4):
        task = task.checkpoint().function
        assert (store.run_dir(spec.run_id) / "queued").exists()
    assert task.checkpoint() is None
    error = (store.run_dir(spec.run_id) / "error.txt").read_text(encoding="utf-8")
    assert error.startswith("given up after 5 starts, each told to stop before a run had begun: the time limit, or")
    assert not (store.run_dir(spec.run_id) / "queued").exists()
