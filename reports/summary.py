"""A results folder as one page of Markdown, for a repository that keeps its results: every claim and its verdict.

    python -m reports.summary docs/results/mini

writes ``README.md`` into the folder; the HTML report says more.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reports.claims.verdicts import VERDICTS, Verdict
from reports.inputs import GridResult, InputError, load_results
from reports.metrics import number, paper_name
from reports.page.render import band


def summary(results: Sequence[GridResult]) -> str:
    """Counts of verdicts, then for each grid its question, its runs and a table of its claims."""
    judged = [(result, result.verdicts) for result in results]
    counts = Counter(verdict.verdict for _, verdicts in judged for verdict in verdicts)
    told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS)
    parts = ["# Verdicts", f"{sum(counts.values())} claims of {len(results)} grids: {told}."]
    parts.append(
        "Effects with their 95 % intervals over seeds, unadjusted; verdicts are adjusted for the claims of their grid"
        " and for planned looks. Further seeds would decide with a probability of 80 % if the estimates were the truth."
        " Of several comparisons, the one on which the claim stands or falls is shown."
        " The paper's own numbers have the 95 % band of their known seed noise and of the reading error."
    )
    for result, verdicts in judged:
        spec = result.spec
        states = Counter(run["state"] for cell in spec["cells"] for run in cell["runs"])
        runs = ", ".join(f"{count} {state}" for state, count in states.items())
        paper = f"{paper_name(spec['paper']['key'])}, {spec['paper']['locus']}"
        parts += [
            f"## {_cell(spec['title'])}, scale {result.scale}",
            f"{_cell(spec['question'])} ({_cell(paper)}; runs: {runs})",
            "| verdict | claim | effect | seeds | the paper's own numbers |\n| --- | --- | --- | --- | --- |"
            + "".join(f"\n{_row(verdict)}" for verdict in verdicts),
        ]
    return "\n\n".join(parts) + "\n"


def _row(verdict: Verdict) -> str:
    decimals, sign, unit = verdict.decimals, verdict.signed, f" {verdict.unit}".rstrip()
    effect, seeds, printed = "–", "–", verdict.trial.words
    if verdict.comparison:
        estimate, low, high = (number(v, decimals, sign=sign) for v in (verdict.estimate, verdict.low, verdict.high))
        bound = f"{'<' if verdict.wants_below else '>'} {number(verdict.margin, decimals)}"
        effect = f"{estimate} [{low}, {high}]{unit}, to be {bound}; {_cell(verdict.comparison)}"
        seeds = f"{verdict.n}; {verdict.outlook}" if verdict.outlook else str(verdict.n)
    if verdict.trial.comparison:
        printed += f": {number(verdict.trial.estimate, decimals, sign=sign)} {band(verdict)}".rstrip() + unit
    claim = _cell(f"{verdict.id}: {verdict.says}")
    return f"| {verdict.verdict} | {claim} | {effect} | {seeds} | {printed} |"


def _cell(text: str) -> str:
    """A text that no Markdown is read into."""
    return "".join(f"\\{sign}" if sign in "\\|*_`<[" else sign for sign in " ".join(text.split()))


def main() -> None:
    """Write the page beside the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a folder that `ablate collect` wrote")
    folder = parser.parse_args().results
    try:
        text = summary(load_results(folder))
    except InputError as error:
        sys.exit("\n".join(error.problems))
    (folder / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
