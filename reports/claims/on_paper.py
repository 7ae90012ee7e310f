"""A claim on the paper's own numbers: does it hold as printed or as read off a plot, and is that beyond their noise?"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from reports.claims.evidence import printed_evidence
from reports.claims.kinds import KINDS, metrics_of
from reports.read.papers import PAPER_DIR, read_off

HOLDS, FAILS, NOT_PRINTED, NO_TRIAL = "holds", "fails", "not printed", "no trial"


@dataclass(frozen=True)
class Trial:
    """What the paper's numbers say of its claim.

    ``low`` and ``high``: 95 % band of the known noise of single runs and of reading numbers off a plot, infinite where
    the noise is not known. Single numbers have no interval of their own, so the words are never those of a verdict:
    ``holds as printed``, or ``holds, read off the plot (±0.3)`` if any of the numbers was.
    """

    words: str
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    comparison: str = ""
    detail: str = ""


@cache
def noise_sd(paper: str) -> float:
    """The seed noise of a paper's numbers, in points: the deviation in seed_noise.csv, NaN if there is none."""
    with (PAPER_DIR / "seed_noise.csv").open(encoding="utf-8", newline="") as file:
        found = [float(row["std"]) for row in csv.DictReader(file) if row["paper"] == paper and row["std"]]
    return found[0] if found else math.nan


def put_on_trial(
    claim: Mapping[str, Any], paper: pd.DataFrame | None, *, axes: Sequence[str], metric: str, noise: float
) -> Trial:
    """The claim on the paper's cells, whatever levels our scale has, by the ``noise_sd`` of the paper.

    ``paper``: axes, metric, value, reading_error.
    """
    if claim["kind"] == "rank_agreement":
        return Trial(NO_TRIAL, detail="the paper agrees with itself")
    if claim.get("not_printed") or paper is None or paper.empty:
        return Trial(NOT_PRINTED)
    used = metrics_of(claim, metric)
    evidence = printed_evidence(paper, axes, used, noise if used[0].endswith("_top1") else math.nan)
    selectors = [claim[key] for key in ("group", "than", "within", "from", "to") if key in claim]
    if not all(evidence.select(selector) for selector in selectors):
        return Trial(NOT_PRINTED)
    if "along" in claim:
        levels = {evidence.levels[cell][claim["along"]] for cell in evidence.select(claim.get("within", {}))} - {""}
        if len(levels) < (3 if claim["kind"] == "interior_optimum" else 2):
            return Trial(NOT_PRINTED)
    question = KINDS[claim["kind"]](claim, evidence, used[0])
    comparisons = [one for candidate in question.candidates for one in candidate]
    if not comparisons or any(math.isnan(float(one.effect.estimate)) for one in comparisons):
        return Trial(NOT_PRINTED)
    shown = question.binding()
    low, high = sorted(shown.sign * float(bound) for bound in shown.effect.interval())
    words = HOLDS if question.decision().as_estimated else FAILS
    read = read_off(evidence.reading_errors[metric][cell] for metric in used for cell in question.cells)
    detail = question.text.partition(", ")[0] if len(comparisons) > 1 else ""
    if low < shown.sign * shown.margin < high and math.isfinite(low):
        detail += ("; " if detail else "") + f"within the known seed noise{' and the reading error' if read else ''}"
    words += f", {read}" if read else " as printed"
    return Trial(words, shown.sign * float(shown.effect.estimate), low, high, shown.name, detail)
