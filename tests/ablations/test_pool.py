"""Launching: every run once, nothing twice, and no finished run lost to an error, a kill or a Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import note_start
from rich.console import Console

from ablations.local.display import Display, duration
from ablations.local.job import JobReport
from ablations.local.pool import LaunchSummary, launch, merge, unfinished
from ablations.store.folder import State, Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig
from simclr_core.records import read_json

UseTrainer = Callable[[str], None]


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    """Three cells, and the untrained reference, with seeds 0 and 1."""
    path = write_grid(("seeds: [0, 1]", "exclude: [{first: color, second: color}]\nseeds: [0, 1]"))
    return merge(expand(load_grid(str(path)), "demo"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def start(specs: list[RunSpec], store: Store, num_workers: int = 2) -> tuple[LaunchSummary, str]:
    """Launch; the summary, and what was printed."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, record=True, width=200)
        with Display(console, len(specs), num_workers) as display:
            summary = launch(specs, RuntimeConfig(store=str(store.root)), num_workers, display)
        return summary, console.export_text()


def states(specs: list[RunSpec], store: Store) -> list[str]:
    return [str(store.state(spec)) for spec in specs]


def test_seeds_come_one_after_the_other(specs: list[RunSpec]) -> None:
    assert [spec.seed for spec in specs] == [0] * 4 + [1] * 4


def test_a_shared_run_has_the_evaluations_of_both_grids(specs: list[RunSpec]) -> None:
    other = replace(specs[0], grid="other", evaluations=(specs[0].evaluations[1], EvalConfig(embedding="z")))
    merged = merge([*specs, other])

    assert len(merged) == len(specs)
    assert [e.metric for e in merged[0].evaluations] == ["linear_top1", "knn_top1", "linear_z_top1"]


