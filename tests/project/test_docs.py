"""The documents: links lead somewhere, and the commands that they promise are the ones that are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = re.compile(r"^python3 -m venv \.venv && .*nox.*$", re.MULTILINE)


def relative_links(text: str) -> list[str]:
    """Targets of Markdown links and images that lie in the repository, without their anchors."""
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'<(?:img|a)\s[^>]*(?:src|href)="([^"]+)"', text)
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_relative_links_resolve(document: Path) -> None:
    links = relative_links(document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_relative_links_are_found() -> None:
    text = '[a](docs/a.md#part) ![b](b.svg) [web](https://example.org) [here](#here) <img alt="c" src="c.png">'

    assert relative_links(text) == ["docs/a.md", "b.svg", "c.png"]


def test_readme_has_two_set_up_commands_and_ci_runs_the_second_the_browser_and_slurm() -> None:
    demo, tests = SET_UP.findall(README)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert demo == f"{tests} -s demo"
    assert ci[-3:] == [tests, ".venv/bin/nox -s browser", ".venv/bin/nox -s slurm"]


def test_sessions_named_in_the_documents_exist() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    sessions = set(re.findall(r"^[*-] (\w+)", listed, re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"nox -s (\w+)", path.read_text(encoding="utf-8"))}

    assert named - sessions == set()


def test_the_set_up_installs_with_the_constraints() -> None:
    assert all(" pip install -c constraints.txt nox" in line.replace("/", " ") for line in SET_UP.findall(README))


def test_ablate_commands_in_the_readme_exist() -> None:
    from typer.main import get_command

    from ablations.commands.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(r"^(?:\.venv/bin/)?ablate .*$", README, re.MULTILINE)

    assert lines
    for line in lines:
        _program, name, *arguments = shlex.split(line, comments=True)
        assert name in commands, line
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("-")} <= options, line
