"""What a check reports: comparisons with their largest error, and parts that nothing of ours stands against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from parity.golden import Golden


@dataclass(frozen=True)
class Comparison:
    """``error`` is the largest absolute difference; ``share`` the largest one over what is allowed where it occurs."""

    what: str
    error: float
    tolerance: str
    share: float

    @property
    def passed(self) -> bool:
        """Whether every difference is within the tolerance; not a number is not."""
        return self.share <= 1


@dataclass(frozen=True)
class NotCovered:
    """A part of a file, or all of it, without a counterpart in this project."""

    what: str
    reason: str


Outcome = Comparison | NotCovered
Check = Callable[[Golden], Iterator[Outcome]]


def compare(what: str, ours: ArrayLike, theirs: ArrayLike, *, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
    """Elementwise |ours - theirs| against ``atol + rtol |theirs|``; different shapes differ without bound."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    tolerance = _in_words(rtol, atol)
    if a.shape != b.shape:
        return Comparison(f"{what}: shape {a.shape} for {b.shape}", math.inf, tolerance, math.inf)
    if not a.size:
        return Comparison(f"{what}: empty", math.nan, tolerance, math.nan)
    difference = np.abs(a - b)
    allowed = atol + rtol * np.abs(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(difference == 0, 0.0, difference / allowed)
    return Comparison(what, float(difference.max()), tolerance, float(share.max()))


def compare_scaled(what: str, ours: ArrayLike, theirs: ArrayLike, *, rtol: float) -> Comparison:
    """Errors relative to the largest entry: small entries are differences of large ones, and as inexact as these."""
    largest = float(np.abs(np.asarray(theirs, dtype=np.float64)).max(initial=0.0))
    comparison = compare(what, ours, theirs, atol=rtol * largest)
    return Comparison(comparison.what, comparison.error, f"{rtol:.0e} of the largest", comparison.share)


def _in_words(rtol: float, atol: float) -> str:
    parts = [f"{rtol:.0e} relative"] * bool(rtol) + [f"{atol:.0e}"] * bool(atol)
    return " + ".join(parts) or "exact"
