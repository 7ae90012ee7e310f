"""Collecting: the tables hold what the run folders hold, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.collect.grid_json import deviations
from ablations.collect.tables import collect
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import Grid, RunSpec
from formats.tables import CURVES_COLUMNS, RUNS_COLUMNS
from reports.inputs import load_results
from reports.read.provenance import load_problems
from reports.read.result_tables import read_table
from simclr_core.config.identity import canonical
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


def contents(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}


def test_tables_hold_what_the_folders_hold(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    folders = [finish(spec, store) for spec in specs[:7]]
    collected = collect([grid], "demo", store, results)

    assert (collected.num_done, collected.num_runs, collected.problems) == (7, 10, [])
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
    # one run of 7 s and two evaluations of 1.5 s on two threads; a store of before tells nothing of the estimate
    assert content["cost"] == {
        "estimated_core_s": 10 * 20.0,
        "estimated_by": "by the grid's own figure, 20 s a run; no estimate was kept before the first run",
        "actual_core_s": 20.0,
    }
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
    before = contents(results)
    collect([grid], "demo", store, results)

    assert contents(results) == before
    assert set(before) == {"little.demo.json", "runs.csv", "curves.csv", "provenance.jsonl", "problems.json"}


def test_broken_folders_are_told_and_skipped(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    torn, poor, foreign, cut, whole = (finish(spec, store) for spec in specs[:5])
    (torn / "result.json").write_text('{"outcome": "tra', encoding="utf-8")
    write_json(poor / "result.json", {"outcome": "trained", "z_std": "wide", "z_std_ratio": 1, "final_loss": None})
    write_json(foreign / "spec.json", {**read_json(foreign / "spec.json"), "run_id": "other"})
    with (cut / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "epo')
    collected = collect([grid], "demo", store, results)

    assert collected.problems == [
        (f"{torn}/result.json", "cannot be read; counted as missing"),
        (f"{poor}/result.json", "no 'z_std_images'; z_std = 'wide', expected a number; counted as missing"),
        (f"{foreign}/spec.json", f"holds another configuration than run {foreign.name}; move the folder away"),
        (f"{cut}/metrics.jsonl", "line 3 cannot be read; skipped"),
    ]
    told = [(problem["path"], problem["what"]) for problem in read_json(results / "problems.json")["problems"]]
    assert told == sorted(collected.problems)
    assert load_problems(results) == told
    assert set(pd.read_csv(results / "runs.csv")["run_id"]) == {cut.name, whole.name}
    assert set(pd.read_csv(results / "curves.csv")["run_id"]) == {cut.name, whole.name}


def torn_spec(folder: Path) -> None:
    (folder / "spec.json").write_text("{", encoding="utf-8")


def no_spec(folder: Path) -> None:
    (folder / "spec.json").unlink()


def no_object(folder: Path) -> None:
    (folder / "result.json").write_text("[1]", encoding="utf-8")


def empty_result(folder: Path) -> None:
    (folder / "result.json").write_text("{}", encoding="utf-8")


def deep_result(folder: Path) -> None:
    (folder / "result.json").write_text("[" * 100_000, encoding="utf-8")


def long_number(folder: Path) -> None:
    (folder / "result.json").write_text(f'{{"z_std": {"9" * 5000}}}', encoding="utf-8")


def no_text(folder: Path) -> None:
    (folder / "result.json").write_bytes(b"\xff\xfe\x00")


def a_folder(folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "result.json").mkdir()


def poor_evaluation(folder: Path) -> None:
    for path in (folder / "evals").glob("linear*.json"):
        write_json(path, {"top1": [50]})


def torn_provenance(folder: Path) -> None:
    (folder / "provenance.json").write_text('{"attempts": [{"att', encoding="utf-8")


def provenance_of_numbers(folder: Path) -> None:
    write_json(folder / "provenance.json", {"attempts": [1, 2]})


def no_curve(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()


def words_in_the_curve(folder: Path) -> None:
    text = '{"step": 1, "epoch": 0.5, "loss": "low", "lr": true, "z_std": 0.1}\n'
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")


def no_lines(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_text(f"{path.read_text().splitlines()[0]}\n[1]\n{{}}\n1, 2\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "name", "told", "is_done"),
    [
        (torn_spec, "spec.json", "cannot be read", False),
        (no_spec, "spec.json", "is missing", False),
        (no_object, "result.json", "cannot be read", False),
        (
            empty_result,
            "result.json",
            "no 'z_std_images'; no 'z_std_ratio'; no 'z_std'; no 'final_loss'; outcome",
            False,
        ),
        (deep_result, "result.json", "cannot be read", False),
        (long_number, "result.json", "cannot be read", False),
        (no_text, "result.json", "cannot be read", False),
        (a_folder, "result.json", "cannot be read", False),
        (poor_evaluation, "evals/linear-features-", "no 'num_labels'; no 'num_test'; top1 = [50], expected", False),
        (torn_provenance, "provenance.json", "its attempts are left out", True),
        (provenance_of_numbers, "provenance.json", "its attempts are left out", True),
        (no_curve, "metrics.jsonl", f"cannot be read ({os.strerror(errno.ENOENT)}); the run has no curve", True),
        (words_in_the_curve, "metrics.jsonl", "line 1 cannot be read; skipped", True),
        (no_lines, "metrics.jsonl", "3 lines, the first of them line 2, cannot be read; skipped", True),
    ],
)
def test_no_damage_stops_a_collection(
    grid: Grid, store: Store, results: Path, damage: Callable[[Path], None], name: str, told: str, is_done: bool
) -> None:
    """And the reporter reads what is left; a second collection says the same."""
    specs = expand(grid, "demo")
    folder = finish(specs[0], store)
    finish(specs[1], store)
    damage(folder)
    collected = collect([grid], "demo", store, results)

    ((path, what),) = collected.problems
    assert path.startswith(str(folder / name).rstrip("/"))
    assert told in what
    assert collected.num_done == 1 + is_done
    assert set(pd.read_csv(results / "runs.csv")["run_id"]) >= {specs[1].run_id}
    (line,) = [line for line in provenance(results) if line["run_id"] == specs[0].run_id]
    assert len(line["attempts"]) == (0 if name == "provenance.json" else 1)
    content = read_json(results / "little.demo.json")
    assert content["cells"][0]["runs"][0]["outcome"] == ("trained" if is_done else None)
    assert load_problems(results) == collected.problems
    assert read_table(results / "runs.csv", RUNS_COLUMNS, []) is not None
    assert read_table(results / "curves.csv", CURVES_COLUMNS, []) is not None
    assert collect([grid], "demo", store, results).problems == collected.problems


def test_what_is_no_run_is_told(grid: Grid, store: Store, results: Path) -> None:
    """Another grid's run is none of it, nor what the harness keeps beside the runs."""
    folder = finish(expand(grid, "demo")[0], store)
    (store.root / f"{folder.name[:-1]}x").mkdir()
    (store.root / "simclr-photos-0123456789ab").mkdir()
    (store.root / ".declared").mkdir()
    (store.root / "notes.txt").touch()
    (store.root / "backup").mkdir()

    assert collect([grid], "demo", store, results).problems == [
        (f"{store.root}/backup", "not the name of a run; its content is left out"),
        (f"{store.root}/notes.txt", "no folder of a run, which is all that a store holds"),
        (f"{store.root}/{folder.name[:-1]}x", "not the name of a run; its content is left out"),
    ]


