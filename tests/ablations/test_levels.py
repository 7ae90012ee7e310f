"""Levels: what may stand in one axis, and that two of them never become one on the way to a table or a verdict."""

from __future__ import annotations

import csv
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from fake_results import _write_csv
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_up_grids import CURVES, RUNS

from ablations.collect.grid_json import grid_json
from ablations.errors import GridError
from ablations.plan.demand import demand
from ablations.store.folder import State
from ablations.study.expand import load_grid
from ablations.study.levels import level_problems
from ablations.study.yaml_files import load_yaml
from formats.levels import is_level, is_number, level_in, level_text, ordered
from formats.selectors import select
from formats.tables import PAPER_COLUMNS
from reports.characters import showable
from reports.errors import InputError
from reports.inputs import GridResult, load_results
from reports.page.tables import cell_table
from reports.read.papers import load_paper

GRID = """\
name: versions
title: Our recipes
question: Which version?
paper: {{key: simclr, locus: "Table 1", csv: {folder}/paper.csv}}
recipe: simclr
axes:
  version:
    ? {first}
    : {{views.color_strength: 0.5}}
    ? {second}
    : {{views.color_strength: 1.0}}
seeds: [0, 1]
metric: linear_top1
evaluations: [{{protocol: linear, num_labels: 1000}}]
scales: {{demo: {{}}}}
figure: {{kind: bars, x: version}}
claims: [{{id: V, says: better, locus: here, kind: better, group: {{version: {first}}}, than: {{version: {second}}}}}]
"""
ALIKE = [
    '"1.1"', '"1.10"', "1.1", "1.10", '"01"', '"1"', "1", "1.0", "01", "0x1", '"1e3"', '"1000"', "1e3", "1000",
    '"8_16"', '"816"', "8_16", "816", '"inf"', '"infinity"', ".inf", ".nan", '"nan"', '"True"', '"true"', "true",
    "yes", '"yes"', "~", '""', '"null"', "12345678901234567", "12345678901234568", '"12345678901234567"',
    '"12345678901234568"', "0.1", "0.10000000000000001", "0.1000000000000001", "-0.0", "0", '"a_b"', '"a b"',
    '"a  b"', '" a"', '"a"', '"a\\u200b"', '"lowest"', '"highest"', '"a\\u0007"', '"e\\u0301"', '"\\u00e9"',
    "2001-01-01", '"a,b"', "'\"'", "'a: b'",
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(ALIKE),
    st.integers().map(str),
    st.floats().map(lambda value: yaml.safe_dump(value).split("\n")[0]),
    st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=8).map(json.dumps),
    st.from_regex(r"[-+]?[0-9]{1,14}(\.[0-9]{1,3})?(e[0-9])?", fullmatch=True).map(json.dumps),
)
"""Scalars as YAML writes them."""


def _made(folder: Path, first: str, second: str) -> dict[str, Any]:
    """The grid's description of two levels; raises GridError where the grid is refused."""
    path = folder / "versions.yaml"
    path.write_text(GRID.format(folder=folder, first=first, second=second), encoding="utf-8")
    grid = load_grid(str(path))
    asked = demand(grid, "demo", None)
    planned = {spec.run_id: State.PLANNED for spec in asked.every}
    return grid_json(grid, "demo", asked, states=planned, outcomes={}, spent_core_s=0.0, declared=None)


def _made_or_refused(folder: Path, first: str, second: str) -> dict[str, Any] | list[str]:
    try:
        return _made(folder, first, second)
    except GridError as error:
        return error.problems


def _write_paper(path: Path, rows: Sequence[tuple[str, float]], axis: str = "version") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*PAPER_COLUMNS, axis])
        writer.writeheader()
        writer.writerows(
            dict.fromkeys(PAPER_COLUMNS, "")
            | {"role": "cell", "metric": "linear_top1", "value": str(value), "precision": "printed", axis: level}
            for level, value in rows
        )


