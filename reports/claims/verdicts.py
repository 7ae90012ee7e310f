"""From the claims of a grid and its measured cells to verdicts. The rule itself is in reports/claims/rule.py."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports.claims.claim_checks import PAPER_SCALES
from reports.claims.comparisons import Question
from reports.claims.evidence import gather, missing_text
from reports.claims.kinds import KINDS, metrics_of
from reports.claims.more_seeds import further_seeds
from reports.claims.on_paper import Trial, put_on_trial
from reports.claims.rule import LOOKS, Decision, over_looks, settle
from reports.claims.stats import ALPHA
from reports.metrics import quantity

VERDICTS = ("supported", "contradicted", "undecided", "not testable here")
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTABLE = VERDICTS

_PER_SCALE = ("margin", "rho", "threshold", "loss_below", "loss_above")


@dataclass(frozen=True)
class Verdict:
    """A claim and what the runs say of it.

    ``estimate``, ``low`` and ``high`` (95 %, two-sided, unadjusted) belong to the comparison that ``comparison``
    names: of several, the one on which the claim stands or falls. ``margin`` is what the estimate has to exceed, or
    to stay under where ``wants_below``. ``n`` is the smallest number of seeds behind it. ``p_supported`` and
    ``p_contradicted`` are the p-values of the claim alone, looks included; ``adjusted`` is the one of the verdict's
    direction after Holm's correction over the grid's claims. ``further_seeds`` would probably decide an undecided claim
    if its estimates were the truth; ``outlook`` says so, or why there is no such number. ``trial`` is the same claim on
    the paper's own numbers. ``cells`` are the cells it rests on; ``missing`` says that runs of them have no value.
    ``question`` is all that was compared. ``look`` is the number of seeds at the look that the claim is shown at, 0
    without looks or before the first.
    ``comparisons`` has every comparison made: comparison, estimate, low, high, margin, n, metric.
    """

    id: str
    says: str
    locus: str
    verdict: str
    metric: str
    trial: Trial
    comparison: str = ""
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    margin: float = 0.0
    detail: str = ""
    wants_below: bool = False
    pure: bool = False
    p_supported: float = 1.0
    p_contradicted: float = 1.0
    adjusted: float = 1.0
    further_seeds: int | None = None
    outlook: str = ""
    question: Question | None = None
    missing: bool = False
    look: int = 0
    cells: tuple[str, ...] = ()
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def unit(self) -> str:
        """The unit of estimate and margin; empty for a pure number."""
        return "" if self.pure else quantity(self.metric).difference_unit

    @property
    def decimals(self) -> int:
        """With how many decimals estimate and margin are read."""
        return 2 if self.pure else quantity(self.metric).decimals

    @property
    def signed(self) -> bool:
        """Whether the estimate is a difference, and so reads best with its sign."""
        return not (self.wants_below or self.pure)


def at_scale(claim: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """The claim with the numbers of one scale where it gives one a scale."""
    return {
        key: value[scale] if key in _PER_SCALE and isinstance(value, Mapping) else value for key, value in claim.items()
    }


def as_printed(claim: Mapping[str, Any]) -> dict[str, Any]:
    """The claim with the numbers of the paper's own scale: ``imagenet``, or ``cifar10`` where there is no other."""
    meant = dict(claim)
    for key in _PER_SCALE:
        if isinstance(value := claim.get(key), Mapping):
            meant[key] = next((value[scale] for scale in PAPER_SCALES if scale in value), 0.0)
    return meant


def judge(
    claims: Sequence[Mapping[str, Any]],
    frame: pd.DataFrame,
    *,
    axes: Sequence[str],
    metric: str,
    scale: str,
    paper: pd.DataFrame | None = None,
    noise: float = math.nan,
    looks: bool = False,
) -> list[Verdict]:
    """The verdicts on a grid's checked claims, corrected over them as one fixed family (Holm 1979).

    ``frame`` has one row per planned run and metric: ``FRAME_COLUMNS`` and the axes, NaN where a value is missing;
    ``metric`` is the grid's; ``paper`` has the paper's cells: axes, metric, value, reading_error; ``noise`` is their
    known seed noise, in points.
    With ``looks`` the claims are judged after 3, 5, 8 and 12 seeds, and each verdict pays for all four: a claim is
    shown as it stood when it was decided, or at its last look, whatever seeds its cells have beyond that. Claims that
    the scale cannot test are no part of the family; decided ones stay in it. "Supported" and "contradicted" are two
    families: neither errs more often than ``ALPHA``.
    """
    paths = [
        _after_looks(claim, frame, axes=axes, metric=metric, scale=scale, paper=paper, noise=noise, looks=looks)
        for claim in claims
    ]
    verdicts = [path[-1] for path in paths]
    family = [index for index, verdict in enumerate(verdicts) if verdict.verdict != NOT_TESTABLE]
    settled = settle([[(each.p_supported, each.p_contradicted) for each in paths[index]] for index in family])
    for index, found in zip(family, settled, strict=True):
        p_for, p_against = found.p_supported, found.p_contradicted
        words = SUPPORTED if p_for < min(ALPHA, p_against) else CONTRADICTED if p_against < ALPHA else UNDECIDED
        verdict = paths[index][found.place]
        verdicts[index] = dataclasses.replace(verdict, verdict=words, adjusted=min(p_for, p_against))
    told = [verdicts[index].verdict for index in family]
    # Holm's next step in either direction, if the other claims stay as they are.
    rest = len(family) - told.count(SUPPORTED), len(family) - told.count(CONTRADICTED)
    return [_with_outlook(verdict, rest, looks=looks) for verdict in verdicts]


