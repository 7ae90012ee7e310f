"""``ablate run --until-decided``: who gets seeds, who does not, and when it refuses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid

from ablations.collect.tables import collect, in_memory
from ablations.store.folder import Store
from ablations.study.expand import load_grid
from reports.inputs import GridResult, grid_result, load_results

LOOKS = (
    ("seeds: [0, 1]\n", "seeds: [0, 1, 2]\nlooks: true\n"),
    (
        "    group: {different: [first, second]}\n    than: {same: [first, second]}\n    margin: 0.0\n",
        "    group: {first: crop, second: color}\n    than: {first: crop, second: crop}\n    margin: 0.0\n",
    ),
    (
        "    not_testable: {mini: one row is no matrix}\n",
        """\
    not_testable: {mini: one row is no matrix}
  - id: L2
    says: Order matters.
    locus: "Fig. 5"
    kind: better
    group: {first: color, second: crop}
    than: {first: color, second: color}
    not_testable: {mini: one row is no matrix}
""",
    ),
)


@pytest.fixture
def grid(write_grid: WriteGrid) -> str:
    return str(write_grid(*LOOKS))


def _seeds(results: str = "results") -> dict[str, int]:
    """How many finished runs each cell has, by its label."""
    content = json.loads(Path(results, "little.demo.json").read_text(encoding="utf-8"))
    return {c["label"]: Counter(run["state"] for run in c["runs"])["done"] for c in content["cells"]}


def test_only_cells_of_undecided_claims_get_seeds(ablate: Ablate, fake_trainer: UseTrainer, grid: str) -> None:
    fake_trainer("crop_then_color")
    done = ablate("run", grid, "--scale", "demo", "--until-decided", "--workers", "1")
    said = [line.removeprefix("little: ") for line in done.stdout.splitlines() if line.startswith("little: ")]
    ablate("report", grid, "--scale", "demo", "--out", "page")

    assert done.exit_code == 0
    assert said == [
        "1 supported, 1 undecided",
        "up to 5 seeds for the 2 cells of L2",
        "1 supported, 1 undecided",
        "up to 8 seeds for the 2 cells of L2",
        "1 supported, 1 undecided",
        "up to 12 seeds for the 2 cells of L2",
        "1 supported, 1 undecided",
        "L2: stays undecided after its last look, at 12 seeds",
    ]
    crop, color = ("first=crop, second=crop", "first=crop, second=color"), ("first=color, second=crop",)
    assert _seeds() == dict.fromkeys((*crop, "untrained"), 3) | dict.fromkeys((*color, "first=color, second=color"), 12)
    page = Path("page", "grids", "little.demo.html").read_text(encoding="utf-8")
    assert "At the look after 3 seeds" in page or "at the look after 3 seeds" in page
    assert "at the look after 12 seeds" in page
    assert "· 3 to 12 seeds ·" in page

    again = ablate("run", grid, "--scale", "demo", "--until-decided")
    assert again.stdout.count("up to") == 0
    assert again.stdout.splitlines()[-2:] == [f"little: {line}" for line in said[-2:]]


def test_verdicts_in_memory_are_those_of_the_tables(
    ablate: Ablate, fake_trainer: UseTrainer, grid: str, tmp_path: Path
) -> None:
    fake_trainer("crop_then_color")
    ablate("run", grid, "--scale", "demo", "--workers", "1")
    read, store = load_grid(grid), Store(Path("runs"))
    collect([read], "demo", store, tmp_path / "tables")
    (of_tables,) = load_results(tmp_path / "tables")
    of_memory = grid_result(*in_memory(read, "demo", store))

    def shown(result: GridResult) -> list[tuple[object, ...]]:
        return [(v.id, v.verdict, v.n, v.look, v.estimate, v.low, v.high, v.adjusted) for v in result.verdicts]

    assert shown(of_memory) == shown(of_tables)
    assert {verdict.n for verdict in of_memory.verdicts} == {3}


def test_a_run_without_a_value_ends_the_looks_of_its_claim(
    ablate: Ablate,
    fake_trainer: UseTrainer,
    grid: str,
) -> None:
    fake_trainer("color_diverges")
    done = ablate("run", grid, "--scale", "demo", "--until-decided", "--workers", "1")

    assert done.exit_code == 0
    assert "L2: a run of its cells has no value, so further seeds would not decide it" in done.stdout
    ablate("collect", grid, "--scale", "demo")
    assert set(_seeds().values()) == {3}


def test_without_planned_looks_it_refuses(ablate: Ablate, write_grid: WriteGrid) -> None:
    done = ablate("run", str(write_grid()), "--scale", "demo", "--until-decided", "--seeds", "3", "--limit", "1")

    assert done.exit_code == 2
    assert "--seeds: not with --until-decided" in done.stderr
    assert "--limit: not with --until-decided" in done.stderr
    assert "little.yaml: no looks at scale demo, so --until-decided would add seeds until noise decides" in done.stderr
    assert not Path("runs").exists()
