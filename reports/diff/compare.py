"""Two results compared: which verdicts flipped, and which cells moved by more than the noise of their seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from reports.claims.rule import holm
from reports.claims.stats import ALPHA, Floats, difference, one_sample
from reports.claims.verdicts import CONTRADICTED, SUPPORTED
from reports.diff.snapshot import CellState, ClaimState, GridState, read_side
from reports.errors import InputError
from reports.metrics import Quantity, number, quantity
from reports.page.render import page
from reports.page.tables import mean_text

ENOUGH = 8
"""Seeds on both sides from which on ranks are compared: with 8 against 8 the smallest p-value is 0.00016, which is
below 5 % after Holm's correction over 300 cells. With three against three it is 0.1, and no cell could ever move."""

Key = TypeVar("Key")

SAME, NOISE, MOVED, UNTESTED, ONE_SIDED = "=", "~", "moved", "?", "only"


@dataclass(frozen=True)
class ClaimDiff:
    """A claim on both sides; None where a side does not have it."""

    was: ClaimState | None
    now: ClaimState | None

    @property
    def claim(self) -> ClaimState:
        """The claim as the later side has it, or else as the earlier had."""
        found = self.now or self.was
        assert found is not None
        return found

    @property
    def kind(self) -> str:
        """``flipped``, ``decided``, ``lost``, ``changed``, ``same``, ``new`` or ``gone``.

        Only where both sides have decided, and otherwise, has the verdict flipped. More seeds decide what was
        undecided, fewer lose it again; ``changed`` has no decision on either side, as from undecided to not testable.
        """
        if self.was is None or self.now is None:
            return "new" if self.was is None else "gone"
        if self.was.verdict == self.now.verdict:
            return "same"
        before, after = (side.verdict in (SUPPORTED, CONTRADICTED) for side in (self.was, self.now))
        kinds = {(True, True): "flipped", (False, True): "decided", (True, False): "lost", (False, False): "changed"}
        return kinds[before, after]

    @property
    def asked_otherwise(self) -> str:
        """How the claim itself differs between the sides, such as ``margin 0.5, was 0.0``; empty if it does not."""
        if self.was is None or self.now is None:
            return ""
        parts = [f"metric {self.now.metric}, was {self.was.metric}"] if self.now.metric != self.was.metric else []
        if self.now.margin != self.was.margin and not math.isnan(self.now.margin - self.was.margin):
            margins = (number(side.margin, self.claim.decimals) for side in (self.now, self.was))
            parts.append("margin {}, was {}".format(*margins))
        return "; ".join(parts)


@dataclass(frozen=True)
class CellDiff:
    """A cell on both sides. ``p`` is after Holm's correction over the grid's cells, NaN where nothing is tested."""

    was: CellState | None
    now: CellState | None
    mark: str
    test: str = ""
    p: float = math.nan

    @property
    def name(self) -> str:
        """The cell's name."""
        found = self.now or self.was
        assert found is not None
        return found.name

    @property
    def difference(self) -> float:
        """Mean of the later side minus mean of the earlier; NaN where a side has none."""
        if self.was is None or self.now is None or not (self.was.values and self.now.values):
            return math.nan
        return float(np.mean(list(self.now.values.values())) - np.mean(list(self.was.values.values())))

    @property
    def other_settings(self) -> bool:
        """Whether the cell has another configuration on the other side."""
        return self.was is not None and self.now is not None and self.was.cell_id != self.now.cell_id

    @property
    def num_rerun(self) -> int:
        """Runs that both sides have under one id, with different values."""
        if self.was is None or self.now is None:
            return 0
        return sum(value != self.now.values.get(run, value) for run, value in self.was.values.items())


@dataclass(frozen=True)
class GridDiff:
    """One grid at one scale on both sides, by slug; claims and cells in the later side's order, lost ones last."""

    slug: str
    title: str
    metric: str
    claims: list[ClaimDiff]
    cells: list[CellDiff]

    @property
    def shown(self) -> Quantity:
        """The metric for reading."""
        return quantity(self.metric)

    def claims_of(self, *kinds: str) -> list[ClaimDiff]:
        """The claims of these kinds."""
        return [claim for claim in self.claims if claim.kind in kinds]

    def count(self, mark: str) -> int:
        """How many cells have a mark."""
        return sum(cell.mark == mark for cell in self.cells)

    @property
    def num_rerun(self) -> int:
        """Runs with one id and different values."""
        return sum(cell.num_rerun for cell in self.cells)

    def row(self, cell: CellDiff) -> list[str]:
        """A cell for reading: name, the earlier side, the later one, difference, p-value, mark, remarks."""
        decimals = self.shown.decimals
        p_text = "" if math.isnan(cell.p) else "< 0.001" if cell.p < 0.001 else number(cell.p, 3)
        remarks = [cell.test] if cell.test else []
        remarks += ["other settings"] if cell.other_settings else []
        remarks += [f"{cell.num_rerun} of the same id, other values"] if cell.num_rerun else []
        sides = [_side_text(side, decimals) for side in (cell.was, cell.now)]
        difference = "" if cell.mark == SAME else number(cell.difference, decimals, sign=True)
        return [cell.name, *sides, difference, p_text, cell.mark, ", ".join(remarks)]


