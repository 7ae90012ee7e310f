"""What is installed: the constraints, and the sessions that resolve the ranges anew."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nox.project
import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [Requirement(line) for line in LINES if not line.startswith("#")]
OF_THE_PLATFORM = ("torch", "torchvision", "triton", "nvidia-", "cuda-")


def asked_for() -> Iterator[Requirement]:
    """What the project, its extras and its dependency groups ask for by name."""
    project = PYPROJECT["project"]
    groups = nox.project.dependency_groups(PYPROJECT, *PYPROJECT["dependency-groups"])
    for asked in (project["dependencies"], *project["optional-dependencies"].values(), groups):
        yield from map(Requirement, asked)


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0", "3.13.0", "3.14.0"])
def test_every_dependency_but_torch_has_one_version_within_its_range(version: str) -> None:
    python = {**default_environment(), "python_version": version.rpartition(".")[0], "python_full_version": version}
    held = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate(python)]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in held}
    wanted = [one for one in asked_for() if one.name not in {"torch", "torchvision"}]

    assert len(held) == len(versions)
    assert wanted
    assert [str(one) for one in wanted if not one.specifier.contains(versions[canonicalize_name(one.name)])] == []


def test_constraints_leave_torch_to_the_platform_and_name_no_place() -> None:
    assert [pin.name for pin in PINS if pin.name.startswith(OF_THE_PLATFORM)] == []
    assert [line for line in LINES if "/" in line or "-index" in line or "@" in line] == []
    assert all(str(pin.specifier).startswith("==") for pin in PINS)


class Recorder:
    """A nox session that keeps what it is told to run."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []

    def run(self, *command: str, **_: Any) -> None:
        self.commands.append(command)


@pytest.fixture
def noxfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """noxfile.py, in an environment into which nothing has been installed, with constraints of its own."""
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(module, "CONSTRAINTS", tmp_path / "constraints.txt")
    module.CONSTRAINTS.write_text("numpy==2.4.6\n", encoding="utf-8")
    return module


def test_sessions_install_with_the_constraints_and_again_when_these_have_changed(noxfile: ModuleType) -> None:
    session = Recorder()
    for _ in range(2):
        noxfile.install(session, "imports")
    (command,) = session.commands
    assert command[command.index("--constraint") + 1] == str(noxfile.CONSTRAINTS)

    noxfile.CONSTRAINTS.write_text("numpy==2.4.7\n", encoding="utf-8")
    noxfile.install(session, "imports")
    assert session.commands == [command] * 2