def provenance(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (results / "provenance.jsonl").read_text(encoding="utf-8").splitlines()]


def test_provenance_has_a_line_for_every_run_that_is_there(grid: Grid, store: Store, results: Path) -> None:
    specs = expand(grid, "demo")
    finish(specs[0], store)
    failed = store.run_dir(specs[1].run_id)
    job = {"submission": "s1", "job_id": "120", "array_index": 5}
    write_json(failed / "provenance.json", {"attempts": [{"attempt": 1, "outcome": "failed", **job}]})
    (failed / "error.txt").write_text("\n".join(["Traceback", *map(str, range(40))]), encoding="utf-8")
    log = store.root / ".submissions" / "s1" / "120_5_0_log"
    write_json(log.with_suffix(".err"), "x")
    log.with_suffix(".err").write_text("".join(f"step {step}\n" for step in range(100)), encoding="utf-8")
    collect([grid], "demo", store, results)

    done, broken = sorted((specs[0].run_id, specs[1].run_id)), provenance(results)
    assert [line["run_id"] for line in broken] == done
    by_run = {line["run_id"]: line for line in broken}
    assert by_run[specs[0].run_id] == {
        "schema_version": 1,
        "run_id": specs[0].run_id,
        "attempts": [{"num_threads": 2, "command": specs[0].command}],
        "error": "",
        "log": "",
        "result": read_json(store.run_dir(specs[0].run_id) / "result.json"),
    }
    line = by_run[specs[1].run_id]
    assert line["attempts"] == [{"attempt": 1, "outcome": "failed", **job}]
    assert line["error"].splitlines() == [str(number) for number in range(20, 40)]
    assert line["log"].splitlines() == [f"step {number}" for number in range(80, 100)]
    assert line["result"] is None

    log.with_suffix(".err").write_text("", encoding="utf-8")
    log.with_suffix(".out").write_text("said\n", encoding="utf-8")
    collect([grid], "demo", store, results)
    assert {line["run_id"]: line["log"] for line in provenance(results)}[specs[1].run_id] == "said"


