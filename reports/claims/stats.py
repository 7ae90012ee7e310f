"""Means, contrasts and their t intervals; the method and its sources stand in docs/statistics.md.

Samples lie along the last axis, (..., n), one number per seed, so that the same functions serve one claim and a
simulation of thousands. The seed is the unit of replication.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

ALPHA = 0.05
"""Error rate of each claim's verdict, one-sided, in either direction."""

CONFIDENCE = 0.95
"""Level of every interval that is shown, two-sided and unadjusted."""

ROUNDING = 1e-10
"""What is smaller is nothing but rounding: metrics are hundreds at most, and their means and sums err by some 1e-13."""

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Effect:
    """An estimated mean or difference of means, (...), with what its t interval needs, (...) each.

    ``num_seeds`` is how many seeds of each sample are behind it; below two there are no bounds (they are infinite).
    Samples without any spread have a standard error of 0, and an interval of no width. ``samples`` are those behind it:
    (weight, values (..., num_seeds)) each.
    """

    estimate: Floats
    standard_error: Floats
    degrees_of_freedom: Floats
    num_seeds: int
    samples: tuple[tuple[float, Floats], ...] = field(default=(), compare=False)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
        """The two-sided interval (low, high), each (...)."""
        half = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom) * self.standard_error
        return np.asarray(self.estimate - half), np.asarray(self.estimate + half)

    def p_above(self, margin: float) -> Floats:
        """One-sided p-value of "the effect is at most the margin", (...); 1 where nothing can be said.

        Nothing can be said of an effect without any spread that stands at the margin, but for rounding.

        Below alpha exactly where the lower bound at alpha lies above the margin.
        """
        return self._p(self.estimate - margin)

    def p_below(self, margin: float) -> Floats:
        """One-sided p-value of "the effect is at least the margin", (...)."""
        return self._p(margin - self.estimate)

    def _p(self, excess: Floats) -> Floats:
        excess = np.where(np.abs(excess) < ROUNDING, 0.0, excess)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = stats.t.sf(excess / self.standard_error, self.degrees_of_freedom)
        return np.asarray(np.where(np.isnan(found) | np.isinf(self.standard_error), 1.0, found))


@dataclass(frozen=True)
class Proportion:
    """How often something happened in independent runs, by the exact binomial law; the interface of an Effect."""

    successes: int
    num_seeds: int

    @property
    def estimate(self) -> float:
        """The share of the runs in which it happened; NaN without runs."""
        return self.successes / self.num_seeds if self.num_seeds else math.nan

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The two-sided interval (low, high) of Clopper and Pearson."""
        if not self.num_seeds:
            return -math.inf, math.inf
        found = stats.binomtest(self.successes, self.num_seeds).proportion_ci(confidence)
        return float(found.low), float(found.high)

    def p_above(self, margin: float) -> Floats:
        """One-sided p-value of "it happens at most as often as ``margin``"."""
        return np.asarray(stats.binom.sf(self.successes - 1, self.num_seeds, margin))

    def p_below(self, margin: float) -> Floats:
        """One-sided p-value of "it happens at least as often as ``margin``"."""
        return np.asarray(stats.binom.cdf(self.successes, self.num_seeds, margin))


def _mean(sample: Floats) -> Floats:
    return np.asarray(sample.mean(axis=-1)) if sample.shape[-1] else np.full(sample.shape[:-1], np.nan)


def contrast(samples: Sequence[ArrayLike], weights: Sequence[float]) -> Effect:
    """The sum of weight times mean over independent samples (..., n_i), variances unequal (Satterthwaite 1946).

    Every sample enters with its first min(n_i) values. With unequal numbers the approximation of the degrees of freedom
    errs where the smallest sample is the noisiest: three values twice as noisy as ten others give a p-value below 0.001
    ten times as often as they should (docs/statistics.md).

    One sample with the weight 1 has Student's interval; two with 1 and -1 have Welch's, as SciPy computes it, in a
    thirtieth of the time, which counts where a claim makes hundreds of comparisons. For more, neither SciPy nor
    statsmodels has it.
    """
    arrays = [np.asarray(sample, dtype=float) for sample in samples]
    n = min(array.shape[-1] for array in arrays)
    arrays = [array[..., :n] for array in arrays]
    estimate = np.asarray(sum(weight * _mean(array) for weight, array in zip(weights, arrays, strict=True)))
    if n < 2:
        return Effect(estimate, np.full_like(estimate, np.inf), np.ones_like(estimate), n)
    # Rounding leaves equal values a variance: three times 0.1 have a mean of 0.10000000000000002.
    spreads = [array.var(axis=-1, ddof=1) for array in arrays]
    parts = [
        np.where(spread < ROUNDING**2, 0.0, weight**2 * spread / n)
        for weight, spread in zip(weights, spreads, strict=True)
    ]
    return satterthwaite(estimate, parts, n, tuple(zip(weights, arrays, strict=True)))


def satterthwaite(
    estimate: Floats, parts: Sequence[Floats], num_seeds: int, samples: tuple[tuple[float, Floats], ...] = ()
) -> Effect:
    """The effect (...) whose variance is the sum of ``parts`` (...), one of each sample of ``num_seeds`` seeds."""
    variance = np.asarray(sum(parts))
    with np.errstate(invalid="ignore"):
        df = (num_seeds - 1) * variance**2 / sum(part**2 for part in parts)
    return Effect(estimate, np.sqrt(variance), np.where(variance > 0, df, 1.0), num_seeds, samples)


def one_sample(values: ArrayLike) -> Effect:
    """The mean of samples (..., n) with its t interval (Student 1908)."""
    return contrast([values], [1.0])


def difference(group: ArrayLike, than: ArrayLike, *, paired: bool = False) -> Effect:
    """Mean of ``group`` (..., n) minus mean of ``than`` (..., m): Welch (1947), or seed by seed if ``paired``.

    Welch's is of the first min(n, m) seeds of each; see ``contrast``.
    """
    if paired:
        return one_sample(np.asarray(group, dtype=float) - np.asarray(than, dtype=float))
    return contrast([group, than], [1.0, -1.0])


def summarise(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean and 95 % t interval of ``value`` over the rows (seeds) of each group of the columns ``by``.

    Adds ``mean``, ``half_width``, ``low``, ``high``, ``n``; missing values do not count, and below two the interval
    is missing. Groups keep the order of their first row.
    """
    table = frame.groupby(list(by), sort=False, dropna=False)[value].agg(mean="mean", sem="sem", n="count")
    table["half_width"] = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(table["n"] - 1, 1)) * table.pop("sem")
    table["low"], table["high"] = table["mean"] - table["half_width"], table["mean"] + table["half_width"]
    return table.reset_index()[[*by, "mean", "half_width", "low", "high", "n"]]
