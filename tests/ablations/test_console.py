"""What the command line prints into streams that take no such text, no more text or none, and its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_results import write_results

ABLATE = "from ablations.commands.cli import app; app()"
BUG = "from ablations.commands.cli import app; app.command('bug')(lambda: [][0]); app()"
UNITS = {
    "ascii": ["+/-", "-0.5"],
    "latin-1": ["\N{PLUS-MINUS SIGN}", "-0.5"],
    "utf-8": ["\N{PLUS-MINUS SIGN}", "\N{MINUS SIGN}0.5"],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"), scales=["demo"])


def command(*arguments: str | bytes, code: str = ABLATE) -> list[str | bytes]:
    return [sys.executable, "-c", code, *arguments]


def environment(**values: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name[:3] not in ("LC_", "LAN")} | values


@pytest.mark.parametrize("encoding", UNITS)
def test_every_encoding_takes_what_a_comparison_prints(results: Path, tmp_path: Path, encoding: str) -> None:
    text = (results / "runs.csv").read_text(encoding="utf-8")
    other = tmp_path / "other"
    other.mkdir()
    for path in results.iterdir():
        if path.is_file():
            (other / path.name).write_bytes(path.read_bytes())
    rows = [line.split(",") for line in text.splitlines()]
    for row in rows[1:]:
        row[7] = repr(float(row[7]) - 0.5) if row[6] == "linear_top1" and row[7] else row[7]
    (other / "runs.csv").write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")

    done = subprocess.run(
        command("diff", str(results), str(other)),
        env=environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0"),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    for words in UNITS[encoding]:
        assert words in done.stdout.decode(encoding)


def test_a_locale_without_utf_8_and_a_name_that_is_no_text() -> None:
    plain = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    listed = subprocess.run(command("list"), env=plain, capture_output=True, check=False)
    wrong = subprocess.run(
        command("plan", b"\xff/x.yaml", "--scale", "demo"), env=plain, capture_output=True, check=False
    )

    assert (listed.returncode, listed.stderr) == (0, b"")
    assert (wrong.returncode, wrong.stderr) == (2, b"error: \\udcff/x.yaml: no such file\n")


def test_an_error_of_the_program_is_no_flipped_verdict() -> None:
    done = subprocess.run(command("bug", code=BUG), capture_output=True, check=False, text=True)

    assert done.returncode == 2
    assert "IndexError" in done.stderr.splitlines()[-1]


def test_a_reader_that_goes_away_is_no_answer() -> None:
    with subprocess.Popen(command("list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()

    assert (process.returncode, told) == (141, b"")
