"""A grid's cost as it was expected before its first run: when that is worked out, from what, and what becomes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Ablate, UseTrainer, WriteGrid

from ablations.plan.declared import estimate
from ablations.store.provenance import cpu_model
from ablations.study.expand import expand, load_grid
from reports.claims.edits import record_text
from simclr_core.config.cost import training_multiply_adds
from simclr_core.records import read_json, write_json

RECORD = Path("runs", ".declared", "little.demo", "claims.json")


def collected(ablate: Ablate, path: Path) -> dict[str, Any]:
    """The cost that a collection tells."""
    ablate("collect", str(path), "--scale", "demo")
    cost: dict[str, Any] = read_json(Path("results", f"{path.stem}.demo.json"))["cost"]
    return cost


def test_the_estimate_is_made_before_the_first_run_and_stays(
    ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid
) -> None:
    fake_trainer("quick")
    path = write_grid()
    ablate("run", str(path), "--scale", "demo", "--limit", "2", "--workers", "1")
    assert read_json(RECORD)["estimate"] == {"core_s": 200.0, "by": "the grid's own figure"}
    write_grid(("expected_core_s: 20", "expected_core_s: 99"))
    ablate("run", str(path), "--scale", "demo", "--workers", "1")

    # eight trainings of 7 s, two runs without any that say 7 s too, and two evaluations of 1.5 s each
    assert collected(ablate, path) == {
        "estimated_core_s": 200.0,
        "estimated_by": "before the first run, by the grid's own figure",
        "actual_core_s": 100.0,
    }
    ablate("report", str(path), "--scale", "demo", "--out", "page")
    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "100 core-seconds, 50 % less than estimated" in page


def test_it_rests_on_other_runs_and_never_on_the_grids_own(
    ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid
) -> None:
    fake_trainer("quick")
    first = write_grid()
    ablate("run", str(first), "--scale", "demo", "--workers", "1")
    longer = write_grid(("views.kind: pair", "views.kind: pair\n  training.epochs: 40"), name="longer")
    ablate("run", str(longer), "--scale", "demo", "--workers", "1")

    works = [training_multiply_adds(spec.config) or 0.0 for spec in expand(load_grid(str(longer)), "demo")]
    pace = 7.0 / (training_multiply_adds(expand(load_grid(str(first)), "demo")[0].config) or 0.0)
    cost = collected(ablate, longer)
    assert cost["estimated_core_s"] == pytest.approx(pace * sum(works) + 10 * 3.0, abs=0.1)
    words = f"when 2 of 10 runs had been started, by 8 other runs on {cpu_model()}, extrapolated "  # the untrained two
    assert cost["estimated_by"].startswith(words)
    assert cost["actual_core_s"] == 100.0

    # a record made late, in a store that has no other trainings, does not rest on the nine runs that are there
    shutil.rmtree(Path("runs", ".declared"))
    of_both = {spec.run_id for spec in expand(load_grid(str(first)), "demo")}
    for run_id in {spec.run_id for spec in expand(load_grid(str(longer)), "demo")} - of_both:
        shutil.rmtree(Path("runs", run_id))
    shutil.rmtree(Path("runs", expand(load_grid(str(first)), "demo")[0].run_id))
    ablate("run", str(first), "--scale", "demo", "--workers", "1")
    assert collected(ablate, first)["estimated_by"] == ("when 9 of 10 runs had been started, by the grid's own figure")


def test_a_record_of_before_is_read_and_means_what_it_did(
    ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid
) -> None:
    fake_trainer("quick")
    path = write_grid()
    ablate("run", str(path), "--scale", "demo", "--workers", "1")
    record = read_json(RECORD)
    del record["estimate"]
    write_json(RECORD, record)
    ablate("run", str(path), "--scale", "demo", "--seeds", "2", "--workers", "1")

    assert read_json(RECORD) == record
    assert collected(ablate, path)["estimated_by"] == (
        "by the grid's own figure, 20 s a run; no estimate was kept before the first run"
    )
    content = read_json(Path("results", "little.demo.json"))
    assert content["declared"] == record
    assert record_text(content).endswith("before the first run.")


@pytest.mark.parametrize(
    ("declared", "expected", "told"),
    [
        (None, None, (None, "no estimate was kept before the first run")),
        ({"num_started": 0, "num_runs": 4}, None, (None, "no estimate was kept before the first run")),
        (
            {"num_started": 0, "num_runs": 4, "estimate": {"core_s": None, "by": "nothing"}},
            5.0,  # which came with the runs
            (None, "nothing was known before the first run"),
        ),
        (
            {"num_started": 0, "num_runs": 4, "estimate": {"core_s": 20.0, "by": "a guess"}},
            99.0,
            (30.0, "before the first run, by a guess; for 4 runs then, and as much a run for the 6 of now"),
        ),
    ],
)
def test_an_estimate_is_told_with_what_it_rests_on(
    declared: dict[str, Any] | None, expected: float | None, told: tuple[float | None, str]
) -> None:
    assert estimate(declared, expected, 6) == told
