"""What finished jobs have used, from what ``sacct`` prints: recorded from 22.05, and in the formats of other sites."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from slurm_says import Says
from typer.testing import CliRunner, Result

from ablations import console
from ablations.commands.cli import app
from ablations.scheduler.jobs import Printed
from ablations.slurm import runs_file, usage
from ablations.slurm.usage import Start, Usage, seconds, size, starts
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import write_json

GIB = 2**30
MEASURED = """\
7_0|COMPLETED|11|11|00:02.139|||billing=1,cpu=1,mem=300M,node=1|little.demo.s1
7_0.batch|COMPLETED|11|11|00:00.017|10628K|1|cpu=1,mem=300M,node=1|batch
7_0.extern|COMPLETED|11|11|00:00:00|0|1|cpu=1,mem=300M,node=1|extern
7_0.0|COMPLETED|7|7|00:02.122|111156K|1|cpu=1,mem=300M,node=1|python3
7_1|REQUEUED|3|3|00:00.693|||billing=1,cpu=1,mem=300M,node=1|little.demo.s1
7_1.batch|CANCELLED|3|3|00:00.002|10904K|1|cpu=1,mem=300M,node=1|batch
7_1.0|CANCELLED|3|3|00:00.690|111156K|1|cpu=1,mem=300M,node=1|python3
7_1|RUNNING|10|10|00:02.239|||billing=1,cpu=1,mem=300M,node=1|little.demo.s1
7_1.batch|RUNNING|10|10|00:00:00||1|cpu=1,mem=300M,node=1|batch
7_1.0|COMPLETED|8|8|00:02.239|211156K|1|cpu=1,mem=300M,node=1|python3
7_[2-4]|PENDING|0|0|00:00:00|||billing=1,cpu=1,mem=300M,node=1|little.demo.s1
"""
NOT_MEASURED = """\
7_0|CANCELLED by 0|7200|28800|00:00:00|||billing=4,cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1|little.demo.s1
7_0.batch|CANCELLED|7200|28800|00:00:00||1|cpu=4,mem=64G,node=1|batch
"""


def test_each_start_that_has_ended_and_the_steps_that_follow_it() -> None:
    kib = 1024
    memory = 300 * kib**2
    assert starts(MEASURED.splitlines()) == [
        Start("7_0", "little.demo.s1", 11.0, 11.0, 0, 2.139, memory, 111156 * kib),
        Start("7_1", "little.demo.s1", 3.0, 3.0, 0, 0.693, memory, 111156 * kib),
    ]
    assert starts(NOT_MEASURED.splitlines()) == [
        Start("7_0", "little.demo.s1", 7200.0, 28800.0, 2, None, 64 * GIB, None)
    ]


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ("cpu=4,mem=1G,gres/gpu=2,gres/gpu:a100=2", 2),
        ("cpu=4,gres/gpu:a100=2,gres/gpu:v100=1", 3),
        ("cpu=4,gres/gpumem=40G,gres/gpu=1", 1),
        ("cpu=4", 0),
    ],
)
def test_gpus_of_all_kinds(tres: str, gpus: int) -> None:
    (start,) = starts([f"7|COMPLETED|60|240|00:10|||{tres}|a|b"])
    assert (start.gpus, start.name) == (gpus, "a|b")


def test_the_processes_of_a_step_share_its_memory() -> None:
    (start,) = starts(
        ["7|COMPLETED|60|240|00:10|||cpu=4,mem=8G|s1", "7.0|COMPLETED|60|240|00:10|1.50G|4|cpu=4,mem=8G|python"]
    )
    assert (start.max_rss, start.memory) == (6 * GIB, 8 * GIB)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-02:03:04", 93784.0),
        ("02:03:04", 7384.0),
        ("02:03.500", 123.5),
        ("00:00:00", 0.0),
        ("90", 90.0),
        ("", None),
        ("INVALID", None),
    ],
)
def test_times(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512", 512), ("4K", 4096), ("1.50M", 1572864), ("2G", 2 * GIB), ("1T", 1024 * GIB), ("0", None), ("", None)],
)
def test_sizes(text: str, expected: int | None) -> None:
    assert size(text) == expected


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def submission(store: Store, name: str, tasks: list[list[RunSpec]], **told: object) -> None:
    """What a submission of job 7 leaves."""
    brings: dict[str, list[str]] = {}
    for spec in [spec for task in tasks for spec in task]:
        brings.setdefault(spec.grid, []).append(spec.run_id)
    jobs = [{"job_id": "7", "run_ids": [[spec.run_id for spec in task] for task in tasks]}]
    content = {"time": 1.0, "scale": "demo", "cluster": "alps", "brings": brings, "jobs": jobs}
    write_json(store.root / ".submissions" / name / "submission.json", content | told)


def used(store: Store, sacct: str | Printed, *grids: str) -> tuple[Mapping[tuple[str, str], Usage], list[str]]:
    says = Says("", sacct, "ClusterName = alps\n")
    found = usage.usage([(grid, "demo") for grid in grids], store, says)
    assert [command[0] for command in says.asked].count("sacct") <= 1
    return found.grids, found.silence


def test_a_start_that_was_requeued_counts_and_one_that_runs_does_not(specs: list[RunSpec], store: Store) -> None:
    submission(store, "s1", [[spec] for spec in specs[:5]])
    grids, silence = used(store, MEASURED + "7_1|COMPLETED|20|20|00:10|||cpu=1,mem=300M|little.demo.s1\n", "little")

    (found,) = grids.values()
    assert (found.tasks, found.requeues, found.gpu_h, silence) == (2, 1, 0.0, [])
    assert found.cpu_h == pytest.approx((11 + 3 + 20) / 3600)
    assert found.cpu_efficiency == pytest.approx((2.139 + 0.693 + 10) / 34)
    assert found.max_rss == 111156 * 1024
    assert found.memory_efficiency == pytest.approx(111156 / 1024 / 300)


def test_grids_share_a_task_by_their_runs(specs: list[RunSpec], store: Store) -> None:
    submission(store, "s1", [[*specs[:3], replace(specs[3], grid="second")], [specs[4]]])
    grids, _ = used(store, NOT_MEASURED, "little", "second", "third")

    assert list(grids) == [("little", "demo"), ("second", "demo")]
    assert grids["little", "demo"] == Usage(tasks=1, cpu_h=6.0, gpu_h=3.0)
    assert grids["second", "demo"] == Usage(tasks=1, cpu_h=2.0, gpu_h=1.0)


def test_what_was_submitted_before_is_told_by_its_runs(specs: list[RunSpec], store: Store) -> None:
    submission(store, "s1", [[specs[0]], [specs[1]]], brings={}, cluster="")
    assert used(store, NOT_MEASURED, "little") == ({}, [])
    runs_file.write(store.root / ".submissions" / "s1", specs)
    grids, _ = used(store, NOT_MEASURED.replace("little.demo.s1", "s1"), "little")
    assert grids == {("little", "demo"): Usage(tasks=1, cpu_h=8.0, gpu_h=4.0)}


def test_jobs_of_others_and_of_other_clusters_are_not_counted(specs: list[RunSpec], store: Store) -> None:
    submission(store, "s1", [[specs[0]], [specs[1]]])
    assert used(store, NOT_MEASURED.replace("little.demo.s1", "train-gpt"), "little") == ({}, [])
    submission(store, "s1", [[specs[0]], [specs[1]]], cluster="jura")
    assert used(store, NOT_MEASURED, "little") == ({}, ["jobs of cluster jura are not counted, as this is alps"])


def test_accounting_that_does_not_answer_is_said(specs: list[RunSpec], store: Store) -> None:
    submission(store, "s1", [[specs[0]], [specs[1]]])
    off = Printed(1, "", "Slurm accounting storage is disabled\n")

    assert used(store, off, "little") == ({}, ["sacct failed: Slurm accounting storage is disabled"])


@pytest.fixture
def status(
    tmp_path: Path, store: Store, specs: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """``ablate status --usage`` where sacct says what is given."""
    monkeypatch.setattr(console.out, "_width", 80)
    submission(store, "s1", [[specs[0]], [specs[1]]])
    words = ("status", str(tmp_path / "little.yaml"), "--scale", "demo", "--store", str(store.root), "--usage")
    ask = usage.usage

    def run(sacct: str | Printed, *others: str) -> Result:
        says = Says("", sacct, "ClusterName = alps\n")
        monkeypatch.setattr("ablations.slurm.usage.usage", lambda *given: ask(*given, says))
        return CliRunner().invoke(app, (*words, *others), catch_exceptions=False)

    return run


def test_the_table_and_its_json(status: Callable[..., Result]) -> None:
    lines = [" ".join(line.split()) for line in status(NOT_MEASURED).stdout.splitlines()]
    assert lines[-3:] == [
        "CPU GPU CPU peak memory",
        "usage scale tasks requeues hours hours used memory used",
        "little demo 1 0 8.00 4.00 unknown unknown unknown",
    ]
    measured = " ".join(status(MEASURED.partition("7_1")[0]).stdout.split())
    assert measured.endswith("little demo 1 0 0.00 0.00 19 % 108.6 MiB 36 %")
    (grid,) = json.loads(status(NOT_MEASURED, "--json").stdout)["grids"]
    assert grid["usage"] == vars(Usage(tasks=1, cpu_h=8.0, gpu_h=4.0))


def test_the_table_where_nothing_is_known(status: Callable[..., Result]) -> None:
    assert status("").stdout.endswith("\nusage: no job of these grids has ended\n")
    why = "sacct failed: Slurm accounting storage is disabled"
    off = Printed(1, "", "Slurm accounting storage is disabled\n")
    assert status(off).stdout.endswith(f"\nSLURM: {why}\n\nusage: not known\n")
    said = json.loads(status(off, "--json").stdout)
    assert (said["grids"][0]["usage"], said["scheduler_silence"]) == (None, [why])
