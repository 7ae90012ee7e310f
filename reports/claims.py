"""From a claim and the measured cells to a verdict. The rule itself is in reports/stats.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports.evidence import gather
from reports.kinds import KINDS
from reports.metrics import quantity

VERDICTS = ("supported", "contradicted", "undecided", "not testable here")


@dataclass(frozen=True)
class Verdict:
    """A claim and what the runs say of it.

    ``estimate``, ``low`` and ``high`` (95 %, two-sided, unadjusted) belong to the comparison that ``comparison``
    names: of several, the one on which the claim stands or falls. ``margin`` is what the estimate has to exceed, or
    to stay under where ``wants_below``. ``paper_estimate`` is the same contrast of the paper's printed numbers, NaN
    where they do not give it. ``comparisons`` has every comparison made: comparison, estimate, low, high, margin, n.
    """

    id: str
    says: str
    locus: str
    verdict: str
    metric: str
    comparison: str
    estimate: float
    low: float
    high: float
    n: int
    margin: float
    detail: str
    paper_estimate: float = math.nan
    wants_below: bool = False
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def unit(self) -> str:
        """The unit of estimate and margin; empty for a pure number."""
        return quantity(self.metric).difference_unit

    @property
    def signed(self) -> bool:
        """Whether the estimate is a difference, and so reads best with its sign."""
        return not self.wants_below


def decide(
    claim: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    axes: Sequence[str],
    metric: str,
    scale: str,
    paper: pd.DataFrame | None = None,
) -> Verdict:
    """The verdict on a checked claim.

    ``frame`` has one row per planned run and metric: ``FRAME_COLUMNS`` and the axes, NaN where a value is missing;
    ``metric`` is the grid's; ``paper`` has the paper's cells: axes, metric, value. One seed, or a missing run, leaves
    the claim undecided.
    """
    head = {"id": claim["id"], "says": claim["says"], "locus": claim["locus"]}
    metric = claim.get("metric", "z_std_ratio" if claim["kind"] == "collapse" else metric)
    if reason := claim.get("not_testable", {}).get(scale):
        return Verdict(
            **head,
            verdict=VERDICTS[3],
            metric=metric,
            comparison="",
            estimate=math.nan,
            low=math.nan,
            high=math.nan,
            n=0,
            margin=float(claim.get("margin", 0.0)),
            detail=str(reason),
        )
    used = [metric, "final_loss"] if claim["kind"] == "collapse" else [metric]
    evidence, missing = gather(claim, frame, list(axes), used, paper)
    judgement = KINDS[claim["kind"]](claim, evidence, metric)
    row = judgement.comparisons.iloc[judgement.binding]
    notes = [judgement.text]
    if missing:
        notes.append(missing)
    elif row["n"] < 2:
        notes.append("one seed shows no uncertainty")
    elif row["low"] == row["high"]:
        notes.append(f"all {row['n']} seeds gave the same value, so the interval has no width")
    decided = judgement.decision
    verdict = VERDICTS[0] if decided.supported else VERDICTS[1] if decided.contradicted else VERDICTS[2]
    return Verdict(
        **head,
        verdict=VERDICTS[2] if missing else verdict,
        metric=metric,
        comparison=str(row["comparison"]),
        estimate=float(row["estimate"]),
        low=float(row["low"]),
        high=float(row["high"]),
        n=int(row["n"]),
        margin=float(row["margin"]),
        detail="; ".join(notes),
        paper_estimate=judgement.paper_estimate,
        wants_below=judgement.wants_below,
        comparisons=judgement.comparisons,
    )
