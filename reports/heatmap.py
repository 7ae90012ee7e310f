"""Ours beside the paper's over two axes, on one colour scale, as in SimCLR's Fig. 5; and how far the ranks agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats

from reports.metrics import number, quantity
from reports.stats import Floats, summarise
from reports.style import COLORS, REFERENCE, SEQUENTIAL, footnote, heading, style, text_color

_GAP = 0.35  # between the cells and the column of row averages, in cells


@dataclass(frozen=True)
class _Cell:
    """What one square shows; ``planned`` is 0 for the paper, which has no seeds to wait for."""

    mean: float
    half_width: float = math.nan
    n: int = 0
    planned: int = 0

    @property
    def unfinished(self) -> bool:
        return self.n < self.planned


def heatmap(
    frame: pd.DataFrame,
    paper: pd.DataFrame,
    *,
    row: str,
    column: str,
    rows: Sequence[str],
    columns: Sequence[str],
    metric: str,
    title: str,
    subtitle: str,
) -> Figure:
    """A heatmap of our means and one of the paper's values, with row averages, and a scatter of one over the other.

    ``frame``: one row per planned run and metric (role, the axes ``row`` and ``column``, seed, metric, value).
    ``paper``: role, the two axes, metric, value. Cells on the diagonal, where both axes agree, are outlined.
    """
    ours = _our_cells(frame, row, column, rows, columns, metric)
    theirs = _paper_cells(paper, row, column, rows, columns, metric)
    reference = _reference(frame, metric)
    values = [cell.mean for cell in [*ours.values(), *theirs.values()] if not math.isnan(cell.mean)]
    values += [reference.mean] if not math.isnan(reference.mean) else []
    norm = Normalize(math.floor(min(values, default=0.0)), math.ceil(max(values, default=1.0)))
    cmap = mpl.colormaps[SEQUENTIAL]
    with style():
        side = 0.62 if len(columns) > 4 else 0.88  # inches a cell
        width, height = (len(columns) + 1 + _GAP) * side, len(rows) * side
        scatter = max(height, 3.1)
        total = 2 * width + scatter + 3.35
        figure = Figure(figsize=(total, height))
        ours_axes = figure.add_axes((0.75 / total, 0, width / total, 1))
        paper_axes = figure.add_axes(((width + 1.0) / total, 0, width / total, 1))
        bar_axes = figure.add_axes(((2 * width + 1.2) / total, 0, 0.16 / total, 1))
        scatter_axes = figure.add_axes(((2 * width + 3.1) / total, 0, scatter / total, 1))
        _draw_cells(ours_axes, ours, rows, columns, cmap, norm)
        _draw_cells(paper_axes, theirs, rows, columns, cmap, norm)
        ours_axes.set_title("Ours: mean ± 95 % half-width", pad=22)
        paper_axes.set_title("The paper", pad=22)
        ours_axes.set_ylabel(row)
        paper_axes.set_yticklabels([])
        _color_bar(figure, bar_axes, cmap, norm, reference, metric)
        _scatter(scatter_axes, ours, theirs, reference, rows, columns, metric)
        heading(figure, title, subtitle, left_in=0.1, above_in=0.56)
        parts = [f"Rows: {row}; columns: {column}."]
        if _has_diagonal(rows, columns):
            parts.append("Outlined: one transformation alone.")
        printed = _printed_averages(paper, column, columns)
        parts.append("Row averages: the paper's as printed." if printed else "Row averages: over the cells shown.")
        if any(cell.unfinished for cell in ours.values()):
            parts.append("Hatched: unfinished, with the seeds that are there.")
        footnote(figure, " ".join(parts), left_in=0.75, below_in=0.16)
    return figure


def _our_cells(
    frame: pd.DataFrame, row: str, column: str, rows: Sequence[str], columns: Sequence[str], metric: str
) -> dict[tuple[str, str], _Cell]:
    """Cells by (row, column); the column ``""`` is the average over the row, seed by seed."""
    cells = frame[(frame["role"] == "cell") & (frame["metric"] == metric)]
    planned = cells.groupby([row, column])["seed"].nunique()
    found = {
        (str(entry[row]), str(entry[column])): _Cell(
            entry["mean"], entry["half_width"], entry["n"], int(planned[entry[row], entry[column]])
        )
        for entry in summarise(cells, [row, column]).to_dict("records")
    }
    # A seed counts in its row's average once the row is complete for it.
    by_seed = cells.pivot_table(index=[row, "seed"], columns=column, values="value", dropna=False, sort=False)
    complete = by_seed.reindex(columns=list(columns)).mean(axis=1, skipna=False).rename("value").reset_index()
    seeds = int(planned.max()) if len(planned) else 0
    for entry in summarise(complete, [row]).to_dict("records"):
        found[str(entry[row]), ""] = _Cell(entry["mean"], entry["half_width"], entry["n"], seeds)
    return {key: cell for key, cell in found.items() if key[0] in rows}


def _printed_averages(paper: pd.DataFrame, column: str, columns: Sequence[str]) -> bool:
    """Whether the paper's own row averages are over the columns shown."""
    cells = paper[paper["role"] == "cell"]
    return bool((paper["role"] == "row_average").any()) and set(cells[column]) == set(columns)


