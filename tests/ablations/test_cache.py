"""Collecting again: what has not changed is not read, and the tables are those of a first collection all the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.collect import curves, run_reader
from ablations.collect.signatures import FRESH_NS
from ablations.collect.tables import CollectSummary, collect
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import Grid, RunSpec
from simclr_core.records import append_jsonl, read_json, write_json

Change = Callable[[Path], object]


@pytest.fixture
def grid(write_grid: WriteGrid) -> Grid:
    return load_grid(str(write_grid()))


@pytest.fixture
def other(grid: Grid) -> Grid:
    """Half of the cells, one of two evaluations."""
    demo = grid.scales["demo"]
    part = replace(demo, evaluations=demo.evaluations[:1], axes=(demo.axes[0].part(["crop"], {}), demo.axes[1]))
    return replace(grid, name="other", scales={"demo": part})


@pytest.fixture
def store(tmp_path: Path, grid: Grid) -> Store:
    """All runs of the grid but the last two, written a while ago."""
    store = Store(tmp_path / "runs")
    for spec in expand(grid, "demo")[:-2]:
        finish(spec, store)
    age(store.root)
    return store


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def finish(spec: RunSpec, store: Store) -> Path:
    folder = store.run_dir(spec.run_id)
    write_records(spec.config, list(spec.evaluations), folder)
    attempt = {"num_threads": 2, "command": spec.command, "submission": "s1", "job_id": "7", "array_index": None}
    write_json(folder / "provenance.json", {"attempts": [attempt]})
    return folder


def age(root: Path) -> None:
    """As if everything had been written so long ago that its time tells it from what is written next."""
    for path in [root, *root.rglob("*")]:
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns, min(found.st_mtime_ns, time.time_ns() - 2 * FRESH_NS)))


def contents(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}


def again(grids: Sequence[Grid], store: Store, results: Path, num_read: int) -> CollectSummary:
    """Collect into a folder that has tables, and into an empty one: the same comes out."""
    fresh = results.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    summary = collect(grids, "demo", store, results, forget=True)
    whole = collect(grids, "demo", store, fresh)

    assert contents(results) == contents(fresh)
    assert summary == replace(whole, num_read=num_read)
    return summary


def test_unchanged_runs_are_not_read_again(
    grid: Grid, store: Store, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert collect([grid], "demo", store, results).num_read == 8
    before = contents(results)
    stats = {path.name: path.stat() for path in results.iterdir()}
    monkeypatch.setattr(run_reader, "read", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr(Store, "facts", lambda *_: pytest.fail("read again"))

    assert collect([grid], "demo", store, results) == CollectSummary(8, 10, 0)
    assert contents(results) == before
    after = {path.name: path.stat() for path in results.iterdir()}
    assert {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in after.items()} == {
        name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()
    }, "a file that stays the same is not written"


def same_size(folder: Path) -> None:
    path = next((folder / "evals").glob("knn*"))
    path.write_text(path.read_text().replace("49.0", "12.0"), encoding="utf-8")


def new_evaluation(folder: Path) -> None:
    path = next((folder / "evals").glob("knn*"))
    write_json(path.with_name("knn-z-01234567.json"), {"top1": "?"})


def lost_evaluation(folder: Path) -> None:
    next((folder / "evals").glob("knn*")).unlink()


def longer_curve(folder: Path) -> None:
    append_jsonl(folder / "metrics.jsonl", {"step": 3, "epoch": 1.5, "loss": 1.0, "lr": 0.1, "z_std": None})


def another_curve(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text().replace("0.25", "0.75"), encoding="utf-8")


def torn_curve(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "epo')


def another_attempt(folder: Path) -> None:
    attempts = read_json(folder / "provenance.json")["attempts"]
    write_json(folder / "provenance.json", {"attempts": [*attempts, {"num_threads": 4}]})


def log(folder: Path) -> None:
    path = folder.parent / ".submissions" / "s1" / "7_0_log.err"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{time.time_ns()}\n", encoding="utf-8")


def failure(folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "error.txt").write_text("Traceback", encoding="utf-8")


def claim(folder: Path) -> None:
    write_json(folder / "claim" / "owner.json", {"host": "far", "pid": 1, "token": "t", "time": time.time()})


CHANGES: dict[Change, int] = {
    same_size: 1, new_evaluation: 1, lost_evaluation: 1, longer_curve: 1, another_curve: 1, torn_curve: 1,
    another_attempt: 1, log: 8, failure: 1, claim: 1, shutil.rmtree: 0,
}  # fmt: skip
"""And how many runs have to be read: the log is that of a job that had them all."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(grid: Grid, store: Store, results: Path, change: Change) -> None:
    collect([grid], "demo", store, results)
    before = contents(results)
    change(store.run_dir(expand(grid, "demo")[2].run_id))
    age(store.root)

    again([grid], store, results, CHANGES[change])
    assert (contents(results) == before) == (change is claim)


