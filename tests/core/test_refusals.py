"""What cannot be evaluated is refused before anything is trained, and what is trained stays whatever is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid
from test_inventory import write_folder
from toy import toy_config, write_toy

from ablations.commands import running
from ablations.study.expand import expand, load_grid
from simclr_core import run
from simclr_core.config.identity import eval_id
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data.datasets import DataError
from simclr_core.run import execute

LINEAR = EvalConfig(protocol="linear")
EVALUATIONS = "{protocol: knn, num_labels: 1000}"
OF_FOLDER = ("views.kind: pair", "views.kind: pair\n  data.name: animals\n  data.train_images: 0")


@pytest.fixture
def grid(write_grid: WriteGrid, tmp_path: Path) -> Callable[..., str]:
    """A grid on a folder ``animals`` of 1,200 images in two classes."""

    def write(*replacements: tuple[str, str]) -> str:
        return str(write_grid(OF_FOLDER, *replacements))

    write_folder(tmp_path / "data" / "animals", ("ant", "bee"), 600)
    return write


WRONG = [
    (
        (EVALUATIONS, "{protocol: linear, data: flowers}"),
        "evaluation linear_flowers_top1: data.name = 'flowers': no folder",
    ),
    ((EVALUATIONS, "{protocol: knn, num_labels: 1201}"), "evaluation knn_top1: num_labels = 1201: animals has 1200"),
    (
        (EVALUATIONS, "{protocol: knn, label_list: 1.txt}"),
        "evaluation knn_top1: label_list = '1.txt': no file data/animals/1.txt",
    ),
    (("train_images: 0", "train_images: 1300"), "data.train_images = 1300: animals has 1200 training images"),
    (
        ("train_images: 0", "train_images: 0\n  training.global_batch_size: 1201"),
        "animals has 1200 training images, which fill no batch",
    ),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_it_is_refused_before_anything_runs(
    command: str, change: tuple[str, str], said: str, ablate: Ablate, grid: Callable[..., str], fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    done = ablate(command, grid(change), "--scale", "demo")

    assert done.exit_code == 2
    assert "error: little at scale demo: " in done.stderr
    assert said in done.stderr
    assert not Path("runs").exists()


def test_submit_refuses_it_too(ablate: Ablate, grid: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("p.yaml").write_text("{partition: x, time_min: 5, cpus: 1}")
    monkeypatch.setattr("ablations.slurm.submit.check", lambda *_: None)
    done = ablate("submit", grid(WRONG[1][0]), "--scale", "demo", "--profile", "./p.yaml", "--dry-run")

    assert done.exit_code == 2
    assert WRONG[1][1] in done.stderr
    assert not Path("runs").exists()


def test_a_plan_for_another_machine_says_what_it_could_not_look_at(
    ablate: Ablate, grid: Callable[..., str], fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    path = grid(WRONG[1][0])
    shutil.rmtree("data")
    planned, run_here = ablate("plan", path, "--scale", "demo"), ablate("run", path, "--scale", "demo")

    assert planned.exit_code == 0
    note = "data/animals is not here: what the runs need of it is checked when they start"
    assert planned.stdout.splitlines()[-1] == note
    assert (run_here.exit_code, run_here.stderr.count("no folder data/animals")) == (2, 1)
    assert not Path("runs").exists()


def test_what_is_done_needs_no_data_any_more(
    ablate: Ablate, grid: Callable[..., str], fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    path = grid()
    assert ablate("run", path, "--scale", "mini").exit_code == 0
    shutil.rmtree("data/animals/train")

    assert ablate("plan", path, "--scale", "mini").exit_code == 0
    assert ablate("run", path, "--scale", "mini").stdout.startswith("nothing to do")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda7", "CPU", ""])
def test_a_word_that_is_no_device_is_refused_by_run(device: str, ablate: Ablate, write_grid: WriteGrid) -> None:
    done = ablate("run", str(write_grid()), "--scale", "demo", "--device", device)

    assert done.exit_code == 2
    assert f"error: --device {device!r}: expected auto, cpu, cuda, or one GPU as in cuda:1" in done.stderr
    assert not Path("runs").exists()


def test_a_device_that_is_not_there_is_refused_once_and_touches_no_run(ablate: Ablate, write_grid: WriteGrid) -> None:
    before = {}
    for name in expand_ids(str(write_grid())):
        path = Path("runs") / name / "checkpoint.pt"
        path.parent.mkdir(parents=True)
        path.write_text("hours of work")
        before[path] = path.stat().st_mtime_ns
    done = ablate("run", str(write_grid()), "--scale", "demo", "--workers", "2", "--device", "cuda:99")

    assert done.exit_code == 2
    assert (done.stderr.count("error: "), done.stderr.count("runtime.device = 'cuda:99': torch sees ")) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()} == before


def expand_ids(grid: str) -> list[str]:
    return [spec.run_id for spec in expand(load_grid(grid), "demo")]


def test_a_refusal_in_mid_run_keeps_what_is_trained(
    ablate: Ablate, grid: Callable[..., str], fake_trainer: UseTrainer
) -> None:
    """An image may become unreadable in a stream, or a disk go away, after hours."""
    fake_trainer("refuses_in_mid_run")
    path = grid()
    done = ablate("run", path, "--scale", "mini", "--workers", "1")

    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: data/animals/train/ant/ant7.png: not a readable image",
        "what is trained is kept: once this is mended, the same command makes what is missing",
    ]
    (run_dir,) = (path for path in Path("runs").iterdir() if not path.name.startswith("."))
    assert {"checkpoint.pt", "spec.json", "provenance.json"} == {path.name for path in run_dir.iterdir()}

    fake_trainer("quick")
    assert ablate("run", path, "--scale", "mini", "--workers", "1").exit_code == 0
    assert (run_dir / "checkpoint.pt").read_text() == "hours of work"


@pytest.fixture
def animals(tmp_path: Path) -> RuntimeConfig:
    """The data set ``toy``, which a test may spoil."""
    return write_toy(tmp_path / "data")


def must_not_train(*_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        (EvalConfig(data="flowers"), "no folder .*flowers"),
        (EvalConfig(protocol="knn", num_labels=49), "num_labels = 49: toy has 48 labelled training images"),
        (EvalConfig(label_list="1.txt"), "label_list = '1.txt': no file"),
    ],
)
def test_the_trainer_refuses_it_at_its_start(
    evaluation: EvalConfig, said: str, animals: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "pretrain", must_not_train)
    with pytest.raises(DataError, match=said):
        execute(toy_config(), [LINEAR, evaluation], animals, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_transfer_set_that_cannot_be_read_is_told_before_the_training(
    animals: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "data" / "empty", ("ant", "bee"))
    monkeypatch.setattr(run, "pretrain", must_not_train)
    with pytest.raises(DataError, match=r"ant0\.png"):
        execute(toy_config(), [LINEAR, EvalConfig(data="empty")], animals, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("step_count", ["whole_epochs", "released"])
def test_images_that_fill_no_batch_are_told_by_the_trainer(
    step_count: str, animals: RuntimeConfig, tmp_path: Path
) -> None:
    values = {"data.train_images": 0, "training.global_batch_size": 64, "training.step_count": step_count}
    with pytest.raises(DataError, match="global_batch_size = 64: toy has 48 training images, which fill no batch"):
        execute(toy_config(values=values), [LINEAR], animals, tmp_path / "run")
    assert not (tmp_path / "run").exists()

    execute(toy_config(values=values | {"training.epochs": 0}), [], animals, tmp_path / "untrained")
    assert (tmp_path / "untrained" / "result.json").exists()


def test_a_refused_evaluation_leaves_the_training_and_is_made_once_it_can_be(
    animals: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: RunConfig = toy_config()
    listed = EvalConfig(label_list="labels.txt")
    execute(config, [LINEAR], animals, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    monkeypatch.setattr(run, "pretrain", must_not_train)
    with pytest.raises(DataError, match=r"labels\.txt"):
        execute(config, [LINEAR, listed], animals, tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before

    (tmp_path / "data" / "toy" / "labels.txt").write_text("red/1.png\nblue/2.png\nred/3.png\nblue/4.png")
    execute(config, [LINEAR, listed], animals, tmp_path / "run")
    assert (tmp_path / "run" / "evals" / f"{eval_id(listed)}.json").exists()


def test_only_the_words_of_devices_are_looked_at_by_the_command_line() -> None:
    assert [running.device_problem(name) for name in ("auto", "cpu", "cuda", "cuda:7", "mps")] == [""] * 5
