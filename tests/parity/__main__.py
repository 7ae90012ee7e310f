"""``python -m parity [FOLDER]``: prints the comparisons of a folder of golden files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from parity.checks import golden_files, outcomes_of
from parity.comparison import Comparison, NotCovered, Outcome
from parity.golden import GoldenError

DEFAULT_FOLDER = Path(__file__).parents[1] / "golden"
PLAIN_WIDTH = 150  # where there is no terminal to fit into


def main() -> int:
    """0: every comparison within its tolerance; 1: one beyond; 2: files that cannot be compared, or nothing to do."""
    parser = argparse.ArgumentParser(prog="parity", description="Compare this project with its originals' numbers.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="golden files (tests/golden)")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    problems: list[str] = []
    cases: dict[str, list[Outcome]] = {}
    try:
        for path in golden_files(arguments.folder):
            try:
                cases[path.stem] = outcomes_of(path)
            except GoldenError as error:
                problems.append(str(error))
    except GoldenError as error:
        problems.append(str(error))
    compared = [one for outcomes in cases.values() for one in outcomes if isinstance(one, Comparison)]
    beyond = [one for one in compared if not one.passed]
    if cases:
        console.print(_table(cases))
    if any(isinstance(one, NotCovered) for outcomes in cases.values() for one in outcomes):
        console.print(_not_covered(cases))
    if not compared and not problems:
        problems.append(f"{arguments.folder}: none of its files is of a family that is covered")
    for problem in problems:
        console.print(f"[bold red]cannot compare[/] {escape(problem)}", soft_wrap=True)
    console.print(
        f"{len(compared)} comparisons of {len(cases)} files: {len(compared) - len(beyond)} within tolerance,"
        f" {len(beyond)} beyond; {len(problems)} problems"
    )
    return 2 if problems else int(bool(beyond))


def _table(cases: dict[str, list[Outcome]]) -> Table:
    table = Table("case", "compared", title="Parity with the original code")
    for name in ("largest error", "tolerance"):
        table.add_column(name, justify="right")
    table.add_column("")
    for case, outcomes in cases.items():
        for one in outcomes:
            if isinstance(one, Comparison):
                verdict = "[green]pass[/]" if one.passed else "[bold red]FAIL[/]"
                table.add_row(escape(case), escape(one.what), f"{one.error:.1e}", one.tolerance, verdict)
    return table


def _not_covered(cases: dict[str, list[Outcome]]) -> Table:
    table = Table("case", "part", "reason", title="Not covered")
    for case, outcomes in cases.items():
        for one in outcomes:
            if isinstance(one, NotCovered):
                table.add_row(escape(case), escape(one.what), escape(one.reason))
    return table


if __name__ == "__main__":
    sys.exit(main())
