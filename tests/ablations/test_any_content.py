"""Commands that read files which hold what nobody writes on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import GRID
from test_any_path import call, here, whole  # noqa: F401 - fixtures

EMPTY, NO_TEXT, A_LIST = b"", b"\xff\xfe{\x00}\x00", b"[1, 2]\n"
DEEP = b"[" * 10_000 + b"]" * 10_000
OF_JSON = {
    "empty": EMPTY,
    "no text": NO_TEXT,
    "a list": A_LIST,
    "null": b"null",
    "deep": DEEP,
    "5,000 digits": b'{"schema_version": ' + b"9" * 5_000 + b"}",
    "no number": b'{"schema_version": NaN}',
}
OF_YAML = {
    "empty": EMPTY,
    "NUL": b"name: \0",
    "no text": NO_TEXT,
    "a list": A_LIST,
    "deep": DEEP,
    "5,000 digits": b"seeds: [" + b"9" * 5_000 + b"]",
    "5,000 digits to the base 16": b"seeds: [0x" + b"f" * 5_000 + b"]",
    "no digits": b"seeds: [0b_]",
    "a tag": b"seeds: !!bool two",
    "aliases of aliases": b"a: &a [x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
}
OF_CSV = {"empty": EMPTY, "NUL": b"role,\0\n", "no text": NO_TEXT, "a list": A_LIST, "a quote": b'role,"\n'}

SCALE = ("--scale", "demo")
COLLECT, PLAN, FIGURE = (
    ("collect", "little.yaml", *SCALE),
    ("plan", "little.yaml", *SCALE),
    ("figure", "little", *SCALE),
)
COMPARE, STATUS, SHOW = ("diff", "results", "site"), ("status", "little.yaml"), ("show", "RUN")
READERS = {
    "little.yaml": (OF_YAML, PLAN, STATUS),
    "small.yaml": (OF_YAML, ("submit", "little.yaml", *SCALE, "--profile", "small.yaml", "--dry-run")),
    "paper.csv": (OF_CSV, ("plan", "paper.yaml", *SCALE)),
    "results/*.demo.json": (OF_JSON, FIGURE, COMPARE, COLLECT),
    "results/runs.csv": (OF_CSV, COMPARE, COLLECT),
    "results/curves.csv": (OF_CSV, FIGURE, COLLECT),
    "results/provenance.jsonl": (OF_JSON, FIGURE, COLLECT),
    "results/problems.json": (OF_JSON, COLLECT),
    "site/report.json": (OF_JSON, COMPARE),
    "site/grids/*.json": (OF_JSON, COMPARE),
    "runs/.declared/*/claims.json": (OF_JSON, COLLECT),
    "runs/simclr*/spec.json": (OF_JSON, PLAN, SHOW, COLLECT),
    "runs/simclr*/result.json": (OF_JSON, PLAN, SHOW, COLLECT),
    "runs/simclr*/provenance.json": (OF_JSON, PLAN, SHOW, COLLECT),
    "runs/simclr*/metrics.jsonl": (OF_JSON, COLLECT),
    "runs/simclr*/evals/*.json": (OF_JSON, PLAN, SHOW, COLLECT),
}
"""What is put into a file, one after the other, and the commands that read it."""

CASES = [(place, kind) for place, (contents, *_) in READERS.items() for kind in contents]


@pytest.mark.parametrize(("place", "kind"), CASES)
def test_a_wrong_file_is_one_message_that_names_it(here: Path, place: str, kind: str) -> None:  # noqa: F811
    Path("paper.csv").touch()
    grid = GRID.replace("name: little", "name: paper").replace("simclr_fig5_augmentation_pairs.csv", "./paper.csv")
    Path("paper.yaml").write_text(grid, encoding="utf-8")
    contents, *commands = READERS[place]
    path = min(here.glob(place))
    for command in commands:
        path.write_bytes(contents[kind])
        done = call([path.relative_to(here).parts[1] if word == "RUN" else word for word in command])

        assert done.exit_code in (0, 2), done.output
        assert "Traceback" not in done.output
        named = {*path.relative_to(here).parts} - {"runs", "results", "site"}
        assert done.exit_code == 0 or any(name in done.stderr for name in named)
