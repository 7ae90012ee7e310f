"""A store of several users: what one may not read or change is told in a line, before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.errors import UserError
from ablations.store.folder import Store
from ablations.store.queued import RECORD
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import write_json

COMMANDS = """
import json, sys
from typer.testing import CliRunner
from ablations.commands.cli import app
for words in json.load(sys.stdin):
    done = CliRunner().invoke(app, words)
    print(json.dumps([done.exit_code, done.output, repr(done.exception)]))
"""


def as_a_user(folder: Path, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """What ``ablate`` says to a user whom the modes of files bind, as they do not bind root."""
    bound: list[str] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("modes of files do not bind root, and there is no setpriv to change that")
        bound = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", "--"]
    done = subprocess.run(
        [*bound, sys.executable, "-c", COMMANDS],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "1000", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def store(tmp_path: Path, specs: list[RunSpec]) -> Store:
    """Two runs are done, one has failed, one is in the queue of a job that nobody knows."""
    found = Store(tmp_path / "runs")
    for spec in specs[:2]:
        write_records(spec.config, list(spec.evaluations), found.run_dir(spec.run_id))
        (found.run_dir(spec.run_id) / "checkpoint.pt").write_bytes(b"x")
    found.run_dir(specs[2].run_id).mkdir()
    (found.run_dir(specs[2].run_id) / "error.txt").write_text("ZeroDivisionError\n", encoding="utf-8")
    record = {"submission": "s1", "job_id": "120", "array_index": None, "host": "login", "user": "ada"}
    record |= {"time": time.time(), "profile": "gpu", "partition": None}
    write_json(found.run_dir(specs[3].run_id) / RECORD, record)
    return found


def modes(root: Path, folders: int, files: int) -> None:
    """Give all below a folder these modes."""
    for path in [*root.rglob("*"), root]:
        path.chmod(folders if path.is_dir() else files)


def listing(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*"))


OF_GRID = ["little.yaml", "--scale", "demo"]
WRITING = [
    ["run", *OF_GRID],
    ["submit", *OF_GRID, "--profile", "p.yaml", "--allow-dirty"],
    ["retry", *OF_GRID],
    ["prune", *OF_GRID, "--yes"],
]
READING = [["plan", *OF_GRID], ["status", *OF_GRID], ["run", *OF_GRID], ["cancel", *OF_GRID], ["prune", *OF_GRID]]


@pytest.mark.parametrize("root_too", [False, True])
def test_what_another_user_has_written_without_the_group_is_refused_by_name(
    tmp_path: Path, store: Store, *, root_too: bool
) -> None:
    """With umask 022 in a folder of the group, and in one's own."""
    (tmp_path / "p.yaml").write_text("{}", encoding="utf-8")
    modes(store.root, 0o555, 0o444)
    store.root.chmod(0o555 if root_too else 0o775)
    before = listing(tmp_path)
    found = as_a_user(tmp_path, WRITING)
    after = listing(tmp_path)
    modes(store.root, 0o755, 0o644)

    for words, (code, output, exception) in zip(WRITING, found, strict=True):
        assert code == 2, (words, output, exception)
        assert "you may not change th" in output, words
        assert "r-xr-xr-x" in output, words
        assert "expected a store whose users have umask 002" in output, words
        assert exception == "SystemExit(2)", words
    assert after == before


def test_what_another_user_hides_is_refused_by_name(tmp_path: Path, store: Store, specs: list[RunSpec]) -> None:
    """With umask 077; a collection notes it, as it does all that cannot be read."""
    hidden = store.run_dir(specs[0].run_id)
    hidden.chmod(0)
    *found, collected = as_a_user(tmp_path, [*READING, ["collect", *OF_GRID]])
    hidden.chmod(0o755)

    for words, (code, output, exception) in zip(READING, found, strict=True):
        assert (code, exception) == (2, "SystemExit(2)"), (words, output)
        assert f"runs/{hidden.name}: you may not read this (d---------" in output, words
    assert collected[0] == 0
    assert "1 of 10 runs are in results" in collected[1]
    assert f"{hidden.name}: cannot be read: " in collected[1]


def test_a_store_that_may_not_be_read_is_an_error(tmp_path: Path, store: Store) -> None:
    store.root.chmod(0)
    found = as_a_user(tmp_path, [["status"], ["collect", *OF_GRID], ["show", "x"]])
    store.root.chmod(0o755)

    assert [(code, exception) for code, _, exception in found] == [(2, "SystemExit(2)")] * 3
    assert all("'runs' is not readable" in output for _, output, _ in found)


def test_a_claim_that_may_not_be_made_is_no_claim_of_another(store: Store, specs: list[RunSpec], monkeypatch) -> None:
    """As where another user makes the folder of a run after the look at all of them."""

    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(UserError, match="you may not change this"):
        store.claim(specs[4].run_id)