@dataclass(frozen=True)
class Diff:
    """``before`` and ``after`` say what was compared; the slugs that one side alone has are no part of it."""

    before: str
    after: str
    grids: list[GridDiff]
    only_before: list[str]
    only_after: list[str]

    @property
    def num_flipped(self) -> int:
        """Verdicts that were decided on both sides, and differ."""
        return self.num_of("flipped")

    def num_of(self, kind: str) -> int:
        """Claims of a kind."""
        return sum(len(grid.claims_of(kind)) for grid in self.grids)

    @property
    def num_moved(self) -> int:
        """Cells that moved."""
        return sum(grid.count(MOVED) for grid in self.grids)

    @property
    def summary(self) -> str:
        """``1 verdict flipped, 3 newly decided, 2 of 50 cells moved``."""
        flipped, cells = self.num_flipped, sum(len(grid.cells) for grid in self.grids)
        verdicts = f"{flipped or 'no'} {'verdict' if flipped == 1 else 'verdicts'} flipped"
        counts = {"newly decided": self.num_of("decided"), "no longer decided": self.num_of("lost")}
        others = "".join(f", {count} {words}" for words, count in counts.items() if count)
        return f"{verdicts}{others}, {self.num_moved or 'none'} of {cells} cells moved"


def compare(before: Path, after: Path) -> Diff:
    """Compare two folders, each of results or of a report.

    Raises InputError with everything that is wrong in either, or if no grid is in both.
    """
    sides: list[dict[str, GridState]] = []
    problems: list[str] = []
    for path in (before, after):
        try:
            sides.append(read_side(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    was, now = sides
    if not was.keys() & now.keys():
        raise InputError([f"nothing to compare: {before} has {', '.join(was)}; {after} has {', '.join(now)}"])
    return Diff(
        str(before),
        str(after),
        [compare_grids(was[slug], now[slug]) for slug in now if slug in was],
        [slug for slug in was if slug not in now],
        [slug for slug in now if slug not in was],
    )


def compare_grids(was: GridState, now: GridState) -> GridDiff:
    """One grid on both sides. Cells of other metrics than the later side's are not tested against each other."""
    claims = [ClaimDiff(was.claims.get(name), now.claims.get(name)) for name in _all(now.claims, was.claims)]
    cells = [_compare_cells(was.cells.get(key), now.cells.get(key)) for key in _all(now.cells, was.cells)]
    if was.metric != now.metric:
        cells = [CellDiff(None, cell.now, UNTESTED, f"metric was {was.metric}") for cell in cells if cell.now]
    tested = [place for place, cell in enumerate(cells) if not math.isnan(cell.p)]
    for place, p in zip(tested, holm([cells[place].p for place in tested]), strict=True):
        cells[place] = dataclasses.replace(cells[place], p=p, mark=MOVED if p < ALPHA else NOISE)
    return GridDiff(now.slug, now.title, now.metric, claims, cells)


def _all(first: Mapping[Key, object], then: Mapping[Key, object]) -> list[Key]:
    return list(dict.fromkeys([*first, *then]))


def _compare_cells(was: CellState | None, now: CellState | None) -> CellDiff:
    if was is None or now is None:
        return CellDiff(was, now, ONE_SIDED)
    if was.values and dict(was.values) == dict(now.values):
        return CellDiff(was, now, SAME)
    if min(len(was.values), len(now.values)) < 2:
        return CellDiff(was, now, UNTESTED, "fewer than two seeds")
    test, p = shift_test(list(was.values.values()), list(now.values.values()))
    return CellDiff(was, now, NOISE, test, float(p))


def shift_test(was: ArrayLike, now: ArrayLike) -> tuple[str, Floats]:
    """A test's name and the two-sided p-value, (...), of "nothing moved" between samples (..., n) and (..., m).

    Of the first min(n, m) values of each, two or more: Mann and Whitney's test, exact without ties, from ``ENOUGH`` on;
    Welch's below that. With unequal numbers both find changes too often where the smaller sample is the noisier.
    """
    first, second = np.asarray(was, dtype=float), np.asarray(now, dtype=float)
    n = min(first.shape[-1], second.shape[-1])
    part = "" if first.shape[-1] == second.shape[-1] else f", first {n} of each"
    first, second = first[..., :n], second[..., :n]
    if n < ENOUGH:
        effect = difference(second, first)
        return f"Welch{part}", np.minimum(1.0, 2 * np.minimum(effect.p_above(0.0), effect.p_below(0.0)))
    ties = np.any(np.diff(np.sort(np.concatenate((first, second), axis=-1), axis=-1), axis=-1) == 0)
    with np.errstate(invalid="ignore"):
        found = stats.mannwhitneyu(first, second, axis=-1, method="asymptotic" if ties else "exact").pvalue
    return f"Mann-Whitney{part}", np.nan_to_num(found, nan=1.0)  # where all values are one


def _side_text(side: CellState | None, decimals: int) -> str:
    if side is None or not side.values:
        return "–"
    values = list(side.values.values())
    low, high = one_sample(values).interval()
    half = float(high - low) / 2
    text = mean_text(float(np.mean(values)), half if math.isfinite(half) else math.nan, decimals)
    return f"{text} ({len(values)})"


def diff_page(found: Diff) -> str:
    """The comparison as one HTML file, in the look of a report."""
    return page("diff.html", diff=found, same=SAME, noise=NOISE, moved=MOVED)