def _result(folder: Path, made: dict[str, Any]) -> GridResult:
    """Its runs done: about 30 at the first level, about 60 at the second."""
    rows = []
    for cell, mean in zip(made["cells"], (30.0, 60.0), strict=True):
        for run in cell["runs"]:
            run.update(state="done", outcome="trained")
            head = [1, run["run_id"], cell["cell_id"], run["seed"], "photos", "trained"]
            rows.append([*head, "linear_top1", mean + 0.1 * run["seed"], 1000, 1000])
    (folder / "versions.demo.json").write_text(json.dumps(made), encoding="utf-8")
    _write_csv(folder / "runs.csv", RUNS.split(), rows)
    _write_csv(folder / "curves.csv", CURVES.split(), [])
    return load_results(folder)[0]


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(SCALARS, SCALARS)
@example('"1.1"', '"1.10"')
@example("1234567890123", "1234567890124")
@example("1", "true")
@example("1.0", '"1.0"')
@example('"lowest"', '"highest"')
@example('"z"', '"lowest"')
def test_two_levels_stay_two_or_the_grid_is_refused_by_their_names(first: str, second: str) -> None:
    levels = [yaml.safe_load(scalar) for scalar in (first, second)]
    with tempfile.TemporaryDirectory() as made_folder:
        folder = Path(made_folder)
        _write_paper(folder / "paper.csv", [(level_text(level), 40.0 + n) for n, level in enumerate(levels)])
        made = _made_or_refused(folder, first, second)
        if not isinstance(made, dict):
            names = [*map(repr, levels), *map(str, levels), *(repr(name.strip("\"'")) for name in (first, second))]
            assert any(name in problem for problem in made for name in names), made
            return
        result = _result(folder, made)

    table = cell_table(result).query("metric == 'linear_top1'")
    assert len(set(table["version"])) == len(set(table["label"])) == len(result.axes["version"]) == 2
    assert table["mean"].round(2).tolist() == [30.05, 60.05]
    assert table["paper_value"].tolist() == [40.0, 41.0]
    cells = {cell["cell_id"]: {"version": level_text(cell["levels"]["version"])} for cell in made["cells"]}
    assert [select({"version": cell["levels"]["version"]}, cells) for cell in made["cells"]] == [[id_] for id_ in cells]


@pytest.mark.parametrize(
    ("first", "second"),
    [('"1.10"', '"1.1"'), ('"1234567890124"', '"1234567890123"'), ('"8_16"', '"816"'), ('"True"', '"true"')],
)
def test_a_claim_compares_the_two_levels_that_it_names(tmp_path: Path, first: str, second: str) -> None:
    names = [yaml.safe_load(scalar) for scalar in (first, second)]
    _write_paper(tmp_path / "paper.csv", [(name, 40.0 + number) for number, name in enumerate(names)])

    (verdict,) = _result(tmp_path, _made(tmp_path, first, second)).verdicts

    assert verdict.verdict == "contradicted"
    assert verdict.estimate == pytest.approx(-30.0)


NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(NUMBERS, NUMBERS)
@example(0.0, -0.0)
@example(10**16, 1e16)
@example(12345678901234567, 12345678901234568)
def test_numbers_have_one_text_if_they_are_one_number(one: float, other: float) -> None:
    assert (level_text(one) == level_text(other)) == (one == other)
    assert is_number(level_text(one))
    assert level_in(repr(one), [one]) == level_text(one)
    assert ordered(map(level_text, (one, other))) == list(dict.fromkeys(map(level_text, sorted((one, other)))))


@pytest.mark.parametrize(
    ("text", "levels", "meant"),
    [
        ("0.50", [0.5, 1.0], "0.5"), ("5e-1", [0.5], "0.5"), ("256.0", [256, 512], "256"), ("4096", [256], "4096"),
        ("TRUE", [True, False], "true"), ("true", ["true", "false"], "true"), ("True", ["True", "true"], "True"),
        ("1.10", ["1.1", "1.10"], "1.10"), ("1.10", ["1.1", "1.2"], "1.10"), ("crop", [0.5], "crop"),
        ("inf", [0.5], "inf"), ("8_16", [816], "8_16"), ("1.0", [1, "default"], "1"), ("", [0.5], ""),
    ],
)  # fmt: skip
def test_a_papers_field_is_read_by_the_kind_of_the_axis(text, levels, meant) -> None:
    assert level_in(text, levels) == meant


