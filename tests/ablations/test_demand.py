"""Tuned axes: what is chosen, from which runs, and that the seeds which choose never judge."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid
from fake_trainer import best_at_half, both_or_neither, with_scores

from ablations.errors import GridError
from ablations.plan.demand import Demand, demand, seeds_in_turn
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import Grid, RunSpec
from reports.inputs import InputError, load_results

TUNED = (
    "seeds: [0, 1]\n",
    "  method.temperature: [0.1, 0.5]\ntune: {axes: [method.temperature], seeds: [100, 101]}\nseeds: [0, 1]\n",
)
AXES = ("references:\n  untrained: {training.epochs: 0}\nseeds", "seeds")  # the axis has to follow the other axes


KNOWN = "expected one of views.first, views.second, method.temperature"


@pytest.fixture
def path(write_grid: WriteGrid) -> Path:
    return write_grid(AXES, TUNED)


@pytest.fixture
def grid(path: Path) -> Grid:
    return load_grid(str(path))


@pytest.fixture
def path_of_two(write_grid: WriteGrid) -> Path:
    """Two tuned axes, of which the arms with colour second have one level of the second."""
    return write_grid(
        AXES,
        (
            "seeds: [0, 1]\n",
            (
                "  method.temperature: [0.1, 0.5]\n  optimizer.base_lr: [0.1, 0.2, 0.4]\n"
                "tune: {axes: [optimizer.base_lr, method.temperature], seeds: [100, 101]}\n"
                "exclude: [{second: color, base_lr: [0.1, 0.4]}]\nseeds: [0, 1]\n"
            ),
        ),
    )


def _run(specs: list[RunSpec], store: Store) -> None:
    for spec in specs:
        best_at_half(spec.config, list(spec.evaluations), None, store.run_dir(spec.run_id))


def _chosen(asked: Demand) -> dict[str, object]:
    """By arm; a bare level where one axis is tuned."""
    return {
        f"{arm.levels['first']}-{arm.levels['second']}": arm.chosen[0]
        if arm.chosen and not arm.chosen[1:]
        else arm.chosen
        for arm in asked.arms
    }


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


def test_several_axes_are_tuned_together_by_all_their_combinations(path_of_two: Path, tmp_path: Path) -> None:
    """The best rate at either temperature is the worst at the other: one axis after the other would not find it."""
    grid, store = load_grid(str(path_of_two)), Store(tmp_path / "runs")
    before = demand(grid, "demo", store)
    tried = [(spec.levels["first"], spec.levels["base_lr"], spec.levels["temperature"]) for spec in before.runs]
    assert sorted(each for each in tried if each[0] == "crop") == sorted(
        [("crop", rate, temperature) for rate in (0.1, 0.2, 0.4) for temperature in (0.1, 0.5) for _ in range(2)]
        + [("crop", 0.2, temperature) for temperature in (0.1, 0.5) for _ in range(2)]
    )
    assert (len(before.runs), len(before.foreseen)) == (32, 8)
    for spec in before.runs:
        both_or_neither(spec.config, list(spec.evaluations), None, store.run_dir(spec.run_id))
    after = demand(grid, "demo", store)

    assert [(arm.tuned, arm.chosen) for arm in after.arms] == [
        (("base_lr", "temperature"), (0.4, 0.5)),
        (("temperature",), (0.5,)),  # of equal ones the first would be .1
        (("base_lr", "temperature"), (0.1, 0.1)),
        (("temperature",), (0.1,)),
    ]
    judging = [spec for spec in after.runs if spec.role == "cell"]
    assert len(judging) == 8
    assert all(set(spec.levels) == {"first", "second"} for spec in judging)
    told = {
        (str(spec.levels["first"]), str(spec.levels["second"])): (
            spec.config.optimizer.base_lr,
            spec.config.method.temperature,
            spec.label.partition(" (")[2],
        )
        for spec in judging
    }
    assert told["crop", "crop"] == (0.4, 0.5, "tuned: base_lr=0.4, temperature=0.5)")
    assert told["crop", "color"] == (0.2, 0.5, "tuned: temperature=0.5)")
    assert told["color", "crop"] == (0.1, 0.1, "tuned: base_lr=0.1, temperature=0.1)")


def test_an_arm_with_one_level_of_every_tuned_axis_judges_at_once(write_grid: WriteGrid, tmp_path: Path) -> None:
    only = (
        "seeds: [0, 1]\n",
        TUNED[1].replace("seeds: [0, 1]", "exclude: [{first: color, temperature: 0.5}]\nseeds: [0, 1]"),
    )
    asked = demand(load_grid(str(write_grid(AXES, only))), "demo", Store(tmp_path / "runs"))

    assert [(arm.levels["first"], arm.tuned, arm.chosen, len(arm.runs)) for arm in asked.arms] == [
        ("crop", ("temperature",), None, 4),
        ("crop", ("temperature",), None, 4),
        ("color", (), (), 0),
        ("color", (), (), 0),
    ]
    assert [spec.label for spec in asked.runs if spec.role == "cell"] == [
        f"first=color, second={second}" for second in ("crop", "color") for _ in range(2)
    ]


@pytest.mark.parametrize(("scale", "num_rates", "num_others"), [("mini", 3, 2), ("cifar10", 3, 4), ("imagenet", 5, 4)])
def test_table_4_tunes_what_the_paper_tuned_and_every_loss_has_the_same_negatives(
    scale: str, num_rates: int, num_others: int
) -> None:
    """App. B.10. With a margin of 0 no negative is semi-hard, so there is one margin fewer where 0 is among them."""
    asked = demand(load_grid("simclr_table4_loss_functions"), scale, None)
    both = num_rates * num_others
    assert {arm.levels["loss"]: (arm.tuned, len(arm.values)) for arm in asked.arms} == {
        "nt_xent": (("base_lr", "temperature"), both),
        "nt_logistic": (("base_lr", "temperature"), both),
        "nt_logistic_semi_hard": (("base_lr", "temperature"), both),
        "margin_triplet": (("base_lr", "margin"), both),
        "margin_triplet_semi_hard": (("base_lr", "margin"), both - num_rates * (scale != "mini")),
    }
    of_nt_xent = [spec for spec in asked.every if spec.config.method.loss == "nt_xent"]
    assert {spec.config.method.negatives for spec in of_nt_xent} == {"other_view"}
    assert not any("margin" in spec.label for spec in of_nt_xent)


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
        (
            "axes: [method.temperature]",
            "axes: [method.temprature]",
            f"tune.axes[0]: no axis 'method.temprature'; {KNOWN} (did you mean 'method.temperature'?)",
        ),
        (
            "axes: [method.temperature]",
            "axes: [method.temperature, view.first, views.secnd]",
            f"tune.axes[1]: no axis 'view.first'; {KNOWN} (did you mean 'views.first'?)",
        ),
        (
            "axes: [method.temperature]",
            "axes: [method.temperature, view.first, views.secnd]",
            f"tune.axes[2]: no axis 'views.secnd'; {KNOWN} (did you mean 'views.second'?)",
        ),
        ("axes: [method.temperature]", "axes: []", "tune.axes: expected at least one axis"),
        ("axes: [method.temperature]", "axes: method.temperature", "tune.axes = 'method.temperature': expected a list"),
        ("axes: [method.temperature]", "axes: [1]", "tune.axes[0] = 1: expected a text"),
        (
            "axes: [method.temperature]",
            "axes: [method.temperature, method.temperature]",
            "tune.axes[1] = 'method.temperature': listed twice",
        ),
        (
            "axes: [method.temperature]",
            "axis: method.temperature",
            "tune.axis: no such key; expected one of axes, seeds (did you mean 'axes'?)",
        ),
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
    assert "(temperature to be chosen)" in planned.stdout
    done = ablate("run", str(path), "--scale", "demo", "--workers", "1")
    ablate("report", str(path), "--scale", "demo", "--out", "page")

    assert done.exit_code == 0
    assert "the levels are tuned; now the seeds that judge" in done.stdout
    content = json.loads(Path("results", "little.demo.json").read_text(encoding="utf-8"))
    assert list(content["axes"]) == ["first", "second"]
    assert [arm["chosen"]["temperature"] for arm in content["tuning"]["arms"]] == [0.5, 0.5, 0.1, 0.1]
    assert content["tuning"]["arms"][0]["values"] == [
        {"levels": {"temperature": 0.1}, "value": 50.0},
        {"levels": {"temperature": 0.5}, "value": 55.0},
    ]
    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "Tuned: temperature" in page
    assert "0.1: 50.0; 0.5: 55.0" in page
    assert ablate("run", str(path), "--scale", "demo").stdout.startswith("nothing to do: 24 runs")


def test_the_page_shows_every_tuned_axis(ablate: Ablate, fake_trainer: UseTrainer, path_of_two: Path) -> None:
    fake_trainer("both_or_neither")
    ablate("run", str(path_of_two), "--scale", "demo", "--workers", "1", "--seeds", "0")
    done = ablate("report", str(path_of_two), "--scale", "demo", "--out", "page")

    assert done.exit_code == 0
    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "Tuned: base_lr, temperature" in page
    for arm, rate, values in (
        (
            "crop",
            "0.4",
            "0.1, 0.1: 55.0; 0.2, 0.1: 50.0; 0.4, 0.1: 50.0; 0.1, 0.5: 50.0; 0.2, 0.5: 50.5; 0.4, 0.5: 56.0",
        ),
        ("crop → color", "\N{EN DASH}", "0.1: 50.0; 0.5: 50.5"),
    ):
        row = f'<th scope="row">{arm}</th><td class="num">{rate}</td><td class="num">0.5</td><td>{values}</td>'
        assert row in page
    twin = json.loads(Path("page", "grids", "little.demo.json").read_text(encoding="utf-8"))
    assert [arm["chosen"] for arm in twin["tuned"]] == [
        {"base_lr": "0.4", "temperature": "0.5"},
        {"base_lr": "\N{EN DASH}", "temperature": "0.5"},
        {"base_lr": "0.1", "temperature": "0.1"},
        {"base_lr": "\N{EN DASH}", "temperature": "0.1"},
    ]


def test_a_table_of_an_older_version_is_told(ablate: Ablate, fake_trainer: UseTrainer, path: Path) -> None:
    fake_trainer("best_at_half")
    ablate("run", str(path), "--scale", "demo", "--workers", "1")
    ablate("collect", str(path), "--scale", "demo")
    table = Path("results", "little.demo.json")
    content = json.loads(table.read_text(encoding="utf-8"))
    content["tuning"]["axis"] = content["tuning"].pop("axes")[0]
    table.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(InputError, match="tuning: no 'axes', as an older version wrote it; collect again"):
        load_results(Path("results"))
