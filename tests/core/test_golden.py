"""Parity with the original authors' code: every file of tests/golden passes its check (``parity``)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from parity.checks import golden_files, outcomes_of
from parity.comparison import Comparison

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = golden_files(GOLDEN)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_we_agree_with_the_original(path: Path) -> None:
    compared = [outcome for outcome in outcomes_of(path) if isinstance(outcome, Comparison)]

    assert compared
    assert [comparison for comparison in compared if not comparison.passed] == []


def test_the_readme_lists_every_file() -> None:
    readme = (GOLDEN / "README.md").read_text(encoding="utf-8")
    patterns = {
        name for line in readme.splitlines() if line.startswith("| `") for name in re.findall("`(\\d\\d_[^`]+)`", line)
    }
    names = {path.stem for path in FILES}

    assert {name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)} == set()
    assert {pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)} == set()