def test_versions_keep_the_order_of_the_grid_and_numbers_have_theirs() -> None:
    assert ordered(["1.10", "1.2", "1.1", "1.10"]) == ["1.10", "1.2", "1.1"]
    assert ordered(["10", "9", "0.5"]) == ["0.5", "9", "10"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a_b", "a b"], "the levels 'a_b' and 'a b' look alike"),
        (["a", "a\u200b"], "the levels 'a' and 'a\\u200b' look alike"),
        ([1, "1.0"], "the level '1.0' is a name that reads as a number, 1 a number"),
        ([True, "True"], "the level 'True' is a name, true a truth value"),
        ([" a", "a"], "the level ' a': expected a name on one line, without blanks at its ends"),
        (["a\nb"], "the level 'a\\nb': expected a name on one line"),
        ([""], "the level '': expected a name"),
        ([float("inf")], "the level inf: expected a name, a finite number"),
        ([None], "the level None: expected a name"),
    ],
)
def test_levels_that_cannot_be_told_apart_are_refused(labels, words) -> None:
    (problem,) = level_problems(labels, "axes.version")

    assert problem.startswith("axes.version: ")
    assert words in problem


def test_true_is_no_level_of_an_axis_of_numbers() -> None:
    assert is_level(1.0, (1, 2))
    assert not is_level(True, (1, 2))
    assert not is_level(1, (True, False))
    assert not is_level("1", (1, 2))


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(["1", "1.0", "true", "0x1"], 2)))
def test_two_keys_that_are_one_in_a_dict_are_refused(tmp_path: Path, first: str, second: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(f"{first}: a\n{second}: b\n", encoding="utf-8")

    with pytest.raises(GridError, match=f"line 2: the key '{first}' stands twice, also as '{second}'"):
        load_yaml(path)


def test_a_number_does_not_stand_for_a_name(tmp_path: Path) -> None:
    _write_paper(tmp_path / "paper.csv", [("1.10", 60.0)])
    path = tmp_path / "versions.yaml"
    text = GRID.format(folder=tmp_path, first='"1.1"', second='"1.10"').replace('version: "1.10"', "version: 1.10")
    path.write_text(text, encoding="utf-8")

    with pytest.raises(GridError, match=r"claims\[0\].than.version = 1.1: no name; expected one of '1.1', '1.10', in"):
        load_grid(str(path))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title: Our recipes", r'title: "Our\x07 recipes"', r"title = 'Our\\x07 recipes': .* U\+0007 here"),
        ("says: better", r'says: "\u202Ebetter"', r"claims\[0\].says = '\\u202ebetter': .* U\+202E here"),
        ('"a"', r'"a\e[31m"', r"a key = 'a\\x1b\[31m': .* U\+001B here"),
        ("{demo: {}}", r'{demo: {note: "a\uFFFE"}}', r"scales.demo.note = 'a\\ufffe': .* U\+FFFE here"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_stands(tmp_path: Path, old: str, new: str, words: str) -> None:
    _write_paper(tmp_path / "paper.csv", [("b", 60.0)])
    path = tmp_path / "versions.yaml"
    text = GRID.format(folder=tmp_path, first='"a"', second='"b"')
    path.write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(GridError, match=words):
        load_grid(str(path))


@pytest.mark.parametrize(("level", "others"), [("0.5", ["0.50"]), ("a", [" a", "a "])])
def test_a_paper_with_two_names_for_a_level_is_refused(tmp_path: Path, level: str, others: list[str]) -> None:
    path = tmp_path / "paper.csv"
    _write_paper(path, [(name, 60.0) for name in (level, level, *others)])

    with pytest.raises(InputError) as caught:
        load_paper(str(path), {"version": [0.5, 1.0] if level == "0.5" else ["a", "b"]})
    (problem,) = caught.value.problems
    assert problem.startswith(f"paper.csv, column 'version': the level {level} is written in more than one way")
    assert f"{level!r} in rows 2 and 3, {others[0]!r} in row 4" in problem


@pytest.mark.parametrize("unfit", ["\x00", "\x07", "\x1b", "\x85", "\ud800", "\u202e", "\ufffe"])
def test_what_logs_bring_is_replaced_where_it_cannot_be_shown(unfit: str) -> None:
    text = showable(f"<p>red{unfit}\n\té🙂</p>")

    assert ET.fromstring(text.encode()).text == "red\ufffd\n\té🙂"  # noqa: S314 - written here
