"""Ours over the paper's, a point a cell, and how far the ranks of the two agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from reports.claims.stats import Floats
from reports.figures.style import COLORS, REFERENCE, light_grid
from reports.metrics import number, quantity


@dataclass(frozen=True)
class Pair:
    """A cell in both: its levels on the two axes of a heatmap, our mean with its half-width, the paper's number."""

    row: str
    column: str
    ours: float
    half_width: float
    paper: float


def rank_agreement(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; NaN below three points or where a side is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.spearmanr(x, y).statistic)


def agreement(panel: Axes, pairs: Sequence[Pair], untrained: float, metric: str, *, alone: bool) -> None:
    """Fill a panel. ``alone``: both axes have the same levels, and cells with the same one twice look different."""
    shown = [pair for pair in pairs if not (math.isnan(pair.ours) or math.isnan(pair.paper))]
    x, y = np.array([pair.paper for pair in shown]), np.array([pair.ours for pair in shown])
    errors = np.nan_to_num([pair.half_width for pair in shown])
    single = np.array([alone and pair.row == pair.column for pair in shown], dtype=bool)
    for name, mask, marker, face in (("pair", ~single, "o", COLORS[0]), ("alone", single, "s", "white")):
        panel.errorbar(x[mask], y[mask], errors[mask], fmt="none", ecolor="#9db4c8", elinewidth=0.7, zorder=2)
        edge = REFERENCE if face == "white" else "white"
        panel.scatter(
            x[mask], y[mask], s=16, marker=marker, facecolor=face, edgecolor=edge, linewidth=0.9, zorder=3,
            label=name if alone else None,
        )  # fmt: skip
    if not math.isnan(untrained):
        panel.axhline(untrained, color=REFERENCE, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
        panel.annotate(
            "untrained", (1, untrained), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", color=REFERENCE, fontsize=7,
        )  # fmt: skip
    for pair, name in _names(shown).items():
        left = pair.paper > (x.min() + x.max()) / 2
        panel.annotate(
            name, (pair.paper, pair.ours), xytext=(-5 if left else 5, 3), textcoords="offset points",
            ha="right" if left else "left", fontsize=6.5,
        )  # fmt: skip
    rho = rank_agreement(x, y)
    panel.set_title("Do the ranks agree?" if math.isnan(rho) else f"Ranks: Spearman ρ = {number(rho, 2)}", pad=5)
    unit = quantity(metric).unit
    panel.set_xlabel(f"the paper ({unit})" if unit else "the paper", loc="right", labelpad=1)
    panel.set_ylabel(f"ours ({unit})" if unit else "ours")
    light_grid(panel)
    if alone and shown:
        panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, handletextpad=0.1, borderpad=0)


def _names(pairs: Sequence[Pair]) -> dict[Pair, str]:
    """The points worth a name: all of a few, else the best two of each side. Both orders of a pair share one."""
    best = [*sorted(pairs, key=lambda pair: -pair.paper)[:2], *sorted(pairs, key=lambda pair: -pair.ours)[:2]]
    names: dict[tuple[str, str], tuple[Pair, str]] = {}
    for pair in pairs if len(pairs) <= 9 else best:
        row, column = pair.row, pair.column
        if (column, row) in names and row != column:
            names[column, row] = (names[column, row][0], f"{column} ⇄ {row}")
        elif (row, column) not in names:
            names[row, column] = (pair, row if row == column else f"{row} → {column}")
    return dict(names.values())
