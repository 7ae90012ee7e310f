"""What several tests need: a small grid, its files, and a trainer that trains nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy import write_toy
from typer.testing import CliRunner, Result

from ablations import console
from ablations.commands.cli import app
from ablations.local import pool
from simclr_core.config.runtime import RuntimeConfig

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

HOME_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""Variables that say where in a home something lies; unset, that follows from HOME."""

WriteGrid = Callable[..., Path]
Ablate = Callable[..., Result]
UseTrainer = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported, put an empty folder in the place of the user's home."""
    home = tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True)
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", home.name)
    for name in HOME_FOLDERS:
        patch.delenv(name, raising=False)
    patch.setenv("MPLCONFIGDIR", home.name)  # one list of fonts for all tests: it takes seconds to make
    config.add_cleanup(home.cleanup)
    config.add_cleanup(patch.undo)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home for each test and for what it starts, SLURM's jobs too: no test sees what another one keeps."""
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as home:
        monkeypatch.setenv("HOME", home)
        yield Path(home)


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
    """Let workers call a function of ``tests/support/fake_trainer.py`` where they would train."""

    def use(name: str) -> None:
        monkeypatch.setattr(pool, "EXECUTE", f"fake_trainer:{name}")

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