def test_any_sequence_of_changes_gives_what_a_first_collection_gives(
    grid: Grid, other: Grid, store: Store, results: Path
) -> None:
    """Two grids that share runs, collected together or one after the other."""
    draw = random.Random(0)  # noqa: S311 - nothing secret
    specs = expand(grid, "demo")
    changes = [change for change in CHANGES if change is not claim]
    for _ in range(25):
        spec = draw.choice(specs)
        folder = store.run_dir(spec.run_id)
        shutil.rmtree(folder, ignore_errors=True)
        finish(spec, store)
        draw.choice(changes)(folder)
        age(store.root)
        collect([draw.choice((grid, other))], "demo", store, results, forget=True)
        collect([grid, other], "demo", store, results, forget=True)
        fresh = results.with_name("fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        collect([grid, other], "demo", store, fresh)
        assert contents(results).keys() == contents(fresh).keys()
        for name, content in contents(results).items():
            assert sorted(content.splitlines()) == sorted(contents(fresh)[name].splitlines()), name


def test_what_was_written_a_moment_ago_is_read_again(grid: Grid, store: Store, results: Path) -> None:
    """It may have been written twice within one tick of the file system's clock."""
    folder = store.run_dir(expand(grid, "demo")[0].run_id)
    path = next((folder / "evals").glob("knn*"))
    same_size(folder)
    seen = path.stat()
    collect([grid], "demo", store, results)
    path.write_text(path.read_text().replace("12.0", "34.0"), encoding="utf-8")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_ino) == (seen.st_size, seen.st_ino)

    collect([grid], "demo", store, results)
    assert b"knn_top1,34.0" in (results / "runs.csv").read_bytes()


def delete(results: Path) -> None:
    shutil.rmtree(results / ".collected")


def tear(results: Path) -> None:
    path = results / ".collected" / "runs.json"
    path.write_bytes(path.read_bytes()[:-1])


def edit(results: Path) -> None:
    path = results / ".collected" / "runs.json"
    path.write_bytes(path.read_bytes().replace(b"49.0", b"99.0"))


def older_code(results: Path) -> None:
    """As it would be left by other code, whole and with its own idea of what is in it."""
    from ablations.collect.cache import _digest

    path = results / ".collected" / "runs.json"
    content = json.loads(path.read_bytes().partition(b"\n")[2]) | {"version": "older"}
    body = json.dumps(content).replace("49.0", "99.0").encode()
    path.write_bytes(_digest(body) + b"\n" + body)


def edit_curves(results: Path) -> None:
    path = results / "curves.csv"
    path.write_text(path.read_text().replace("0.25", "0.35"), encoding="utf-8")


def lose_curves(results: Path) -> None:
    (results / "curves.csv").unlink()


def lose_provenance(results: Path) -> None:
    (results / "provenance.jsonl").unlink()


