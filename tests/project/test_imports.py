"""Layers that are proved: what is loaded when, and that the import contracts can break."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ablations", "formats", "reports", "simclr_core")
HEAVY = {
    "hydra",
    "matplotlib",
    "pandas",
    "scipy",
    "seaborn",
    "skimage",
    "sklearn",
    "statsmodels",
    "submitit",
    "torch",
    "torchvision",
}
HELP = """
import sys
from ablations.commands.cli import app
sys.argv = ["ablate", "--help"]
try:
    app()
except SystemExit as end:
    assert not end.code
"""


def heavy_modules_of(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport json, sys\nprint()\nprint(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import simclr_core.config.schema",
        "import simclr_core.config.recipes",
        "import simclr_core.data.inventory",
        "import simclr_core.evals.checks",
        "import simclr_core.records",
        "import simclr_core.config.runtime",
        "import ablations.commands.cli",
        "import reports.claims.checks",
        HELP,
    ],
)
def test_light_modules_load_no_heavy_library(code: str) -> None:
    assert heavy_modules_of(code) == set()


def test_the_check_for_heavy_libraries_can_fail() -> None:
    assert "torch" in heavy_modules_of("import simclr_core.methods.losses")


def broken_contracts(root: Path) -> str:
    """What import-linter prints about a tree; empty if every contract is kept."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages and of the contracts, to break."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_import_contracts_are_kept(tree: Path) -> None:
    assert broken_contracts(tree) == ""


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("simclr_core/views/maker.py", "import ablations.plan.cost", "The trainer knows nothing above it"),
        ("reports/claims/stats.py", "import simclr_core.config.schema", "The reporter reads files"),
        ("formats/levels.py", "import simclr_core.config.options", "The formats know no package"),
        ("formats/tables.py", "import pandas", "The formats know no package"),
        ("reports/claims/stats.py", "import torch", "The reporter reads files"),
        ("ablations/plan/cost.py", "import simclr_core.methods.losses", "The harness knows the trainer's"),
        ("ablations/plan/cost.py", "import reports.claims.stats", "only the command line calls the reporter"),
        ("simclr_core/config/cost.py", "import numpy", "loads no heavy library"),
        ("simclr_core/config/cost.py", "import simclr_core.data.inventory", "Rooms of the trainer"),
        ("ablations/store/folder.py", "import ablations.slurm.status", "Rooms of the harness"),
        ("ablations/collect/tables.py", "import ablations.slurm.status", "Rooms of the harness"),
        ("reports/figures/charts.py", "import reports.page.site", "Rooms of the reporter"),
        ("simclr_core/config/options.py", "import simclr_core.config.cost", "No circle of imports"),
        ("simclr_core/run.py", "import hydra", "Hydra stays"),
        ("ablations/plan/cost.py", "from omegaconf import OmegaConf", "YAML is read in one place"),
    ],
)
def test_import_contracts_can_break(tree: Path, module: str, statement: str, contract: str) -> None:
    path = tree / module
    lazily = f"\n\ndef _late() -> None:\n    {statement}\n"
    path.write_text(path.read_text(encoding="utf-8") + lazily, encoding="utf-8")

    broken = [line for line in broken_contracts(tree).splitlines() if "BROKEN" in line]

    assert any(contract in line for line in broken), broken
