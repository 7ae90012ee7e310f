"""Means, t intervals and the verdict rule; the method and its sources stand in docs/statistics.md.

Samples lie along the last axis, (..., n), one number per seed, so that the same functions serve one claim and a
simulation of thousands. The seed is the unit of replication.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

ALPHA = 0.05
"""Error rate of each claim's verdict, one-sided, in either direction."""

CONFIDENCE = 0.95
"""Level of every interval that is shown, two-sided and unadjusted."""

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Effect:
    """An estimated mean or difference of means, (...), with what its t interval needs, (...) each.

    ``num_seeds`` is the smallest sample behind it; below two there are no bounds (they are infinite). Samples without
    any spread have a standard error of 0, and an interval of no width.
    """

    estimate: Floats
    standard_error: Floats
    degrees_of_freedom: Floats
    num_seeds: int

    def interval(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
        """The two-sided interval (low, high), each (...)."""
        half = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom) * self.standard_error
        return np.asarray(self.estimate - half), np.asarray(self.estimate + half)

    def split(self) -> list[Effect]:
        """An effect of shape (k,) as k single ones."""
        columns = zip(self.estimate, self.standard_error, self.degrees_of_freedom, strict=True)
        return [Effect(np.asarray(e), np.asarray(se), np.asarray(df), self.num_seeds) for e, se, df in columns]

    def exceeds(self, margin: float, alpha: float) -> Booleans:
        """Whether the one-sided lower bound at ``alpha`` lies above the margin, (...)."""
        return np.asarray(self.interval(1 - 2 * alpha)[0] > margin)

    def falls_short(self, margin: float, alpha: float) -> Booleans:
        """Whether the one-sided upper bound at ``alpha`` lies below the margin, (...)."""
        return np.asarray(self.interval(1 - 2 * alpha)[1] < margin)


@contextmanager
def _constant_samples() -> Iterator[None]:
    # Equal values are a result here (a collapsed run scores chance, exactly), and SciPy's bounds for them are right:
    # the point. Only its warning about precision and the 0/0 of the unused t statistic are in the way.
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        yield


def _mean(sample: Floats) -> Floats:
    return np.asarray(sample.mean(axis=-1)) if sample.shape[-1] else np.full(sample.shape[:-1], np.nan)


def _effect(estimate: Floats, num_seeds: int, test: Any) -> Effect:
    """From SciPy's result of a t test; None, for too few seeds, is an infinite standard error."""
    if test is None:
        infinite = np.full_like(estimate, np.inf)
        return Effect(estimate, infinite, np.ones_like(estimate), num_seeds)
    found = test.confidence_interval(CONFIDENCE)
    half = (np.asarray(found.high) - np.asarray(found.low)) / 2
    df = np.broadcast_to(np.asarray(test.df, dtype=float), half.shape)
    return Effect(estimate, half / stats.t.ppf((1 + CONFIDENCE) / 2, df), df, num_seeds)


def one_sample(values: ArrayLike) -> Effect:
    """The mean of samples (..., n) with its t interval (Student 1908)."""
    sample = np.asarray(values, dtype=float)
    num_seeds = sample.shape[-1]
    if num_seeds < 2:
        return _effect(_mean(sample), num_seeds, None)
    with _constant_samples():
        return _effect(_mean(sample), num_seeds, stats.ttest_1samp(sample, 0.0, axis=-1))


def difference(group: ArrayLike, than: ArrayLike, *, paired: bool = False) -> Effect:
    """Mean of ``group`` (..., n) minus mean of ``than`` (..., m): Welch (1947), or seed by seed if ``paired``."""
    first, second = np.asarray(group, dtype=float), np.asarray(than, dtype=float)
    if paired:
        return one_sample(first - second)
    num_seeds = min(first.shape[-1], second.shape[-1])
    estimate = np.asarray(_mean(first) - _mean(second))
    if num_seeds < 2:
        return _effect(estimate, num_seeds, None)
    with _constant_samples():
        return _effect(estimate, num_seeds, stats.ttest_ind(first, second, axis=-1, equal_var=False))


@dataclass(frozen=True)
class Decision:
    """What the rule says of one claim, or of many simulated ones, (...); neither is undecided, both never happens."""

    supported: Booleans
    contradicted: Booleans


def conjunction(effects: Sequence[Effect], margins: Sequence[float], alpha: float = ALPHA) -> Decision:
    """Every effect exceeds its margin.

    Supported if each does at ``alpha``: an intersection-union test, which needs no correction (Berger 1982).
    Contradicted if some effect falls short at ``alpha`` over their number (Bonferroni).
    """
    pairs = list(zip(effects, margins, strict=True))
    return Decision(
        supported=np.all([effect.exceeds(margin, alpha) for effect, margin in pairs], axis=0),
        contradicted=np.any([effect.falls_short(margin, alpha / len(pairs)) for effect, margin in pairs], axis=0),
    )


def some_conjunction(candidates: Sequence[Sequence[Effect]], margin: float, alpha: float = ALPHA) -> Decision:
    """Some candidate exceeds the margin in all its effects.

    Supported if a candidate's conjunction holds at ``alpha`` over the number of candidates (Bonferroni). Contradicted
    if every candidate's conjunction is contradicted at ``alpha``: an intersection-union test over the candidates.
    """
    decisions = [conjunction(effects, [margin] * len(effects), alpha / len(candidates)) for effects in candidates]
    against = [conjunction(effects, [margin] * len(effects), alpha) for effects in candidates]
    return Decision(
        supported=np.any([decision.supported for decision in decisions], axis=0),
        contradicted=np.all([decision.contradicted for decision in against], axis=0),
    )


def summarise(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean and 95 % t interval of ``value`` over the rows (seeds) of each group of the columns ``by``.

    Adds ``mean``, ``half_width``, ``low``, ``high``, ``n``; missing values do not count, and below two the interval
    is missing. Groups keep the order of their first row.
    """
    table = frame.groupby(list(by), sort=False, dropna=False)[value].agg(mean="mean", sem="sem", n="count")
    table["half_width"] = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(table["n"] - 1, 1)) * table.pop("sem")
    table["low"], table["high"] = table["mean"] - table["half_width"], table["mean"] + table["half_width"]
    return table.reset_index()[[*by, "mean", "half_width", "low", "high", "n"]]
