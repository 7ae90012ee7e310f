"""What `pip install .` puts on a machine: packages, grids, the papers' numbers and the page's templates."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without an environment of its own."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True)
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_all_that_the_packages_and_grids_hold(wheel: zipfile.ZipFile) -> None:
    folders = ("ablations", "clusters", "formats", "grids", "reports", "simclr_core")
    expected = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed == expected
    for folder, suffix in (
        ("clusters", ".yaml"),
        ("grids", ".yaml"),
        ("reports/paper", ".csv"),
        ("reports/page/templates", ""),
    ):
        assert any(name.startswith(f"{folder}/") and name.endswith(suffix) for name in packed), folder


def test_wheel_installs_the_ablate_command(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]

    assert "ablate = ablations.commands.cli:app" in wheel.read(entry_points).decode()
