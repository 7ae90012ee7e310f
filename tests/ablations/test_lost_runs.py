"""Tables may be all that is left of finished runs: nothing takes these out without being told to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ablate, WriteGrid
from fake_trainer import write_records

from ablations.collect.tables import collect
from ablations.errors import UserError
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import append_jsonl

OF_GRID = ("little.yaml", "--scale", "demo")


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def store(tmp_path: Path, specs: list[RunSpec]) -> Store:
    """All runs but the last are done."""
    found = Store(tmp_path / "runs")
    for spec in specs[:-1]:
        write_records(spec.config, list(spec.evaluations), found.run_dir(spec.run_id))
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["collect", "report"])
def test_a_mistyped_store_leaves_the_tables(ablate: Ablate, tmp_path: Path, command: str) -> None:
    assert ablate("collect", *OF_GRID).exit_code == 0
    before = contents(tmp_path)
    absent = ablate(command, *OF_GRID, "--store", "rusn")
    (tmp_path / "empty").mkdir()
    empty = ablate(command, *OF_GRID, "--store", "empty")

    assert (absent.exit_code, empty.exit_code) == (2, 2)
    assert "--store rusn: no such folder (did you mean 'runs'?)" in absent.output
    assert "results/little.demo.json: 9 runs that are done there have no result in the store empty: " in empty.output
    assert "and 6 more; expected the store that they were collected from; --forget takes them out" in empty.output
    assert contents(tmp_path) == before
    assert ablate(command, *OF_GRID, "--store", "empty", "--forget").exit_code == 0
    assert '"state": "done"' not in (tmp_path / "results" / "little.demo.json").read_text(encoding="utf-8")


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def no_result(folder: Path) -> None:
    (folder / "result.json").unlink()


def torn_result(folder: Path) -> None:
    (folder / "result.json").write_text("{", encoding="utf-8")


def no_evaluation(folder: Path) -> None:
    next((folder / "evals").glob("knn*")).unlink()


def of_another(folder: Path) -> None:
    (folder / "spec.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize("lose", [no_folder, no_result, torn_result, no_evaluation, of_another])
def test_a_run_that_has_gone_is_named(
    specs: list[RunSpec], store: Store, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    grid, results = load_grid(str(tmp_path / "little.yaml")), tmp_path / "results"
    collect([grid], "demo", store, results)
    lose(store.run_dir(specs[3].run_id))
    before = contents(results)
    with pytest.raises(UserError, match=f"1 run that is done there has no result in the store .*: {specs[3].run_id};"):
        collect([grid], "demo", store, results)
    assert contents(results) == before
    assert collect([grid], "demo", store, results, forget=True).num_done == 8


def test_a_run_that_the_grid_asks_for_no_more_is_lost_only_if_the_store_has_lost_it(
    specs: list[RunSpec], store: Store, write_grid: WriteGrid, tmp_path: Path
) -> None:
    """As the further seeds of a look, which are asked for only while they are there."""
    grid, results = load_grid(str(tmp_path / "little.yaml")), tmp_path / "results"
    collect([grid], "demo", store, results)
    fewer = load_grid(str(write_grid(("seeds: [0, 1]", "seeds: [0]"))))
    assert collect([fewer], "demo", store, results).num_done == 5
    collect([grid], "demo", store, results)
    (lost,) = [spec for spec in specs[:2] if spec.seed == 1]
    shutil.rmtree(store.run_dir(lost.run_id))
    with pytest.raises(UserError, match=lost.run_id):
        collect([fewer], "demo", store, results)


def test_what_is_there_but_not_enough_any_more_is_not_lost(
    specs: list[RunSpec], store: Store, write_grid: WriteGrid, tmp_path: Path
) -> None:
    """A grid that asks for one more evaluation, and a curve that grew."""
    collect([load_grid(str(tmp_path / "little.yaml"))], "demo", store, tmp_path / "results")
    more = (
        "num_labels: 1000}\nscales",
        "num_labels: 1000}\n  - {protocol: knn, embedding: z, num_labels: 1000}\nscales",
    )
    append_jsonl(store.run_dir(specs[0].run_id) / "metrics.jsonl", {"step": 3, "epoch": 2, "loss": 1.0, "lr": 0.1})
    assert collect([load_grid(str(write_grid(more)))], "demo", store, tmp_path / "results").num_done == 0


@pytest.mark.usefixtures("specs")
@pytest.mark.parametrize(
    "words",
    [
        ("collect", *OF_GRID),
        ("report", *OF_GRID),
        ("status",),
        ("status", *OF_GRID),
        ("logs", "x"),
        ("retry",),
        ("cancel", *OF_GRID),
        ("prune",),
        ("show", "x"),
        ("export", "x", "--out", "x.pt"),
    ],
)
def test_a_command_that_reads_a_store_needs_one(ablate: Ablate, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "runs-of-may").mkdir()
    for store, problem in (
        ("runs-of-mai", "--store runs-of-mai: no such folder (did you mean 'runs-of-may'?)"),
        (
            "runs-of-mai/x",
            "--store runs-of-mai/x: no such folder, there is no runs-of-mai (did you mean 'runs-of-may'?)",
        ),
        ("file", "--store file: is a file; expected a folder"),
        ("file/x", "--store file/x: file is a file; expected a folder"),
    ):
        done = ablate(*words, "--store", store)
        assert done.exit_code == 2, (store, done.output)
        assert problem in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "little.yaml", "runs-of-may"]


@pytest.mark.usefixtures("specs")
def test_a_command_that_makes_a_store_takes_no_file_for_one(ablate: Ablate, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    for words in (("plan", *OF_GRID), ("run", *OF_GRID), ("submit", *OF_GRID, "--profile", "p")):
        for store, problem in (("file", "is a file"), ("nowhere", "leads nowhere"), ("file/x", "file is a file")):
            done = ablate(*words, "--store", store)
            assert done.exit_code == 2, (words, done.output)
            assert f"--store {store}: {problem}" in done.stderr


@pytest.mark.usefixtures("specs")
def test_a_plan_for_a_store_that_is_to_be_made_says_so_if_it_was_named(ablate: Ablate) -> None:
    assert "no such folder" not in ablate("plan", *OF_GRID).output
    done = ablate("plan", *OF_GRID, "--store", "new")
    assert done.exit_code == 0
    assert "--store new: no such folder yet, so nothing is done" in done.stderr
