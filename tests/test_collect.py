"""Collecting: the tables hold what the run folders hold, and nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.collect import CURVES_COLUMNS, RUNS_COLUMNS, collect
from ablations.description import deviations
from ablations.grid import expand, load_grid
from ablations.spec import Grid, RunSpec
from ablations.store import Store
from simclr_core.records import read_json, write_json

Finish = Callable[..., Path]


@pytest.fixture
def grid(write_grid: WriteGrid) -> Grid:
    return load_grid(str(write_grid()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def finish(spec: RunSpec, store: Store) -> Path:
    folder = store.run_dir(spec.run_id)
    write_records(spec.config, list(spec.evaluations), folder)
    write_json(folder / "provenance.json", {"attempts": [{"num_threads": 2, "command": spec.command}]})
    return folder


def test_tables_hold_what_the_folders_hold(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    folders = [finish(spec, store) for spec in specs[:7]]
    collected = collect([grid], "demo", store, results)

    assert (collected.num_done, collected.num_runs, collected.broken) == (7, 10, [])
    runs = pd.read_csv(results / "runs.csv")
    assert tuple(runs.columns) == RUNS_COLUMNS
    evaluations = pd.DataFrame(
        [{**read_json(path), "run_id": folder.name} for folder in folders for path in (folder / "evals").glob("*.json")]
    )
    theirs = evaluations.set_index(["run_id", "metric"])["top1"].sort_index()
    ours = runs[runs["metric"].str.endswith("top1")].set_index(["run_id", "metric"])["value"].sort_index()
    pd.testing.assert_series_equal(ours, theirs, check_names=False)
    by_seed = runs[runs["metric"] == "final_loss"].groupby("seed")["value"].unique()
    assert {seed: list(values) for seed, values in by_seed.items()} == {0: [3.0], 1: [2.875]}
    assert set(runs["dataset"]) == {"photos"}
    curves = pd.read_csv(results / "curves.csv")
    assert tuple(curves.columns) == CURVES_COLUMNS
    lines = pd.concat(
        [pd.read_json(folder / "metrics.jsonl", lines=True).assign(run_id=folder.name) for folder in folders]
    )
    pd.testing.assert_frame_equal(curves[list(lines.columns)], lines.reset_index(drop=True), check_dtype=False)


def test_top5_has_a_row_of_its_own_where_there_is_one(grid: Grid, store: Store, results: Path) -> None:
    """Beside top-1, with all that goes with it; evaluations of fewer than six classes, or of before, have none."""
    spec = expand(grid, "demo")[0]
    linear, knn = (finish(spec, store) / "evals" / f"{eval_id}.json" for eval_id in spec.eval_ids)
    write_json(linear, {**read_json(linear), "top5": 87.5})
    write_json(knn, {**read_json(knn), "top5": None})
    collect([grid], "demo", store, results)
    collect([grid], "demo", store, results)
    runs = pd.read_csv(results / "runs.csv").set_index("metric")

    assert sorted(runs.index) == ["final_loss", "knn_top1", "linear_top1", "linear_top5", "z_std", "z_std_ratio"]
    assert runs.loc["linear_top5", "value"] == 87.5
    pd.testing.assert_series_equal(
        runs.loc["linear_top5"].drop("value"), runs.loc["linear_top1"].drop("value"), check_names=False
    )


def test_the_grids_file_says_what_was_asked_and_where_it_stands(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    finish(specs[0], store)
    error = store.run_dir(specs[1].run_id) / "error.txt"
    error.parent.mkdir()
    error.write_text("Traceback", encoding="utf-8")
    collect([grid], "demo", store, results)
    content = json.loads((results / "little.demo.json").read_text(encoding="utf-8"))

    assert content["axes"] == {"first": ["crop", "color"], "second": ["crop", "color"]}
    assert [cell["role"] for cell in content["cells"]] == ["cell"] * 4 + ["reference"]
    assert content["cells"][1]["levels"] == {"first": "crop", "second": "color"}
    assert content["cells"][0]["runs"] == [
        {"run_id": specs[0].run_id, "seed": 0, "state": "done", "outcome": "trained", "command": specs[0].command},
        {"run_id": specs[1].run_id, "seed": 1, "state": "failed", "outcome": None, "command": specs[1].command},
    ]
    assert (content["note"], content["seeds"], content["recipe"]) == ("small", [0, 1], "simclr_demo")
    # one run of 7 s and two evaluations of 1.5 s on two threads; of ten runs two do not train
    assert content["cost"] == {"estimated_core_s": 8 * 20.0 + 2 * 6.0, "actual_core_s": 20.0}
    assert content["claims"] == list(grid.claims)


def test_other_seeds_can_be_collected(grid: Grid, store: Store, results: Path) -> None:
    for spec in expand(grid, "demo", seeds=[100, 101]):
        finish(spec, store)
    collected = collect([grid], "demo", store, results, seeds=[100, 101])

    assert (collected.num_done, collected.num_runs) == (10, 10)
    assert set(pd.read_csv(results / "runs.csv")["seed"]) == {100, 101}
    assert read_json(results / "little.demo.json")["seeds"] == [100, 101]


def test_collecting_again_gives_the_same_bytes(grid: Grid, store: Store, results: Path) -> None:
    for spec in expand(grid, "demo"):
        finish(spec, store)
    collect([grid], "demo", store, results)
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    collect([grid], "demo", store, results)

    assert {path.name: path.read_bytes() for path in results.iterdir()} == before
    assert set(before) == {"little.demo.json", "runs.csv", "curves.csv"}


def test_broken_folders_are_told_and_skipped(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    torn, poor, foreign, cut, whole = (finish(spec, store) for spec in specs[:5])
    (torn / "result.json").write_text('{"outcome": "tra', encoding="utf-8")
    write_json(poor / "result.json", {"outcome": "trained"})
    write_json(foreign / "spec.json", {**read_json(foreign / "spec.json"), "run_id": "other"})
    with (cut / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "epo')
    collected = collect([grid], "demo", store, results)

    assert collected.broken == [
        f"{torn}/result.json: cannot be read; counted as missing",
        f"{poor}: skipped: KeyError: 'z_std_images'",
        f"{foreign}/spec.json: holds another configuration than run {foreign.name}; move the folder away",
        f"{cut}/metrics.jsonl: line 3 cannot be read; skipped",
    ]
    assert set(pd.read_csv(results / "runs.csv")["run_id"]) == {cut.name, whole.name}
    assert set(pd.read_csv(results / "curves.csv")["run_id"]) == {cut.name, whole.name}


def test_tables_of_other_grids_stay_and_shared_runs_stand_once(grid: Grid, store: Store, results: Path) -> None:
    demo, mini = grid.scales["demo"], grid.scales["mini"]
    other = replace(grid, name="other", scales={"demo": replace(demo, evaluations=demo.evaluations[:1]), "mini": mini})
    for spec in expand(grid, "demo"):
        finish(spec, store)
    collect([other], "demo", store, results)
    alone = pd.read_csv(results / "runs.csv")
    collect([grid], "demo", store, results)
    both = pd.read_csv(results / "runs.csv")

    assert set(alone["metric"]) == {"linear_top1", "z_std_ratio", "z_std", "final_loss"}
    assert set(both["metric"]) == {*alone["metric"], "knn_top1"}
    assert not both.duplicated(["run_id", "metric"]).any()
    assert len(both) == 10 * 5
    collect([other], "demo", store, results)
    assert len(pd.read_csv(results / "runs.csv")) == 10 * 5
    assert len(pd.read_csv(results / "curves.csv")) == 10 * 2
    assert {path.name for path in results.glob("*.json")} == {"little.demo.json", "other.demo.json"}


def test_a_diverged_run_has_no_numbers_but_a_row(grid: Grid, store: Store, results: Path) -> None:
    folder = finish(expand(grid, "demo")[0], store)
    diverged = {"outcome": "diverged", "final_loss": None, "z_std": None, "z_std_ratio": None}
    write_json(folder / "result.json", read_json(folder / "result.json") | diverged)
    for path in (folder / "evals").glob("*.json"):
        write_json(path, read_json(path) | {"top1": None})
    collect([grid], "demo", store, results)
    runs = pd.read_csv(results / "runs.csv")

    assert set(runs["outcome"]) == {"diverged"}
    assert runs["value"].isna().all()


def test_deviations_from_the_papers_scale_are_computed() -> None:
    grid = load_grid("simclr_fig5_augmentation_pairs")
    found = {entry["key"]: (entry["paper"], entry["ours"]) for entry in deviations(grid, "demo")}

    assert found["data.name"] == ("imagenet", "photos")
    assert found["backbone.depth"] == (50, 10)
    assert found["training.global_batch_size"][0] == 4096
    assert found["views.branches"] == ("one", "both")
    assert found["axes.first"][1] == ["crop", "color", "rotate"]
    assert "views.kind" not in found
    assert "views.first" not in found
    assert "seed" not in found
    assert deviations(grid, "imagenet") == []
