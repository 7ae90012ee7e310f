"""Claims edited after their first runs are marked, wherever the record of them comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid

from reports.claims.edits import edits, record_text

CLAIM = {"id": "A", "says": "s", "locus": "l", "kind": "better", "group": {"x": 1}, "than": {"x": 2}}
BEFORE = {"time": 0.0, "num_started": 0, "num_runs": 6, "metric": "linear_top1", "looks": False}


def _grid(now: list[dict], before: list[dict] | None) -> dict:
    grid = {"scale": "mini", "metric": "linear_top1", "claims": now, "looks": False}
    return grid | ({} if before is None else {"declared": BEFORE | {"claims": before}})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({}, None),
        ({"margin": 0, "paired": False, "says": "other words"}, None),  # what they were without being written
        ({"margin": 0.5}, "margin 0.5, was 0"),
        ({"margin": {"mini": 0.5, "demo": 0.0}}, "margin 0.5, was 0"),
        ({"margin": {"mini": 0.0, "demo": 0.5}}, None),
        ({"paired": True}, "paired true, was false"),
        ({"kind": "top"}, "kind top, was better"),
        ({"than": {"x": [2, 3]}}, "than {x: [2, 3]}, was {x: 2}"),
        ({"metric": "knn_top1"}, "metric knn_top1, was linear_top1"),
        ({"not_testable": {"mini": "why"}}, "testable false, was true"),
        ({"not_testable": {"demo": "why"}}, None),
    ],
)
def test_what_decides_a_claim_is_compared(now: dict, told: str | None) -> None:
    assert edits(_grid([CLAIM | now], [CLAIM])) == ({} if told is None else {"A": told})


def test_claims_that_came_or_went_are_told() -> None:
    grid = _grid([CLAIM | {"id": "B"}], [CLAIM]) | {"looks": True}

    assert edits(grid) == {"B": "added"}
    assert record_text(grid) == (
        "Claims recorded on 1970-01-01 00:00 UTC, before the first run. Removed since: A. Looks added since."
    )


def test_nothing_is_claimed_of_an_old_store() -> None:
    assert edits(_grid([CLAIM], None)) == {}
    assert record_text(_grid([CLAIM], None)).startswith("Not recorded")


def test_an_edit_after_the_first_run_stands_on_the_page(
    ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid
) -> None:
    fake_trainer("quick")
    path = str(write_grid())
    ablate("run", path, "--scale", "demo", "--limit", "1")
    write_grid(("margin: 0.0", "margin: 0.75"))
    ablate("run", path, "--scale", "demo")
    ablate("report", path, "--scale", "demo", "--out", "page")

    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "<strong>Edited after the first runs</strong> (margin 0.75, was 0)" in page
    assert "before the first run." in page
    verdicts = Path("page", "tables", "little.demo.verdicts.csv").read_text(encoding="utf-8")
    assert '"margin 0.75, was 0"' in verdicts

    # The tables know it too: where the store has lost its record, they keep theirs.
    shutil.rmtree(Path("runs", ".declared"))
    ablate("report", path, "--scale", "demo", "--out", "page")
    assert "margin 0.75, was 0" in Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    Path("results", "little.demo.json").unlink()
    ablate("report", path, "--scale", "demo", "--out", "page")
    assert "Not recorded: how the claims stood" in Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")


def test_a_record_made_late_says_so(ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid) -> None:
    fake_trainer("quick")
    path = str(write_grid())
    ablate("run", path, "--scale", "demo", "--limit", "4")
    shutil.rmtree(Path("runs", ".declared"))
    ablate("run", path, "--scale", "demo")
    ablate("collect", path, "--scale", "demo")

    content = json.loads(Path("results", "little.demo.json").read_text(encoding="utf-8"))
    assert record_text(content).endswith("when 4 of 10 runs had been started.")
