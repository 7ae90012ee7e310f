"""Every command, with a file, nothing, an empty folder and an impossible place wherever it takes a path or a name."""

from __future__ import annotations

import shutil
import typing
from pathlib import Path

import pytest
import typer
from conftest import GRID
from typer.testing import CliRunner, Result

from ablations import console
from ablations.commands.cli import app
from ablations.local import pool
from ablations.study import expand

PARAMETERS = {name: command.params for name, command in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]

USUAL = {
    "grids": ["little.yaml"],
    "grid": ["little"],
    "scale": ["--scale", "demo"],
    "profile": ["--profile", "small.yaml"],
    "run": ["sim"],
    "run_id": ["sim"],
    "out_file": ["--out", "made.svg"],
    "out_dir": ["--out", "made"],
    "checkpoint": ["weights.pth"],
    "recipe": ["--recipe", "simsiam_demo"],
    "before": ["results"],
    "after": ["site"],
}
"""What stands for a parameter that a command must be given, by its name; a new command may need more of them."""

PLACES = ["file", "nowhere/deeper", "empty", "file/below"]
"""Nobody, not even root, makes a folder below a file."""


def takes(command: str, parameter: str) -> set[type]:
    """The types of a parameter: those of ``list[str] | None`` are list, str and None."""
    (function,) = [each.callback for each in app.registered_commands if each.name == command]
    found, rest = set(), [typing.get_type_hints(function)[parameter]]
    while rest:
        kind = rest.pop()
        found.add(typing.get_origin(kind) or kind)
        rest += typing.get_args(kind)
    return found


def cases() -> list[tuple[str, str, str]]:
    found = []
    for command, parameters in PARAMETERS.items():
        for name in (each.name for each in parameters if each.name != "help"):
            kinds = takes(command, name)
            values = PLACES if Path in kinds else ["empty/", "file/below.yaml"] if str in kinds else []
            found += [(command, name, value) for value in values]
    return found


def given(command: str, parameter: str, value: str) -> list[str]:
    """The words of a command with this value for a parameter, and what it must be given besides."""
    words: list[str] = []
    for each in PARAMETERS[command]:
        if each.name == parameter:
            words += [value] if each.param_type_name == "argument" else [each.opts[0], value]
        elif each.required or {parameter, each.name} == {"grids", "scale"}:  # report wants both or neither
            words += USUAL[each.name]
    return [command, *words, *(["--dry-run"] if command == "submit" else [])]  # there is no SLURM to refuse it


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a grid, its finished runs, tables and report, and a profile."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pool, "EXECUTE", "fake_trainer:quick")
        patch.setattr(expand, "PACKAGED", folder / "packaged")
        Path("little.yaml").write_text(GRID, encoding="utf-8")
        Path("small.yaml").write_text("partition: small\n", encoding="utf-8")
        Path("weights.pth").write_bytes(b"no weights")
        Path("file").write_text("a file\n", encoding="utf-8")
        Path("empty").mkdir()
        for command in ("run", "report"):
            done = CliRunner().invoke(app, [command, "little.yaml", "--scale", "demo"], catch_exceptions=False)
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def here(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory, on a machine without SLURM."""
    here = tmp_path / "here"
    shutil.copytree(whole, here)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(pool, "EXECUTE", "fake_trainer:quick")
    monkeypatch.setattr(expand, "PACKAGED", tmp_path / "packaged")
    for shown in (console.out, console.err):
        monkeypatch.setattr(shown, "_width", 200)
    monkeypatch.chdir(here)
    return here


def call(arguments: list[str]) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def content(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("command", "parameter", "value"), cases())
def test_a_wrong_place_is_one_message_and_changes_nothing(here: Path, command: str, parameter: str, value: str) -> None:
    before = content(here)
    done = call(given(command, parameter, value))

    assert done.exit_code in (0, 2), done.output
    assert "Traceback" not in done.output
    if done.exit_code == 2:
        assert content(here) == before
        # a command that the usual words do not satisfy either, as it wants a real checkpoint, may say that instead
        assert value in done.stderr or done.stderr == call(given(command, "", "")).stderr