def _with_outlook(verdict: Verdict, family: tuple[int, int], *, looks: bool) -> Verdict:
    if verdict.verdict != UNDECIDED or verdict.missing or verdict.question is None:
        return verdict
    number, words = further_seeds(verdict.question.candidates, family, look=verdict.look if looks else None)
    return dataclasses.replace(verdict, further_seeds=number, outlook=words)


def decide(
    claim: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    axes: Sequence[str],
    metric: str,
    scale: str,
    paper: pd.DataFrame | None = None,
    noise: float = math.nan,
    looks: bool = False,
) -> Verdict:
    """The verdict on one checked claim as if it stood alone; parameters as for ``judge``.

    One seed, or a missing run, leaves the claim undecided.
    """
    return _after_looks(claim, frame, axes=axes, metric=metric, scale=scale, paper=paper, noise=noise, looks=looks)[-1]


def _after_looks(
    claim: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    axes: Sequence[str],
    metric: str,
    scale: str,
    paper: pd.DataFrame | None,
    noise: float,
    looks: bool,
) -> list[Verdict]:
    """A claim as it stands alone after each of its looks, from the seeds up to that look and no other.

    One verdict, from all seeds, without looks or before the first; a look is there once every cell of the claim has
    its first 3, 5, ... seeds.
    """
    trial = put_on_trial(as_printed(claim), paper, axes=axes, metric=metric, noise=noise)
    used = metrics_of(claim, metric)
    head = {"id": claim["id"], "says": claim["says"], "locus": claim["locus"], "metric": used[0], "trial": trial}
    if reason := claim.get("not_testable", {}).get(scale):
        return [Verdict(**head, verdict=NOT_TESTABLE, detail=str(reason))]
    claim = at_scale(claim, scale)
    evidence = gather(frame, axes, used, paper)
    ask = KINDS[claim["kind"]]
    question = ask(claim, evidence, used[0])
    by_outcome = claim["kind"] == "diverges"
    missing = missing_text(frame, question.cells, used, ended=by_outcome)
    if not looks:
        return [_verdict(head, question, question.decision(), missing)]
    done = [look for look in LOOKS if look <= evidence.num_complete(question.cells, ended=by_outcome)]
    if not done:
        early = missing or f"the first look is after {LOOKS[0]} seeds"
        return [_verdict(head, question, question.decision(), early)]
    questions = [ask(claim, evidence.first(look), used[0]) for look in done]
    decisions = [each.decision() for each in questions]
    return [
        _verdict(head, each, over_looks(decisions[: place + 1]), "", done[place])
        for place, each in enumerate(questions)
    ]


def _verdict(head: dict[str, Any], question: Question, decision: Decision, missing: str, look: int = 0) -> Verdict:
    table, shown = _table(question, str(head["metric"])), question.binding()
    low, high = sorted(shown.sign * float(bound) for bound in shown.effect.interval())
    num_seeds = shown.effect.num_seeds
    notes = [question.text]
    if look:
        notes.append(f"at the look after {look} seeds")
    if missing:
        notes.append(missing)
    elif num_seeds < 2:
        notes.append("one seed shows no uncertainty")
    elif low == high:
        notes.append(f"all {num_seeds} seeds gave the same value, so the interval has no width")
    p_supported, p_contradicted = (
        (1.0, 1.0) if missing else (float(decision.p_supported), float(decision.p_contradicted))
    )
    return Verdict(
        **head,
        verdict=SUPPORTED if p_supported < ALPHA else CONTRADICTED if p_contradicted < ALPHA else UNDECIDED,
        comparison=shown.name,
        estimate=shown.sign * float(shown.effect.estimate),
        low=low,
        high=high,
        n=num_seeds,
        margin=shown.sign * shown.margin,
        detail="; ".join(notes),
        wants_below=shown.sign < 0,
        pure=question.pure,
        p_supported=p_supported,
        p_contradicted=p_contradicted,
        adjusted=min(p_supported, p_contradicted),
        question=question,
        missing=bool(missing),
        look=look,
        cells=tuple(dict.fromkeys(question.cells)),
        comparisons=table,
    )


def _table(question: Question, metric: str) -> pd.DataFrame:
    rows = []
    for one in (one for candidate in question.candidates for one in candidate):
        low, high = sorted(one.sign * float(bound) for bound in one.effect.interval())
        found = {"estimate": one.sign * float(one.effect.estimate), "low": low, "high": high}
        rows.append(
            {
                "comparison": one.name,
                **found,
                "margin": one.sign * one.margin,
                "n": one.effect.num_seeds,
                "metric": one.metric or metric,
            }
        )
    return pd.DataFrame(rows)
