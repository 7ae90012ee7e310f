"""Tables whose rows stand run by run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablations.collect.run_table import PartedTable, stamp_of
from ablations.errors import UserError

HEADER = "run,value\n"


def run_of(line: bytes) -> str:
    fields = line.decode().split(",")
    return fields[0] if len(fields) == 2 else ""


@pytest.fixture
def table(tmp_path: Path) -> PartedTable:
    table = PartedTable(tmp_path / "table.csv", HEADER, run_of)
    assert table.rewrite([("a", lambda: "a,1\na,2\n"), ("b", str), ("c", lambda: "c,3\n")])
    return table


def test_rows_are_made_or_copied_in_any_order(table: PartedTable) -> None:
    assert table.path.read_text() == f"{HEADER}a,1\na,2\nc,3\n"
    assert table.runs == ["a", "b", "c"]
    assert table.rewrite([("c", None), ("d", lambda: "d,4\n"), ("a", None), ("b", None)])
    assert table.path.read_text() == f"{HEADER}c,3\nd,4\na,1\na,2\n"
    assert table.lengths == [("c", 4), ("d", 4), ("a", 8), ("b", 0)]


def test_a_table_that_stays_is_not_touched(table: PartedTable) -> None:
    before = table.path.stat()

    assert not table.rewrite([("a", None), ("b", None), ("c", None)])
    assert table.path.stat() == before
    assert table.rewrite([("a", None), ("c", None)])


def test_what_was_noted_holds_for_the_same_file_alone(table: PartedTable) -> None:
    again = PartedTable(table.path, HEADER, run_of)
    noted = table.lengths, table.stamp

    assert again.recall(*noted)
    assert again.runs == ["a", "b", "c"]
    table.path.write_text(f"{HEADER}a,1\na,5\nc,3\n")
    assert not PartedTable(table.path, HEADER, run_of).recall(*noted)
    table.path.unlink()
    assert not PartedTable(table.path, HEADER, run_of).recall(*noted)
    assert stamp_of(table.path) == ""


def test_a_file_of_unknown_origin_is_scanned(table: PartedTable) -> None:
    """Rows of one run that are apart come together; a line that is none is dropped with the rest of its kind."""
    table.path.write_text(f"{HEADER}a,1\nb,7\nwhat is this\na,2\n")
    again = PartedTable(table.path, HEADER, run_of)
    again.scan()

    assert again.lengths == [("", 0), ("a", 4), ("b", 4), ("", 13), ("a", 4)]
    assert again.rewrite([("a", None), ("b", None)])
    assert table.path.read_text() == f"{HEADER}a,1\na,2\nb,7\n"


@pytest.mark.parametrize("content", ["", "run\na\n", "other,header\na,1\n"])
def test_a_file_with_another_header_has_no_runs(table: PartedTable, content: str) -> None:
    table.path.write_text(content)
    again = PartedTable(table.path, HEADER, run_of)
    again.scan()

    assert (again.runs, again.stamp) == ([], "")
    assert again.rewrite([("d", lambda: "d,4\n")])
    assert table.path.read_text() == f"{HEADER}d,4\n"


def test_a_table_that_another_process_replaces_is_an_error(table: PartedTable) -> None:
    table.path.write_text("another\n")

    with pytest.raises(UserError, match="was replaced while runs were collected"):
        table.rewrite([("a", None)])
    assert table.path.read_text() == "another\n"
    assert [path.name for path in table.path.parent.iterdir()] == ["table.csv"]
