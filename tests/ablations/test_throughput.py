"""What runs are expected to take, by runs that differ from them: which runs tell, and how exactly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.plan import throughput
from ablations.plan.cost import cost
from ablations.plan.throughput import NEAREST, examples, extrapolated
from ablations.store.folder import State, Store
from ablations.store.provenance import cpu_model
from ablations.study.expand import expand, load_grid
from ablations.study.spec import Grid, RunSpec
from simclr_core.config.cost import training_multiply_adds
from simclr_core.records import read_json, write_json

Finish = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def finish(store: Store) -> Finish:
    """Write a run that is done: two threads, training at so many multiply-adds a second of a core."""
    ages = iter(range(1, 10_000))

    def write(
        spec: RunSpec, pace: float = 1e9, *, attempt: dict[str, Any] | None = None, outcome: str = "trained"
    ) -> Path:
        folder = store.run_dir(spec.run_id)
        write_records(spec.config, list(spec.evaluations), folder)
        seconds = (training_multiply_adds(spec.config) or 0.0) / pace / 2
        result = read_json(folder / "result.json") | {"duration_s": seconds, "outcome": outcome}
        write_json(folder / "result.json", result)
        here = {"num_threads": 2, "cpu": cpu_model(), "gpu": None}
        write_json(folder / "provenance.json", {"attempts": [here | (attempt or {})]})
        os.utime(folder, (next(ages),) * 2)
        return folder

    return write


def sized(write_grid: WriteGrid, name: str, **settings: object) -> Grid:
    """The small grid with other settings: all its runs are other runs."""
    lines = "".join(f"\n  {key.replace('__', '.')}: {value}" for key, value in settings.items())
    return load_grid(str(write_grid(("views.kind: pair", f"views.kind: pair{lines}"), name=name)))


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    """The ten runs of the small grid, the untrained last."""
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def asked(write_grid: WriteGrid) -> list[RunSpec]:
    """Runs of the same cells with another seed: those whose cost is asked for."""
    return expand(load_grid(str(write_grid())), "demo", [100])


def work(spec: RunSpec) -> float:
    return training_multiply_adds(spec.config) or 0.0


def test_a_run_takes_its_multiply_adds_at_the_pace_of_others(
    write_grid: WriteGrid, specs: list[RunSpec], store: Store, finish: Finish
) -> None:
    for spec in expand(sized(write_grid, "other", training__epochs=3), "demo")[:4]:
        finish(spec, 2e9)
    told = extrapolated(specs, examples(specs, store))

    assert told is not None
    core_s, words = told
    # the same evaluations were made there: two of 1.5 s on two threads; the untrained reference has nothing else
    assert core_s == pytest.approx([work(spec) / 2e9 + 6.0 for spec in specs])
    assert core_s[-1] == 6.0 < core_s[0]
    assert words == (
        f"4 other runs on {cpu_model()}, extrapolated by multiply-adds at 4 GFLOP/s a core, evaluations included"
    )


@pytest.mark.parametrize(
    ("evaluation", "data", "core_s"),
    [
        ("{protocol: knn, num_labels: 500}", "photos", 1.5),
        ("{protocol: knn, label_seed: 3}", "photos", 3.0 * 8.192),  # all that there are
        ("{protocol: knn, label_seed: 3}", "mine", None),
        ("{protocol: knn, num_labels: 500, k: 20}", "photos", None),
        ("{protocol: knn, num_labels: 500, embedding: z}", "photos", None),
        ("{protocol: knn, label_list: 1percent.txt}", "photos", None),
    ],
)
def test_an_evaluation_takes_its_labels_at_the_pace_of_its_kind(
    write_grid: WriteGrid,
    specs: list[RunSpec],
    store: Store,
    finish: Finish,
    evaluation: str,
    data: str,
    core_s: float | None,
) -> None:
    finish(specs[0])
    note = f"note: small, set: {{data.name: {data}, data.train_images: 4000}}"
    grid = load_grid(
        str(write_grid(("{protocol: knn, num_labels: 1000}", evaluation), ("note: small", note), name="other"))
    )
    asked = expand(grid, "demo")
    told = extrapolated(asked, examples(asked, store))

    assert told is not None
    assert told[0] == pytest.approx([work(spec) / 1e9 + (0.0 if core_s is None else 3.0 + core_s) for spec in asked])
    assert told[1].endswith("evaluations not included" if core_s is None else "evaluations included")


def test_the_method_counts_first_then_the_size(write_grid: WriteGrid, store: Store, finish: Finish) -> None:
    wide = sized(write_grid, "wide", backbone__width_multiplier=1)
    wider = sized(write_grid, "wider", backbone__width_multiplier=2)
    narrow = sized(write_grid, "narrow", backbone__width_multiplier=0.125)
    labels = ("recipe: simclr\n", "recipe: supervised\n"), ("view", "training.epochs: 2\n  view")
    supervised = load_grid(str(write_grid(*labels, name="labels")))
    thin = ("epochs: 2", "epochs: 2\n  backbone.width_multiplier: 0.125")
    narrow_supervised = load_grid(str(write_grid(*labels, thin, name="narrow_labels")))
    seeds = list(range(NEAREST))
    for grid, pace in ((wide, 8e9), (narrow, 1e9), (supervised, 3e9)):
        for spec in expand(grid, "demo", seeds)[:NEAREST]:
            finish(spec, pace)

    def pace_of(*grids: Grid) -> list[float]:
        asked = [expand(grid, "demo", [100])[0] for grid in grids]
        told = extrapolated(asked, examples(asked, store))
        assert told is not None
        assert told[1].startswith(f"{len(grids) * NEAREST} other runs on ")
        return [work(spec) / (core_s - 6.0) for spec, core_s in zip(asked, told[0], strict=True)]

    assert pace_of(wider) == pytest.approx([8e9])
    assert pace_of(narrow) == pytest.approx([1e9])
    assert pace_of(narrow_supervised, narrow) == pytest.approx([3e9, 1e9])


def test_where_a_method_has_few_runs_those_of_others_tell_too(
    write_grid: WriteGrid, asked: list[RunSpec], store: Store, finish: Finish
) -> None:
    supervised = load_grid(str(write_grid(("recipe: simclr\n", "recipe: supervised\n"), name="labels")))
    others = [finish(spec) for spec in expand(supervised, "demo")[:8]]
    assert len(others) == len(examples(asked, store)) == 8
    ours = [finish(spec) for spec in expand(load_grid(str(write_grid())), "demo", list(range(NEAREST)))[:NEAREST]]
    assert {example.config.method.name for example in examples(asked, store)} == {"simclr"}
    shutil.rmtree(ours[0])
    found = examples(asked, store)
    assert len(found) == NEAREST - 1 + 8
    assert found[0].config.method.name == "simclr"


def test_this_machines_runs_tell_and_else_those_of_the_newest(
    specs: list[RunSpec], asked: list[RunSpec], store: Store, finish: Finish
) -> None:
    finish(specs[0], 1e9, attempt={"cpu": "fast"})
    finish(specs[1], 2e9, attempt={"cpu": "fast", "gpu": "faster"})
    (only,) = examples(asked, store)
    assert (only.config.seed, only.device) == (1, "fast with faster")
    told = extrapolated(asked, [only])
    assert told is not None
    assert told[1].startswith("1 other runs on another machine (fast with faster), ")

    os.utime(finish(specs[2], 3e9), (0, 0))
    (only,) = examples(asked, store)
    assert only.device == cpu_model()


def test_what_did_not_train_to_its_end_or_is_torn_tells_nothing(
    specs: list[RunSpec], asked: list[RunSpec], store: Store, finish: Finish
) -> None:
    assert examples(asked, store) == []
    finish(specs[0], outcome="diverged")
    finish(specs[-1], outcome="untrained")
    (finish(specs[1]) / "provenance.json").write_text("{", encoding="utf-8")
    other = finish(specs[2])
    spec_json = read_json(other / "spec.json")
    spec_json["config"]["backbone"]["of_tomorrow"] = 1
    write_json(other / "spec.json", spec_json)
    (store.root / "simclr-notes.txt").touch()
    assert examples(asked, store) == []

    finish(specs[3], outcome="collapsed")
    assert [example.config for example in examples(asked, store)] == [specs[3].config]
    assert examples(specs, store) == []  # its own


def test_a_part_of_all_ages_is_read(
    specs: list[RunSpec], asked: list[RunSpec], store: Store, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "MOST_READ", 3)
    monkeypatch.setattr(throughput, "NEAREST", 3)
    for spec in specs[:6]:
        finish(spec)
    assert [example.config for example in examples(asked, store)] == [specs[place].config for place in (5, 3, 1)]

    for place in range(6):  # a submission: the newest, of which none is done
        store.run_dir(f"simclr-photos-{place}").mkdir()
    assert len(examples(asked, store)) == 3


def test_a_data_set_of_unknown_size_is_not_guessed(
    write_grid: WriteGrid, specs: list[RunSpec], store: Store, finish: Finish
) -> None:
    finish(specs[0])
    mine = load_grid(str(write_grid(("{note: small,", "{set: {data.name: mine, data.train_images: 0},"), name="mine")))
    asked = expand(mine, "demo")
    planned = {spec.run_id: State.PLANNED for spec in asked}

    assert extrapolated(asked, examples(asked, store)) is None
    assert cost(mine, "demo", asked, planned, store, extrapolate=True).source == "the grid's own figure"