def test_an_observer_knows_of_every_end_and_runs_are_told_to_start(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("raises")
    calls: list[str] = []

    class Notes:
        def begun(self, spec: RunSpec) -> None:
            calls.append(f"{spec.run_id} begun")

        def ended(self, spec: RunSpec, report: JobReport) -> None:
            calls.append(f"{spec.run_id} {report.outcome}")

    display = Display(Console(quiet=True), len(specs), 2)
    runtime = RuntimeConfig(store=str(store.root))
    launch(specs, runtime, 2, display, on_start=note_start, observer=Notes())

    ends = [call for call in calls if not call.endswith("begun")]
    assert sorted(ends) == sorted(f"{spec.run_id} {'failed' if spec.seed else 'done'}" for spec in specs)
    assert {call for call in calls if call.endswith("begun")} == {f"{s.run_id} begun" for s in specs if not s.seed}
    for spec in specs:
        assert (store.run_dir(spec.run_id) / "started.txt").read_text(encoding="utf-8") == "result: False"


def test_every_run_is_done_and_the_second_launch_has_nothing_to_do(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    assert unfinished(specs, store) == (specs, {})
    summary, printed = start(specs, store)

    assert (summary.done, summary.failed, summary.left, summary.interrupted) == (8, [], 0, False)
    assert states(specs, store) == ["done"] * 8
    assert unfinished(specs, store) == ([], {})
    lines = printed.splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("[8/8] little ")
    assert lines[-1].endswith("8 done")
    for spec in specs:
        names = {path.name for path in store.run_dir(spec.run_id).iterdir()}
        assert names == {"spec.json", "metrics.jsonl", "evals", "result.json", "provenance.json"}
        (attempt,) = read_json(store.run_dir(spec.run_id) / "provenance.json")["attempts"]
        assert (attempt["outcome"], attempt["command"]) == ("done", spec.command)


def test_a_failed_run_is_told_kept_apart_and_tried_again(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("raises")
    summary, printed = start(specs, store)

    assert (summary.done, summary.left) == (4, 0)
    assert {(report.outcome, report.detail) for report in summary.failed} == {("failed", "ZeroDivisionError: seed 1")}
    assert states(specs, store) == ["done"] * 4 + ["failed"] * 4
    error = store.run_dir(specs[4].run_id) / "error.txt"
    assert error.read_text(encoding="utf-8").startswith("Traceback")
    assert f"failed: little {specs[4].label} seed 1 ({specs[4].run_id}): ZeroDivisionError: seed 1" in printed

    fake_trainer("quick")
    summary, _ = start(unfinished(specs, store)[0], store)
    assert (summary.done, summary.failed) == (4, [])
    assert not error.exists()
    attempts = read_json(error.with_name("provenance.json"))["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "done"]


def test_a_worker_that_dies_fails_its_run_and_is_replaced(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("dies")
    summary, _ = start(specs[2:6], store, num_workers=1)

    assert summary.done == 2
    (detail,) = {report.detail for report in summary.failed}
    assert detail == "the worker process ended with signal 9 (SIGKILL); out of memory? fewer workers need less"
    assert states(specs[2:6], store) == ["done", "done", "failed", "failed"]
    assert (store.run_dir(specs[4].run_id) / "error.txt").read_text(encoding="utf-8") == detail + "\n"


def test_wrong_input_stops_the_launch_and_leaves_nothing(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("refuses")
    summary, _ = start(specs, store)

    assert summary.problems == ["no folder data/cifar10-jpeg", "no folder data/stl10"]
    assert (summary.done, summary.failed) == (0, [])
    assert list(store.root.iterdir()) == []


def test_a_trainer_that_cannot_be_imported_is_told_once(
    specs: list[RunSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablations.local.pool.EXECUTE", "no_such_trainer:execute")
    summary, _ = start(specs, store)

    assert summary.problems == ["the trainer cannot be loaded: No module named 'no_such_trainer'"]


def test_workers_that_die_while_they_start_stop_the_launch_and_fail_no_run(
    specs: list[RunSpec], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies_at_import.py").write_text("import os; os._exit(3)", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("ablations.local.pool.EXECUTE", "dies_at_import:execute")
    summary, _ = start(specs, store)

    assert summary.problems == [
        "a worker process ended with exit code 3 while it started, before any run; its own words are above"
    ]
    assert summary.failed == []
    assert states(specs, store) == ["planned"] * len(specs)


def test_a_run_that_another_process_holds_is_left_alone(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    assert store.claim(specs[0].run_id)
    summary, _ = start(specs[:2], store, num_workers=1)

    assert (summary.done, summary.held) == (1, [specs[0].run_id])
    assert states(specs[:2], store) == ["running", "done"]
    assert unfinished(specs[:2], store) == ([], {})


def test_torn_records_are_made_anew_and_told(specs: list[RunSpec], store: Store, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    start(specs[:1], store)
    result = store.run_dir(specs[0].run_id) / "result.json"
    result.write_text('{"schema', encoding="utf-8")
    summary, printed = start(unfinished(specs[:1], store)[0], store)

    assert summary.done == 1
    assert f"{specs[0].run_id}: result.json was torn and is made anew" in printed
    assert states(specs[:1], store) == ["done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_once_and_the_same_command_continues(
    write_grid: WriteGrid, tmp_path: Path, number: signal.Signals
) -> None:
    grid = write_grid()
    script = tmp_path / "run_ablate.py"
    script.write_text(
        textwrap.dedent(
            """
            import signal
            import sys
            from ablations.commands import cli
            from ablations.local import pool
            if __name__ == "__main__":
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
                pool.EXECUTE = f"fake_trainer:{sys.argv.pop(1)}"
                cli.app()
            """
        ),
        encoding="utf-8",
    )
    support = Path(__file__).parents[1] / "support"
    environment = os.environ | {"PYTHONPATH": f"{support}{os.pathsep}{support.parents[1]}"}
    arguments = ["run", str(grid), "--scale", "demo", "--store", str(tmp_path / "runs"), "--workers", "2"]
    command = [sys.executable, str(script), "slow", *arguments]
    specs = merge(expand(load_grid(str(grid)), "demo"))
    store = Store(tmp_path / "runs")
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        give_up = time.monotonic() + 300
        while states(specs, store).count("running") < 2 or states(specs, store).count("done") < 5:
            assert time.monotonic() < give_up
            time.sleep(0.1)
        stopped = time.monotonic()
        # a terminal sends Ctrl-C to every process of the group, SIGTERM is sent to the command alone
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        output, errors = process.communicate(timeout=300)

    assert process.returncode == 130, errors
    assert time.monotonic() - stopped < 120  # the runs under way would have taken ten minutes
    assert errors == "stopped; runs left: 5; the same command continues\n"
    assert output.splitlines()[-1] == "done: 5"
    assert states(specs, store) == ["done"] * 5 + ["planned"] * 5
    assert not list(store.root.glob("*/claim"))
    attempts = read_json(store.run_dir(specs[5].run_id) / "provenance.json")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["interrupted"]

    command[2] = "quick"
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    assert "5 to run" in done.stdout
    assert states(specs, store) == ["done"] * 10


@pytest.mark.parametrize(("seconds", "text"), [(45.2, "45 s"), (600, "10 min"), (2 * 3600, "2.0 h")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_terminal_shows_a_bar_for_the_whole_and_one_for_each_worker(
    specs: list[RunSpec], store: Store, fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, record=True, width=200, force_terminal=True)
        with Display(console, len(specs), 2) as display:
            launch(specs, RuntimeConfig(store=str(store.root)), 2, display)
        printed = console.export_text()

    assert "all runs" in printed
    assert "8 done" in printed
    assert State.RUNNING not in states(specs, store)


def test_workers_leave_the_main_module_alone(write_grid: WriteGrid, tmp_path: Path) -> None:
    """It is a command line, or submitit: what a task's start takes would be paid once more by each worker."""
    script, loaded = tmp_path / "run_ablate.py", tmp_path / "loaded"
    script.write_text(
        textwrap.dedent(
            f"""
            from ablations.commands import cli
            from ablations.local import pool
            with open({str(loaded)!r}, "a") as file:
                file.write(__name__ + " ")
            if __name__ == "__main__":
                pool.EXECUTE = "fake_trainer:quick"
                cli.app()
            """
        ),
        encoding="utf-8",
    )
    support = Path(__file__).parents[1] / "support"
    environment = os.environ | {"PYTHONPATH": f"{support}{os.pathsep}{support.parents[1]}"}
    arguments = ["run", str(write_grid()), "--scale", "demo", "--store", str(tmp_path / "runs"), "--workers", "2"]
    subprocess.run([sys.executable, str(script), *arguments], env=environment, capture_output=True, check=True)

    assert len(list(tmp_path.glob("runs/*/result.json"))) == 10
    assert loaded.read_text(encoding="utf-8") == "__main__ "


def test_a_signal_while_the_first_worker_starts_is_not_its_end(tmp_path: Path) -> None:
    """SLURM's scancel reaches every process of a step, and multiprocessing unblocks signals as it starts its own."""
    script = tmp_path / "start.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal
            from ablations.local import worker
            from simclr_core.config.runtime import RuntimeConfig
            started = worker.start(RuntimeConfig(), "fake_trainer:quick", worker.Stop(), None)
            os.kill(started.process.pid, signal.SIGTERM)
            assert started.connection.recv() is None, "it is ready"
            started.connection.close()
            started.process.join()
            """
        ),
        encoding="utf-8",
    )
    support = Path(__file__).parents[1] / "support"
    environment = os.environ | {"PYTHONPATH": f"{support}{os.pathsep}{support.parents[1]}"}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