def test_provenance_is_json_that_every_program_reads(grid: Grid, store: Store, results: Path) -> None:
    """Python reads and writes NaN and half of a surrogate pair, others do not."""
    folder = finish(expand(grid, "demo")[0], store)
    text = '{"attempts": [{"duration_s": NaN, "host": "\\ud800 <script>", "node": "\u00e9"}]}'
    (folder / "provenance.json").write_text(text, encoding="utf-8")
    collect([grid], "demo", store, results)
    line = (results / "provenance.jsonl").read_bytes().decode()

    assert json.loads(line, parse_constant=pytest.fail)["attempts"] == [
        {"duration_s": None, "host": "? <script>", "node": "\u00e9"}
    ]
    assert load_results(results)[0].provenance[folder.name]["attempts"][0]["node"] == "\u00e9"


def test_settings_of_cells_are_told_from_the_base(grid: Grid, store: Store, results: Path) -> None:
    """Base and settings together are the canonical configuration of every cell."""
    specs = expand(grid, "demo", seeds=[0])
    collect([grid], "demo", store, results)
    content = read_json(results / "little.demo.json")

    assert content["base"]["data.name"] == "photos"
    assert not {"views.first", "views.second", "seed"} & set(content["base"])
    assert not any(key.startswith("axes.") or key.endswith("num_labels") for key in content["base"])
    for cell, spec in zip(content["cells"], specs, strict=True):
        told = {**content["base"], **cell["settings"]}
        flat = pd.json_normalize(canonical(spec.config, neutrals=True)).iloc[0].drop("seed").to_dict()
        assert {key: value for key, value in told.items() if value is not None} == flat
        assert all(content["base"].get(key, "none") != value for key, value in cell["settings"].items())
    assert content["cells"][1]["settings"] == {"views.first": "crop", "views.second": "color"}
    assert content["cells"][-1]["settings"]["training.epochs"] == 0


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
    assert {path.name for path in results.glob("*.*.json")} == {"little.demo.json", "other.demo.json"}


def test_a_table_from_before_knn_was_recorded_keeps_the_rows_of_other_grids(
    write_grid: WriteGrid, store: Store, results: Path
) -> None:
    one = load_grid(str(write_grid(name="one")))
    other = load_grid(str(write_grid(("seeds: [0, 1]", "seeds: [2, 3]"), name="other")))
    for grid in (one, other):
        finish(expand(grid, "demo")[0], store)
        collect([grid], "demo", store, results)
    path = results / "curves.csv"
    now = pd.read_csv(path)
    now.drop(columns="knn_top1").to_csv(path, index=False)

    collect([one], "demo", store, results)

    found = pd.read_csv(path).sort_values(["run_id", "step"], ignore_index=True)
    mine = now["run_id"] == expand(one, "demo")[0].run_id
    assert mine.value_counts().tolist() == [2, 2]
    expected = now.assign(knn_top1=now["knn_top1"].where(mine)).sort_values(["run_id", "step"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


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
