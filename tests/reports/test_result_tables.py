"""Reading the result tables: the quick way gives what the careful way gives, and leaves to it what is not plain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_results import write_results

from formats.tables import CURVES_COLUMNS, RUNS_COLUMNS
from reports.errors import InputError
from reports.inputs import load_problems, load_results
from reports.read import result_tables
from reports.read.result_tables import read_table

TABLES = {"runs.csv": RUNS_COLUMNS, "curves.csv": CURVES_COLUMNS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_results(tmp_path, scales=["demo"])


def carefully(path: Path) -> pd.DataFrame:
    """By Python's own csv and float."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    table = pd.DataFrame(lines[1:], columns=lines[0])
    for name in table:
        if name not in {"run_id", "cell_id", "dataset", "outcome", "metric"}:
            table[name] = [float(text or "nan") for text in table[name]]
    return table


@pytest.mark.parametrize("name", TABLES)
def test_numbers_are_read_to_the_last_digit(made: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = carefully(made / name)
    monkeypatch.setattr(result_tables, "_read_carefully", lambda *_: pytest.fail("not plain"))
    found = read_table(made / name, TABLES[name], [])

    assert found is not None
    for column in TABLES[name]:
        assert np.array_equal(
            found[column].to_numpy(), expected[column].to_numpy(), equal_nan=found[column].dtype == float
        )


def test_both_ways_give_the_same_results(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = load_results(made)
    monkeypatch.setattr(result_tables, "_is_plain", lambda *_: False)

    for one, other in zip(quick, load_results(made), strict=True):
        pd.testing.assert_frame_equal(one.frame, other.frame)
        pd.testing.assert_frame_equal(one.curves, other.curves)


def test_curves_stand_beside_what_was_planned(made: Path) -> None:
    """A pandas one-liner per grid: a merge by run id."""
    curves = carefully(made / "curves.csv").drop(columns="schema_version")
    for result in load_results(made):
        planned = result.frame.drop_duplicates("run_id")[[*result.axes, "cell_id", "role", "label", "run_id", "seed"]]
        expected = planned.merge(curves, on="run_id")[[*planned, "step", "epoch", "loss", "lr", "z_std", "knn_top1"]]
        found = result.curves[list(expected)]
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
        assert len(found) > 100


def short_row(text: str) -> str:
    lines = text.splitlines()
    lines[2] = lines[2].rsplit(",", 1)[0]
    return "\n".join(lines) + "\n"


def short_and_long_rows(text: str) -> str:
    """As many commas as there should be, in the wrong rows."""
    lines = text.splitlines()
    lines[2] = lines[2].rsplit(",", 1)[0]
    lines[4] += ",5"
    return "\n".join(lines) + "\n"


def word(text: str) -> str:
    lines = text.splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",wide"
    return "\n".join(lines)


def truth(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([lines[0], *(line.rsplit(",", 1)[0] + ",True" for line in lines[1:])])


def version(text: str) -> str:
    return text.replace("\n1,", "\n2,")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (short_row, ["curves.csv, row 3: 7 fields, expected 8"]),
        (short_and_long_rows, ["curves.csv, row 3: 7 fields, expected 8", "curves.csv, row 5: 9 fields, expected 8"]),
        (word, ["curves.csv, row 4, column 'knn_top1': 'wide' is not a number"]),
        (version, ["curves.csv: schema_version 2, this report reads 1"]),
        (lambda text: text.replace("z_std", "zstd", 1), ["curves.csv: no column 'z_std': expected one of"]),
    ],
)
def test_what_is_wrong_is_told_line_by_line(folder: Path, damage: Callable[[str], str], told: list[str]) -> None:
    path = folder / "curves.csv"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    problems: list[str] = []

    assert read_table(path, CURVES_COLUMNS, problems) is None
    assert len(problems) == len(told)
    assert all(problem.startswith(start) for problem, start in zip(problems, told, strict=True)), problems


def test_a_column_of_truths_is_told_in_every_row(folder: Path) -> None:
    path = folder / "curves.csv"
    path.write_text(truth(path.read_text(encoding="utf-8")), encoding="utf-8")
    problems: list[str] = []

    assert read_table(path, CURVES_COLUMNS, problems) is None
    assert problems[0] == "curves.csv, row 2, column 'knn_top1': 'True' is not a number"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",photos,", ',"pho,tos",'),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",trained,", ",NA,"),
        lambda text: text.replace(",trained,", ",,"),
        lambda text: text.rstrip("\n"),
        lambda text: text.splitlines()[0] + "\n",
    ],
    ids=["quoted", "windows", "NA", "empty", "no newline", "no rows"],
)
def test_texts_are_what_the_file_says(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "runs.csv"
    path.write_bytes(change(path.read_text(encoding="utf-8")).encode())
    problems: list[str] = []
    found = read_table(path, RUNS_COLUMNS, problems)

    assert problems == []
    expected = pd.read_csv(path, keep_default_na=False)
    for name in ("run_id", "dataset", "outcome"):
        assert found is not None
        assert found[name].tolist() == expected[name].tolist()


def test_missing_and_infinite_numbers(folder: Path) -> None:
    path = folder / "curves.csv"
    header, first, second, third, *_ = path.read_text(encoding="utf-8").splitlines()
    rows = [row.rsplit(",", 1)[0] + end for row, end in ((first, ","), (second, ",nan"), (third, ",inf"))]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    found = read_table(path, CURVES_COLUMNS, [])

    assert found is not None
    assert np.array_equal(found["knn_top1"], [np.nan, np.nan, np.inf], equal_nan=True)


LINE: dict[str, Any] = {"schema_version": 1, "run_id": "a", "attempts": [{}], "error": "", "log": "", "result": None}


def test_provenance_is_that_of_the_grids_runs(folder: Path) -> None:
    assert all(result.provenance == {} for result in load_results(folder))
    result = load_results(folder)[0]
    (known, *_) = result.frame["run_id"]
    lines = [LINE, LINE | {"run_id": known, "log": "<script>"}]
    (folder / "provenance.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    assert load_results(folder)[0].provenance == {known: lines[1]}


def test_bad_provenance_and_bad_problems_are_told_at_once(folder: Path) -> None:
    lines = [
        "{",
        "[]",
        json.dumps(LINE),
        json.dumps(LINE),
        json.dumps(LINE | {"run_id": "b", "schema_version": 2}),
        json.dumps({key: value for key, value in LINE.items() if key != "log"} | {"run_id": "c", "logs": ""}),
        json.dumps(LINE | {"run_id": "d", "attempts": {}, "result": "none"}),
        json.dumps(LINE | {"run_id": "e", "attempts": [1]}),
    ]
    (folder / "provenance.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load_results(folder)

    told = "\n".join(raised.value.problems)
    assert "provenance.jsonl, line 1: not JSON (" in told
    assert "provenance.jsonl, line 2: expected an object with schema_version, run_id, attempts, error, log" in told
    assert "provenance.jsonl, line 4: 'a' stands twice" in told
    assert "provenance.jsonl, line 5: schema_version 2, this report reads 1" in told
    assert "provenance.jsonl, line 6: no 'log': expected one of" in told
    assert "(did you mean 'logs'?)" in told
    assert "provenance.jsonl, line 7: attempts is a dict, expected a list" in told
    assert "provenance.jsonl, line 7: result is a str, expected a dict or NoneType" in told
    assert "provenance.jsonl, line 8: attempts: expected a list of objects" in told
    assert len(raised.value.problems) == 8


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "problems.json: not JSON"),
        ("[]", "problems.json: expected an object with schema_version and problems"),
        ('{"schema_version": 2, "problems": []}', "problems.json: schema_version 2, this report reads 1"),
        ('{"schema_version": 1, "problems": [{"path": "a", "what": "b"}, {"path": 1}]}', "problems.json: problems[1]:"),
    ],
)
def test_problems_of_the_store(tmp_path: Path, content: str, told: str) -> None:
    assert load_problems(tmp_path) == []
    path = tmp_path / "problems.json"
    path.write_text('{"schema_version": 1, "problems": [{"path": "a", "what": "b"}]}', encoding="utf-8")
    assert load_problems(tmp_path) == [("a", "b")]
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load_problems(tmp_path)
    assert raised.value.problems[0].startswith(told)