@pytest.mark.parametrize("damage", [delete, tear, edit, older_code, edit_curves, lose_curves, lose_provenance])
def test_what_is_kept_is_not_trusted_blindly(grid: Grid, store: Store, results: Path, damage: Change) -> None:
    collect([grid], "demo", store, results)
    damage(results)

    again([grid], store, results, 8)
    again([grid], store, results, 0)


@pytest.mark.parametrize("name", ["runs.csv", "little.demo.json", "problems.json"])
def test_a_table_that_was_edited_or_lost_is_made_again(grid: Grid, store: Store, results: Path, name: str) -> None:
    collect([grid], "demo", store, results)
    before = contents(results)
    (results / name).write_text((results / name).read_text().replace("1,", "2,"), encoding="utf-8")
    collect([grid], "demo", store, results)
    assert contents(results) == before

    (results / name).unlink()
    collect([grid], "demo", store, results)
    assert contents(results) == before


def test_a_copy_of_a_store_is_read_and_one_that_moved_is_not(
    grid: Grid, store: Store, results: Path, tmp_path: Path
) -> None:
    collect([grid], "demo", store, results)
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    assert collect([grid], "demo", copy, results).num_read == 8

    moved = Store(tmp_path / "moved")
    copy.root.rename(moved.root)
    again([grid], moved, results, 0)


def test_grids_collected_in_turn_are_remembered(grid: Grid, other: Grid, store: Store, results: Path) -> None:
    """A run that both ask for counts as read for both."""
    assert [collect([each], "demo", store, results).num_read for each in (grid, other)] == [8, 0]
    assert [collect([each], "demo", store, results).num_read for each in (grid, other)] == [0, 0]
    longer_curve(store.run_dir(expand(grid, "demo")[0].run_id))
    age(store.root)
    assert [collect([each], "demo", store, results).num_read for each in (other, grid)] == [1, 0]


@pytest.mark.parametrize("forget", [False, True])
def test_rows_of_other_grids_stay(
    grid: Grid, other: Grid, store: Store, results: Path, tmp_path: Path, *, forget: bool
) -> None:
    """Whether or not it is known where in the tables they are; the problems of their runs stay too."""
    (store.run_dir(expand(grid, "demo")[-3].run_id) / "metrics.jsonl").unlink()
    age(store.root)
    collect([grid], "demo", store, results)
    if forget:
        delete(results)
    before = {name: set(content.splitlines()) for name, content in contents(results).items()}
    collect([other], "demo", store, results)
    after = {name: set(content.splitlines()) for name, content in contents(results).items()}

    assert after["curves.csv"] == before["curves.csv"]
    assert after["runs.csv"] == before["runs.csv"]
    assert after["provenance.jsonl"] == before["provenance.jsonl"]
    assert b"the run has no curve" in contents(results)["problems.json"]
    elsewhere = Store(tmp_path / "elsewhere")
    collect([other], "demo", elsewhere, results, forget=True)
    assert {name: set(content.splitlines()) for name, content in contents(results).items()} | {
        "other.demo.json": after["other.demo.json"]
    } == after


def test_curves_that_several_processes_read_are_those_that_one_reads(
    monkeypatch: pytest.MonkeyPatch, grid: Grid, store: Store, tmp_path: Path
) -> None:
    specs = expand(grid, "demo")
    torn_curve(store.run_dir(specs[1].run_id))
    collect([grid], "demo", store, tmp_path / "one")
    monkeypatch.setattr(curves, "_CHUNK", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    collect([grid], "demo", store, tmp_path / "several")

    tables = [(tmp_path / name / "curves.csv").read_bytes() for name in ("one", "several")]
    problems = [read_json(tmp_path / name / "problems.json") for name in ("one", "several")]

    assert len(tables[0].splitlines()) > len(specs)
    assert tables[0] == tables[1]
    assert [problem["path"] for problem in problems[0]["problems"]] == [
        str(store.run_dir(specs[1].run_id) / "metrics.jsonl")
    ]
    assert problems[0] == problems[1]
