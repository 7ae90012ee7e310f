"""Git that cannot say is not git that says no: unknown stays unknown, with git's own words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ablations.slurm.source import Code, find_code
from ablations.store import git, provenance

Fail = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``simclr_core`` that a repository tracks and that differs from its commit, in the place of the true one."""
    folder = tmp_path / "code" / "simclr_core"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "config.py"):
        (folder / name).write_text("1\n", encoding="utf-8")
    words = ["git", "-C", str(folder.parent), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*words, *command], check=True)
    (folder / "config.py").write_text("2\n", encoding="utf-8")
    monkeypatch.setattr("simclr_core.__file__", str(folder / "__init__.py"))
    provenance.source.cache_clear()
    return folder


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """What this process knows of its code is read anew."""
    yield
    provenance.source.cache_clear()


def put_git(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A program ``git`` in the place of the true one."""
    path = folder / "bin" / "git"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of git 2.39."""
    words = (
        f"fatal: detected dubious ownership in repository at '{folder}'\\nTo add an exception, call:\\n\\n\\tgit config"
    )
    put_git(monkeypatch, folder, f'printf "{words}\\n" >&2; exit 128')


def missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))


def slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "TIMEOUT_S", 0.05)
    put_git(monkeypatch, folder, "exec sleep 60")


def torn(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "code" / ".git" / "HEAD").write_bytes(b"\0")


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (
            of_another_user,
            "fatal: detected dubious ownership in repository at '{}' To add an exception, call: git config",
        ),
        (missing, "git cannot be started: No such file or directory"),
        (slow, "git ls-files did not answer within 0 s"),
        (torn, "fatal: "),
    ],
)
def test_what_git_does_not_say_is_unknown(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Fail, words: str
) -> None:
    assert provenance.source()["dirty"] is True
    provenance.source.cache_clear()
    fail(tmp_path, monkeypatch)

    source, code = provenance.source(), find_code()
    assert (source["commit"], source["dirty"]) == (None, None)
    assert source["git_error"].startswith(words.format(tmp_path))
    assert code == Code(package.parent, problem=source["git_error"])


def test_a_commit_stays_known_where_only_the_state_is_not(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git.run(package, "rev-parse", "HEAD").strip()
    broken = f"""case "$*" in
*status*) echo "fatal: index file corrupt" >&2; exit 128;;
*) exec {shutil.which("git")} "$@";;
esac"""
    put_git(monkeypatch, tmp_path, broken)
    source = provenance.source()

    assert (source["commit"], source["dirty"], source["git_error"]) == (head, None, "fatal: index file corrupt")
    assert find_code().problem == "fatal: index file corrupt"


def test_without_a_repository_git_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has none, and the machine may have no git."""
    for name in ("__init__.py", "config.py"):
        path = tmp_path / "site-packages" / "simclr_core" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    if any((folder / ".git").exists() for folder in tmp_path.parents):
        pytest.skip("the folder of temporary files is in a repository")
    monkeypatch.setattr("simclr_core.__file__", str(path.with_name("__init__.py")))
    missing(tmp_path, monkeypatch)
    provenance.source.cache_clear()
    source = provenance.source()

    assert (source["commit"], source["dirty"]) == (None, None)
    assert "git_error" not in source
    assert find_code() == Code(tmp_path / "site-packages")
