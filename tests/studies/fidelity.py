"""Writes the generated parts of docs/fidelity.md, each between a pair of marks: ``nox -s fidelity``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import killed_runs
import two_processes
from parity.checks import golden_files, outcomes_of
from parity.comparison import Comparison, NotCovered, Outcome
from toy import write_toy

from ablations.readme.generated import replaced

DOCUMENT = Path(__file__).parents[2] / "docs" / "fidelity.md"
GOLDEN = Path(__file__).parents[1] / "golden"
NUM_KILLS = 100


def main() -> None:
    """Compare, train and kill anew, then write all three tables."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = write_toy(Path(folder) / "data")
        tally = killed_runs.kill_and_resume(Path(folder) / "runs", runtime, NUM_KILLS)
    parts = {
        "golden": golden_cases({path.stem: outcomes_of(path) for path in golden_files(GOLDEN)}),
        "processes": two_processes.markdown(),
        "resume": killed_runs.markdown(tally),
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, table in parts.items():
        text = replaced(text, name, "fidelity", table)
    DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {DOCUMENT}\n")


def golden_cases(cases: dict[str, list[Outcome]]) -> str:
    """A row for each file, with the comparison that takes most of its tolerance; then what is not covered."""
    lines = ["| case | comparisons | the nearest to its tolerance | its error | tolerance | verdict |"]
    lines.append("| --- | ---: | --- | ---: | ---: | --- |")
    rest = ["", "Not covered:", "", "| case | part | reason |", "| --- | --- | --- |"]
    for case, outcomes in cases.items():
        compared = [one for one in outcomes if isinstance(one, Comparison)]
        if compared:
            worst = max(compared, key=lambda one: (one.share, one.error))
            verdict = "pass" if all(one.passed for one in compared) else "**FAIL**"
            numbers = f"{worst.error:.1e} | {worst.tolerance} | {verdict}"
            lines.append(f"| `{case}` | {len(compared)} | {worst.what} | {numbers} |")
        rest += [f"| `{case}` | {one.what} | {one.reason} |" for one in outcomes if isinstance(one, NotCovered)]
    return "\n".join([*lines, *(rest if len(rest) > 5 else [])])


if __name__ == "__main__":
    main()
