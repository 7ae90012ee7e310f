"""YAML files, read as grids and profiles are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ablations.errors import GridError
from ablations.study.expand import PACKAGED
from ablations.study.yaml_files import load_yaml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


@pytest.mark.parametrize("grid", sorted(PACKAGED.glob("*.yaml")), ids=lambda grid: grid.stem)
def test_grids_read_as_omegaconf_reads_them(grid: Path) -> None:
    """With whose notion of a number the trainer's own command line reads its settings."""
    assert repr(load_yaml(grid)) == repr(OmegaConf.to_container(OmegaConf.load(grid)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        (".5E+1", 5.0),
        ("-2e0", -2.0),
        ("-.inf", -math.inf),
        ("1e", "1e"),
        ("e3", "e3"),
        ("3e4x", "3e4x"),
        ("2026-11-22", "2026-11-22"),
        ("'1e-3'", "1e-3"),
        ("12", 12),
        ("true", True),
        ("null", None),
    ],
)
def test_scalars(path: Path, text: str, expected: Any) -> None:
    path.write_text(f"value: {text}\n", encoding="utf-8")

    value = load_yaml(path)["value"]

    assert (type(value), value) == (type(expected), expected)


def test_what_is_merged_may_be_said_again(path: Path) -> None:
    path.write_text("base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\n", encoding="utf-8")

    assert load_yaml(path)["own"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "line 4: the key 'c' "),
        ("a: 1\nb: [2\n", "line 3: "),
        ("a: *nowhere\n", "line 1: "),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1: "),
        ("a: &a [*a]\n", "an alias stands within its own anchor"),
        ("a: " + 5000 * "[" + 5000 * "]", ""),  # refused by libyaml in line 1, by Python's parser as a whole
        ("--- 1\n--- 2\n", "line 2: "),
        ("a: \0", "cannot be read as YAML: "),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(path: Path, text: str, problem: str) -> None:
    """Where it stands; what is wrong there the parser says, in words that change from version to version."""
    path.write_text(text, encoding="utf-8")

    with pytest.raises(GridError) as raised:
        load_yaml(path)

    (said,) = raised.value.problems
    assert said.startswith(f"{path}: {problem}")
    assert len(said) > len(f"{path}: {problem}")


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00a")

    with pytest.raises(GridError, match=r"cannot be read as YAML: ."):
        load_yaml(path)