def _paper_cells(
    paper: pd.DataFrame, row: str, column: str, rows: Sequence[str], columns: Sequence[str], metric: str
) -> dict[tuple[str, str], _Cell]:
    mine = paper[(paper["metric"] == metric) & paper[row].isin(rows)]
    cells = mine[(mine["role"] == "cell") & mine[column].isin(columns)]
    found = {(str(entry[row]), str(entry[column])): _Cell(entry["value"]) for entry in cells.to_dict("records")}
    if _printed_averages(paper, column, columns):
        averages = mine[mine["role"] == "row_average"].set_index(row)["value"]
    else:
        averages = cells.groupby(row)["value"].mean()
    return found | {(str(name), ""): _Cell(float(value)) for name, value in averages.items()}


def _reference(frame: pd.DataFrame, metric: str) -> _Cell:
    """The first reference of the frame (the untrained backbone), or a missing cell."""
    found = summarise(frame[(frame["role"] == "reference") & (frame["metric"] == metric)], ["label"])
    if found.empty:
        return _Cell(math.nan)
    first = found.iloc[0]
    return _Cell(float(first["mean"]), float(first["half_width"]), int(first["n"]))


def _has_diagonal(rows: Sequence[str], columns: Sequence[str]) -> bool:
    return list(rows) == list(columns)


def _draw_cells(
    axes: Axes,
    cells: dict[tuple[str, str], _Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    cmap: Colormap,
    norm: Normalize,
) -> None:
    for y, row in enumerate(rows):
        for x, column in [*enumerate(columns), (len(columns) + _GAP, "")]:
            cell = cells.get((row, column), _Cell(math.nan))
            _draw_cell(axes, x, y, cell, cmap, norm)
    if _has_diagonal(rows, columns):
        for index in range(len(rows)):
            box = Rectangle((index + 0.045, index + 0.045), 0.91, 0.91, fill=False, edgecolor=REFERENCE, linewidth=1.6)
            axes.add_patch(box)
    axes.set_xlim(0, len(columns) + 1 + _GAP)
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([*(x + 0.5 for x in range(len(columns))), len(columns) + 0.5 + _GAP], [*columns, "row avg."])
    axes.set_yticks([y + 0.5 for y in range(len(rows))], list(rows))
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_cell(axes: Axes, x: float, y: float, cell: _Cell, cmap: Colormap, norm: Normalize) -> None:
    missing = math.isnan(cell.mean)
    color = (1.0, 1.0, 1.0, 1.0) if missing else cmap(norm(cell.mean))
    if cell.unfinished and not missing:
        red, green, blue, _ = (0.55 * channel + 0.45 for channel in color)
        color = (red, green, blue, 1.0)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=color, edgecolor="white", linewidth=1.0))
    if missing or cell.unfinished:
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, hatch="////", edgecolor="#9aa3ad", linewidth=0))
    ink = text_color(color)
    below = f"{cell.n} of {cell.planned}" if cell.unfinished else f"±{number(cell.half_width, 1)}"
    box = {"facecolor": color, "edgecolor": "none", "pad": 1.0} if missing or cell.unfinished else None
    two_lines = cell.unfinished or not math.isnan(cell.half_width)
    axes.text(
        x + 0.5, y + (0.43 if two_lines else 0.5), number(cell.mean, 1), ha="center", va="center", color=ink, bbox=box
    )
    if two_lines:
        axes.text(x + 0.5, y + 0.74, below, ha="center", va="center", color=ink, fontsize=6.5, bbox=box)


def _color_bar(figure: Figure, axes: Axes, cmap: Colormap, norm: Normalize, reference: _Cell, metric: str) -> None:
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm=norm, cmap=cmap), cax=axes)
    bar.outline.set_visible(False)
    shown = quantity(metric)
    axes.set_title(
        f"{shown.label} ({shown.unit})" if shown.unit else shown.label, fontsize=8.5, fontweight="normal", pad=8
    )
    axes.tick_params(length=2)
    if not math.isnan(reference.mean):
        axes.axhline(reference.mean, color=REFERENCE, linewidth=2)
        text = f"untrained\n{number(reference.mean, 1)}"
        text += "" if math.isnan(reference.half_width) else f" ±{number(reference.half_width, 1)}"
        axes.text(
            3.3, reference.mean, text, transform=axes.get_yaxis_transform(), color=REFERENCE, fontsize=8, va="center"
        )


