"""The Markdown page of verdicts: every claim, its numbers, and nothing that a claim's words could break."""

from __future__ import annotations

import json
from pathlib import Path

from fake_results import write_results

from reports.claims.verdicts import VERDICTS
from reports.inputs import load_results
from reports.metrics import number
from reports.summary import summary


def test_every_claim_has_its_row_with_the_verdicts_numbers(tmp_path: Path) -> None:
    write_results(tmp_path)
    results = load_results(tmp_path)
    text = summary(results)
    rows = [line for line in text.splitlines() if line.startswith(tuple(f"| {name} |" for name in VERDICTS))]
    verdicts = [verdict for result in results for verdict in result.verdicts]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [verdict.verdict for verdict in verdicts]
    for row, verdict in zip(rows, verdicts, strict=True):
        assert f"| {verdict.id}: {verdict.says} |" in row
        if verdict.comparison:
            assert f"| {number(verdict.estimate, verdict.decimals, sign=verdict.signed)} [" in row
            assert f"| {verdict.n}{f'; {verdict.outlook}' if verdict.verdict == 'undecided' else ''} |" in row
    for name in VERDICTS:
        assert f"{sum(verdict.verdict == name for verdict in verdicts)} {name}" in text


def test_a_claims_words_stay_words(tmp_path: Path) -> None:
    write_results(tmp_path)
    path = next(tmp_path.glob("*.demo.json"))
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["claims"][0]["says"] = "a | b\n# <script> [x](y) `z`"
    path.write_text(json.dumps(spec), encoding="utf-8")
    assert r": a \| b # \<script> \[x](y) \`z\` |" in summary(load_results(tmp_path))
