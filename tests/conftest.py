"""What several tests need: a small grid, its files, and a trainer that trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from toy import write_toy
from typer.testing import CliRunner, Result

from ablations import console, launch
from ablations.cli import app
from simclr_core.runtime import RuntimeConfig

GRID = """\
name: little
title: A little grid
question: Does temperature matter?
paper: {key: simclr, locus: "Fig. 5", csv: simclr_fig5_augmentation_pairs.csv}
recipe: simclr
set:
  views.kind: pair
axes:
  views.first: [crop, color]
  views.second: [crop, color]
references:
  untrained: {training.epochs: 0}
seeds: [0, 1]
metric: linear_top1
evaluations:
  - {protocol: linear, num_labels: 1000}
  - {protocol: knn, num_labels: 1000}
scales:
  demo: {note: small, expected_core_s: 20}
  mini: {axes: {views.first: [crop]}, seeds: [5]}
figure: {kind: heatmap, row: first, column: second}
claims:
  - id: L1
    says: Pairs are better.
    locus: "Fig. 5"
    kind: better
    group: {different: [first, second]}
    than: {same: [first, second]}
    margin: 0.0
    not_testable: {mini: one row is no matrix}
"""

WriteGrid = Callable[..., Path]
Ablate = Callable[..., Result]
UseTrainer = Callable[[str], None]


@pytest.fixture
def write_grid(tmp_path: Path) -> WriteGrid:
    """Write ``little.yaml``, with each (old, new) text replaced; its path."""

    def write(*replacements: tuple[str, str], name: str = "little") -> Path:
        text = GRID.replace("name: little", f"name: {name}")
        for old, new in replacements:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def fake_trainer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let workers call a function of ``tests/fake_trainer.py`` where they would train."""

    def use(name: str) -> None:
        monkeypatch.setattr(launch, "EXECUTE", f"fake_trainer:{name}")

    return use


@pytest.fixture
def ablate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ablate:
    """Run ``ablate`` in an empty folder; an exception that is no exit fails the test."""
    monkeypatch.chdir(tmp_path)
    for shown in (console.out, console.err):
        monkeypatch.setattr(shown, "_width", 200)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return run


@pytest.fixture(scope="session")
def toy_runtime(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    """The data set ``toy``, and where it lies."""
    return write_toy(tmp_path_factory.mktemp("data"))