def _scatter(
    axes: Axes,
    ours: dict[tuple[str, str], _Cell],
    theirs: dict[tuple[str, str], _Cell],
    reference: _Cell,
    rows: Sequence[str],
    columns: Sequence[str],
    metric: str,
) -> None:
    keys = [(row, column) for row in rows for column in columns if _both(ours, theirs, (row, column))]
    x = np.array([theirs[key].mean for key in keys])
    y = np.array([ours[key].mean for key in keys])
    errors = np.nan_to_num([ours[key].half_width for key in keys])
    single = np.array([key[0] == key[1] for key in keys], dtype=bool)
    groups = [("pair", ~single, "o", COLORS[0]), ("alone", single, "s", "white")]
    for name, mask, marker, face in (
        groups if _has_diagonal(rows, columns) else [("cell", single | ~single, "o", COLORS[0])]
    ):
        axes.errorbar(x[mask], y[mask], errors[mask], fmt="none", ecolor="#9db4c8", elinewidth=0.9, zorder=2)
        edge = REFERENCE if face == "white" else "white"
        axes.scatter(
            x[mask], y[mask], s=30, marker=marker, facecolor=face, edgecolor=edge, linewidth=1.2, label=name, zorder=3
        )
    if not math.isnan(reference.mean):
        axes.axhline(reference.mean, color=REFERENCE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(
            "untrained", (1, reference.mean), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", color=REFERENCE, fontsize=8,
        )  # fmt: skip
    for key, name in _names(keys, x, y).items():
        at = (theirs[key].mean, ours[key].mean)
        left = at[0] > (x.min() + x.max()) / 2
        axes.annotate(
            name,
            at,
            xytext=(-6 if left else 6, 4),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=7.5,
        )
    rho = rank_agreement(x, y)
    axes.set_title("Do the ranks agree?" if math.isnan(rho) else f"Ranks: Spearman ρ = {number(rho, 2)}", pad=22)
    unit = quantity(metric).unit
    axes.set_xlabel(f"the paper ({unit})" if unit else "the paper")
    axes.set_ylabel(f"ours ({unit})" if unit else "ours")
    axes.grid(visible=True)
    axes.tick_params(length=0)
    if _has_diagonal(rows, columns):
        axes.legend(frameon=False, fontsize=8, loc="lower right", handletextpad=0.2, borderpad=0)


def _both(ours: dict[tuple[str, str], _Cell], theirs: dict[tuple[str, str], _Cell], key: tuple[str, str]) -> bool:
    return all(key in side and not math.isnan(side[key].mean) for side in (ours, theirs))


def _names(keys: Sequence[tuple[str, str]], x: Floats, y: Floats) -> dict[tuple[str, str], str]:
    """The points worth a name: all of a few, else the best two of each side. Both orders of a pair share one."""
    best = [*np.argsort(-x, kind="stable")[:2], *np.argsort(-y, kind="stable")[:2]]
    named = list(keys) if len(keys) <= 9 else [keys[index] for index in dict.fromkeys(int(index) for index in best)]
    names: dict[tuple[str, str], str] = {}
    for row, column in named:
        if (column, row) in names and row != column:
            names[column, row] = f"{column} ⇄ {row}"
        else:
            names[row, column] = row if row == column else f"{row} → {column}"
    return names


def rank_agreement(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; NaN below three points or where a side is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.spearmanr(x, y).statistic)


def describe_heatmap(frame: pd.DataFrame, paper: pd.DataFrame, *, row: str, column: str, metric: str) -> str:
    """Best cell, rank agreement and the untrained reference in a sentence each."""
    cells = summarise(frame[(frame["role"] == "cell") & (frame["metric"] == metric)], [row, column])
    finished = cells.dropna(subset="mean")
    if finished.empty:
        return "No cell of ours is finished yet."
    unit = quantity(metric).unit
    best = finished.iloc[int(finished["mean"].to_numpy().argmax())]
    text = f"Best of ours: {best[row]} then {best[column]}, {number(best['mean'], 1)} {unit}."
    joined = finished.merge(paper[paper["metric"] == metric], on=[row, column])
    if len(joined):
        top = joined.iloc[int(joined["value"].to_numpy().argmax())]
        text += f" Best of the paper among them: {top[row]} then {top[column]}, {number(top['value'], 1)} {unit}."
        rho = rank_agreement(joined["value"].to_numpy(), joined["mean"].to_numpy())
        text += "" if math.isnan(rho) else f" Spearman rank correlation of the two: {number(rho, 2)}."
    reference = _reference(frame, metric)
    if not math.isnan(reference.mean):
        bound = reference.mean + (0.0 if math.isnan(reference.half_width) else reference.half_width)
        above = int((finished["mean"] > bound).sum())
        level = f"{number(reference.mean, 1)} ± {number(reference.half_width, 1)} {unit}"
        text += f" {above} of {len(finished)} cells lie above the interval of the untrained backbone ({level})."
    return text
