"""From an order to batch scripts: resources, time limits, packing, arrays, and what a dry run shows. Without SLURM."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from typer.testing import CliRunner

from ablations.commands.cli import app
from ablations.errors import UserError
from ablations.plan import declared
from ablations.slurm import runs_file
from ablations.slurm import submit as submitting
from ablations.slurm.profiles import Profile
from ablations.slurm.resources import batches, check_pack, share, time_limit_min
from ablations.slurm.sbatch import name_of, script
from ablations.slurm.send import Sent, job_in, send
from ablations.slurm.source import Code, diff, find_code, snapshot
from ablations.slurm.submissions import job_name
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec

CODE = Code(Path("/code"), Path("/code"), "0" * 40)


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


def options(text: str) -> dict[str, str]:
    """The options of a batch script."""
    return dict(line[len("#SBATCH --") :].partition("=")[::2] for line in text.splitlines() if line.startswith("#SB"))


@pytest.mark.parametrize(
    ("core_s", "cpus", "pack", "minutes"),
    [
        (20, 1, 1, 30),  # a minute with its margin, and nothing is under half an hour
        (7200, 1, 1, 360),  # two hours, three times
        (7200, 4, 1, 90),
        (7200, 4, 4, 360),  # four runs at a time, a core each
        (7200, 4, 5, 720),  # and a fifth after them
        (7200, 8, 4, 180),
        (7300, 1, 1, 390),  # 365 min
    ],
)
def test_time_limits_follow_from_the_estimate(core_s: float, cpus: int, pack: int, minutes: int) -> None:
    assert time_limit_min(core_s, Profile("p", cpus=cpus), pack) == minutes


def test_a_profiles_time_limit_wins_and_one_that_nothing_tells_is_asked_for() -> None:
    assert time_limit_min(7200, Profile("p", time_min=5), 3) == 5
    with pytest.raises(UserError, match="profile p: time_min: missing"):
        time_limit_min(None, Profile("p"), 1)


@pytest.mark.parametrize(("cpus", "pack", "shares"), [(8, 1, (1, 8)), (8, 3, (3, 2)), (2, 10, (2, 1)), (1, 5, (1, 1))])
def test_cores_are_shared_by_the_runs_of_a_task(cpus: int, pack: int, shares: tuple[int, int]) -> None:
    found = share(Profile("p", cpus=cpus), pack)
    assert (found.num_workers, found.num_threads) == shares


def test_one_array_for_each_time_limit_and_none_longer_than_slurm_takes(specs: list[RunSpec]) -> None:
    others = [replace(spec, grid="long") for spec in specs[:3]]
    made = batches([*specs, *others], {"little": 20.0, "long": 7200.0}, Profile("p"), 2, max_array_size=3)
    assert [(batch.time_min, [len(task) for task in batch.tasks]) for batch in made] == [
        (30, [2, 2, 2]),
        (30, [2, 2]),
        (720, [2, 1]),
    ]
    assert [spec for batch in made for task in batch.tasks for spec in task] == [*specs, *others]


@pytest.mark.parametrize(("asked", "shares"), [(None, [None] * 3), (20, [1, 1, 16]), (2, [1, 1, 1])])
def test_arrays_share_the_tasks_at_a_time_as_they_share_the_work(
    specs: list[RunSpec], asked: int | None, shares: list[int | None]
) -> None:
    others = [replace(spec, grid="long") for spec in specs[:3]]
    core_s = {"little": 20.0, "long": 7200.0}
    made = batches([*specs, *others], core_s, Profile("p"), 2, max_array_size=3, max_parallel=asked)
    assert [batch.max_parallel for batch in made] == shares


def test_packs_share_one_gpu_and_no_run_is_shared() -> None:
    check_pack(Profile("p", gpus_per_node=1), 4)
    with pytest.raises(UserError) as caught:
        check_pack(Profile("p", gpus_per_node=2, nodes=2), 4)
    assert len(caught.value.problems) == 2


def test_a_script_asks_for_what_the_profile_says(specs: list[RunSpec], tmp_path: Path) -> None:
    profile = Profile(
        "p",
        partition="gpu",
        account="group",
        mem_gb=1.5,
        cpus=4,
        gpus_per_node=2,
        nodes=2,
        tasks_per_node=2,
        setup=("module load cuda",),
        env={"A": "b c"},
        extra={"exclude": "n[1-2]"},
    )
    (batch,) = batches(specs, {"little": 20.0}, profile, 1, 100, max_parallel=3)
    text = script(profile, batch, CODE, tmp_path / "20260101-000000-abcdef")
    found = options(text)
    assert found["array"] == "0-9%3"
    expected = {
        "partition": "gpu",
        "account": "group",
        "mem": "1536M",
        "cpus-per-task": "4",
        "gpus-per-node": "2",
        "nodes": "2",
        "ntasks-per-node": "2",
        "time": "30",
        "signal": "USR2@120",
        "requeue": "",
        "exclude": "'n[1-2]'",
        "job-name": "little.demo.20260101-000000-abcdef",
    }
    assert {key: found[key] for key in expected} == expected
    assert "wckey" not in found
    lines = text.splitlines()
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(beginning))
        for beginning in ("export A='b c'", "module load cuda", "export PYTHONPATH=/code", "srun ")
    ]
    assert places == sorted(places)
    srun = shlex.split(lines[places[-1]])
    assert {"--cpus-per-task=4", "--kill-on-bad-exit=1"} <= set(srun)


def test_a_job_is_called_by_grids_and_scale(specs: list[RunSpec]) -> None:
    others = [replace(specs[0], grid=grid) for grid in ("second", "third")]
    (batch,) = batches([*specs, *others], dict.fromkeys(("little", "second", "third"), 20.0), Profile("p"), 1, 100)
    assert name_of(batch, "20260101-000000-abcdef") == "little+2.demo.20260101-000000-abcdef"
    assert job_name(["ä b/" + 300 * "x"], "de mo", "s1") == f"__b_{56 * 'x'}.de_mo.s1"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("Submitted batch job 331\n", Sent("331")),
        ("you have 1 running job 330\nSubmitted batch job 331\n", Sent("331")),
        ("Submitted batch job 331\nsee job 330 for details\n", Sent("331")),
        ("Submitted batch job 331 on cluster alps\n", Sent("331", "alps")),
        ("330 jobs wait\n331\n", Sent("331")),
        ("331;alps\n", Sent("331", "alps")),
        ("you have 1 running job 330\n", None),
        ("Submitted batch job 330 yesterday\n", None),
        ("331\nbye\n", None),
        ("", None),
    ],
)
def test_only_sbatchs_own_words_name_the_job(said: str, sent: Sent | None) -> None:
    assert job_in(said) == sent


def test_an_answer_in_any_encoding_is_read_and_one_without_a_job_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sbatch = tmp_path / "s1", tmp_path / "sbatch"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sbatch.write_text('#!/bin/sh\nprintf "caf\\351 job 330\\n"; echo "$@" >&2; echo Submitted batch job 331\n')
    sbatch.chmod(0o755)
    assert send([print, print], 30, "#!/bin/sh\n", "little.demo.s1", folder) == Sent("331")
    assert {path.name for path in folder.iterdir()} == {
        "331_0_submitted.pkl",
        "331_1_submitted.pkl",
        "331_submission.sh",
    }

    sbatch.write_text('#!/bin/sh\nprintf "caf\\351 job 330\\n"\n')
    with pytest.raises(UserError, match=r"sbatch printed .*caf\\+xe9 job 330'.*squeue lists a job little.demo.s1"):
        send([print], 30, "#!/bin/sh\n", "little.demo.s1", folder)
    sbatch.write_text('#!/bin/sh\nprintf "sbatch: error: quota \\351\\n" >&2; exit 1\n')
    with pytest.raises(UserError, match=r"sbatch refused 1 tasks: sbatch: error: quota \\xe9"):
        send([print], 30, "#!/bin/sh\n", "little.demo.s1", folder)
    assert len(list(folder.iterdir())) == 3


def test_a_container_comes_before_its_own_interpreter(specs: list[RunSpec], tmp_path: Path) -> None:
    profile = Profile("p", container="apptainer exec --nv image.sif")
    (batch,) = batches(specs[:1], {"little": 20.0}, profile, 1, 100)
    text = script(profile, batch, CODE, tmp_path)
    assert " apptainer exec --nv image.sif python3 -u -m submitit.core._submit " in text
    assert "array" not in options(text)


def test_runs_are_read_back_as_they_were_and_other_configurations_refused(
    specs: list[RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_file.write(tmp_path, specs)
    read = runs_file.read(tmp_path, [spec.run_id for spec in specs[2:4]])
    assert read == specs[2:4]
    assert [spec.command for spec in read] == [spec.command for spec in specs[2:4]]

    monkeypatch.setattr("simclr_core.config.identity.CONFIG_VERSION", 2)
    with pytest.raises(UserError, match="the code has changed since the submission"):
        runs_file.read(tmp_path, [specs[0].run_id])


def run_git(folder: Path, *arguments: str) -> bytes:
    """What git prints."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the packages in a folder of it, from which ``find_code`` believes to be imported."""
    root = tmp_path / "repository"
    for path in (
        "src/simclr_core/__init__.py",
        "src/simclr_core/config/schema.py",
        "src/ablations/commands/cli.py",
        "src/formats/names.py",
        "notes.md",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("old\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        run_git(root, "-c", "user.name=a", "-c", "user.email=a@b", *command)
    monkeypatch.setattr("simclr_core.__file__", str(root / "src" / "simclr_core" / "__init__.py"))
    return root


def test_changes_are_found_kept_and_in_the_snapshot(repository: Path, tmp_path: Path) -> None:
    assert find_code().changes == ()
    (repository / "src" / "ablations" / "new.py").write_text("new\n", encoding="utf-8")
    (repository / "src" / "simclr_core" / "config" / "schema.py").write_text("changed\n", encoding="utf-8")
    (repository / "results.csv").write_text("no code\n", encoding="utf-8")
    code = find_code()
    assert {line.split()[-1] for line in code.changes} == {"src/simclr_core/config/schema.py", "src/ablations/new.py"}
    before = run_git(repository, "status", "--porcelain")

    patch = tmp_path / "diff.patch"
    patch.write_text(diff(code), encoding="utf-8")
    assert run_git(repository, "status", "--porcelain") == before
    with_changes = snapshot(code, tmp_path / "with", patch)
    assert with_changes.root == tmp_path / "with" / "src"
    assert (with_changes.root / "ablations" / "new.py").read_text(encoding="utf-8") == "new\n"
    assert (with_changes.root / "simclr_core" / "config" / "schema.py").read_text(encoding="utf-8") == "changed\n"
    without = snapshot(code, tmp_path / "without", None)
    assert (without.root / "simclr_core" / "config" / "schema.py").read_text(encoding="utf-8") == "old\n"
    assert not (tmp_path / "with" / "results.csv").exists()


@pytest.fixture
def ablate(write_grid: WriteGrid, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run ``ablate submit`` on the little grid; exit code and what it printed."""
    (tmp_path / "profile.yaml").write_text("partition: gpu\n", encoding="utf-8")
    words = ["submit", str(write_grid()), "--scale", "demo", "--profile", str(tmp_path / "profile.yaml")]

    def run(*others: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--store", str(tmp_path / "runs"), *others])
        return done.exit_code, done.output

    return run


def test_a_dry_run_shows_scripts_and_counts_and_changes_nothing(
    ablate: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, printed = ablate("--dry-run", "--allow-dirty", "--pack", "4", "--max-parallel", "2")
    assert code == 0, printed
    assert "10 runs to submit\n" in printed
    assert "10 runs in 3 tasks of at most 30 min:" in printed
    assert "#SBATCH --array=0-2%2\n" in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("snapshot", [False, True])
def test_code_that_git_says_nothing_about_is_refused_in_its_words(tmp_path: Path, *, snapshot: bool) -> None:
    """As where the repository is another user's; a copy of a commit that nobody knows cannot be made at all."""
    unknown = Code(Path("/code"), problem="fatal: detected dubious ownership in repository at '/code'")
    order = submitting.Order({}, "demo", Profile("p"), snapshot=snapshot)
    with pytest.raises(UserError, match="git does not say whether the code differs from its commit: fatal: detected"):
        submitting.check(order, Store(tmp_path), unknown)
    with pytest.raises(UserError, match="dubious") if snapshot else nullcontext():
        submitting.check(replace(order, allow_dirty=True), Store(tmp_path), unknown)
    record = submitting._record(order, unknown)
    assert (record["commit"], record["dirty"], record["git_error"]) == (None, None, unknown.problem)


def test_a_dirty_tree_is_refused_by_name(
    ablate: Callable[..., tuple[int, str]], repository: Path, tmp_path: Path
) -> None:
    (repository / "notes.md").write_text("new\n", encoding="utf-8")
    code, printed = ablate("--dry-run")
    assert code == 2
    assert re.search(r"differs from its commit: .*--allow-dirty\n +M notes.md", printed)
    assert not (tmp_path / "runs").exists()
    assert ablate("--dry-run", "--allow-dirty")[0] == 0


def test_without_slurm_nothing_is_claimed(
    ablate: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, printed = ablate("--allow-dirty")
    assert code == 1, printed
    assert "cannot submit: there is no sbatch here" in printed
    assert not list(tmp_path.glob("runs/*/queued"))
    assert not (tmp_path / "runs" / ".declared").exists()


def test_a_submission_keeps_the_claims_as_they_are_before_its_runs(
    ablate: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = submitting.Submitted("s", ["120"], num_runs=10, num_tasks=10)
    monkeypatch.setattr(submitting, "submit", lambda *_: submitted)
    code, printed = ablate("--allow-dirty")
    assert code == 0, printed
    kept = declared.read(Store(tmp_path / "runs"), "little", "demo")
    assert kept is not None
    assert [claim["margin"] for claim in kept["claims"]] == [0.0]
    assert (kept["num_started"], kept["num_runs"]) == (0, 10)
