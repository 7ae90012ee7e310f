"""Tuned axes: what is chosen, from which runs, and that the seeds which choose never judge."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid
from fake_trainer import best_at_half, with_scores

from ablations.demand import Demand, demand, seeds_in_turn
from ablations.errors import GridError
from ablations.grid import expand, load_grid
from ablations.spec import Grid, RunSpec
from ablations.store import Store

TUNED = (
    "seeds: [0, 1]\n",
    "  method.temperature: [0.1, 0.5]\ntune: {axis: method.temperature, seeds: [100, 101]}\nseeds: [0, 1]\n",
)
AXES = ("references:\n  untrained: {training.epochs: 0}\nseeds", "seeds")  # the axis has to follow the other axes


@pytest.fixture
def path(write_grid: WriteGrid) -> Path:
    return write_grid(AXES, TUNED)


@pytest.fixture
def grid(path: Path) -> Grid:
    return load_grid(str(path))


def _run(specs: list[RunSpec], store: Store) -> None:
    for spec in specs:
        best_at_half(spec.config, list(spec.evaluations), None, store.run_dir(spec.run_id))


def _chosen(asked: Demand) -> dict[str, object]:
    return {str(arm.levels["first"]) + "-" + str(arm.levels["second"]): arm.chosen for arm in asked.arms}


def test_every_arm_chooses_for_itself_and_then_judges_on_other_seeds(grid: Grid, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    before = demand(grid, "demo", store)
    assert ({spec.seed for spec in before.runs}, len(before.runs), len(before.foreseen)) == ({100, 101}, 16, 8)
    _run(before.runs, store)
    after = demand(grid, "demo", store)

    assert _chosen(after) == {"crop-crop": 0.5, "crop-color": 0.5, "color-crop": 0.1, "color-color": 0.1}
    judging = [spec for spec in after.runs if spec.role == "cell"]
    assert not after.foreseen
    assert {spec.seed for spec in judging} == {0, 1}
    assert all(set(spec.levels) == {"first", "second"} for spec in judging)
    wanted = [
        s for s in expand(grid, "demo") if s.levels["temperature"] == (0.5 if s.levels["first"] == "crop" else 0.1)
    ]
    assert [spec.run_id for spec in judging] == [spec.run_id for spec in wanted]


def test_an_arm_chooses_only_when_all_its_runs_are_done_and_passes_over_divergence(grid: Grid, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    tuning = demand(grid, "demo", store).runs
    _run(tuning[1:], store)
    assert _chosen(demand(grid, "demo", store))["crop-crop"] is None
    assert len(demand(grid, "demo", store).foreseen) == 2
    _run(tuning[:1], store)
    for spec in tuning:
        if spec.levels == {"first": "crop", "second": "crop", "temperature": 0.5} and spec.seed == 101:
            with_scores(spec.config, list(spec.evaluations), store.run_dir(spec.run_id), None)

    assert _chosen(demand(grid, "demo", store)) | {"crop-color": 0.5} == _chosen(demand(grid, "demo", store))
    assert _chosen(demand(grid, "demo", store))["crop-crop"] == 0.1


def test_seeds_that_choose_never_judge(grid: Grid, path: Path, tmp_path: Path, ablate: Ablate) -> None:
    store = Store(tmp_path / "runs")
    _run(demand(grid, "demo", store).runs, store)

    assert {spec.seed for spec in demand(grid, "demo", store, [2, 100]).runs if spec.role == "cell"} == {2}
    order = seeds_in_turn(grid, "demo")
    assert list(itertools.islice(order, 100))[-2:] == [98, 99]
    assert [next(order), next(order)] == [102, 103]
    done = ablate("run", str(path), "--scale", "demo", "--seeds", "100")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: --seeds: 100 chooses the tuned levels of little and cannot judge\n",
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[100, 101]}", "[1, 100]}", "tune.seeds: 1 also judge at scale demo; expected seeds that choose alone"),
        ("axis: method.temperature", "axis: method.temprature", "tune.axis: no axis 'method.temprature'"),
        ("metric: linear_top1", "metric: final_loss", "tune: metric 'final_loss' is no evaluation of every cell"),
    ],
)
def test_a_wrong_declaration_is_told(write_grid: WriteGrid, old: str, new: str, told: str) -> None:
    with pytest.raises(GridError) as caught:
        load_grid(str(write_grid(AXES, TUNED, (old, new))))

    assert any(told in problem for problem in caught.value.problems), caught.value.problems


def test_one_command_tunes_judges_and_reports(ablate: Ablate, fake_trainer: UseTrainer, path: Path) -> None:
    fake_trainer("best_at_half")
    planned = ablate("plan", str(path), "--scale", "demo")
    assert "24 runs: 24 planned" in planned.stdout
    assert "(temperature tuned: to be chosen)" in planned.stdout
    done = ablate("run", str(path), "--scale", "demo", "--workers", "1")
    ablate("report", str(path), "--scale", "demo", "--out", "page")

    assert done.exit_code == 0
    assert "the levels are tuned; now the seeds that judge" in done.stdout
    content = json.loads(Path("results", "little.demo.json").read_text(encoding="utf-8"))
    assert list(content["axes"]) == ["first", "second"]
    assert [arm["chosen"] for arm in content["tuning"]["arms"]] == [0.5, 0.5, 0.1, 0.1]
    assert content["tuning"]["arms"][0]["values"] == [{"level": 0.1, "value": 50.0}, {"level": 0.5, "value": 55.0}]
    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "Tuned: temperature" in page
    assert "0.1: 50.0, 0.5: 55.0" in page
    assert ablate("run", str(path), "--scale", "demo").stdout.startswith("nothing to do: 24 runs")
