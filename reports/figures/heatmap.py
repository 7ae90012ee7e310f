"""Ours beside the paper's over two axes, on one colour scale, as in SimCLR's Fig. 5; and how far the ranks agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.claims.stats import summarise
from reports.figures.agreement import Pair, agreement, rank_agreement
from reports.figures.style import REFERENCE, SEQUENTIAL, WIDTH, chars, footnote, heading, place, style, text_color
from reports.metrics import headed, number, quantity
from reports.read.papers import read_off

_GAP = 0.35  # between the cells and the column of row averages, in cells
_LARGEST, _BETWEEN, _AGREEMENT = 0.72, 0.18, 1.9  # inches: a square, between the maps, the panel below them
_NAMES, _SLANT, _AVERAGE = 7.0, 40, "row avg."


@dataclass(frozen=True)
class _Cell:
    """What one square shows; ``planned`` is 0 for the paper, which has no seeds to wait for."""

    mean: float
    half_width: float = math.nan
    n: int = 0
    planned: int = 0
    reading_error: float = math.nan

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
    ``paper``: role, the two axes, metric, value, reading_error. Cells on the diagonal, where both axes agree, are
    outlined.
    """
    ours = _our_cells(frame, row, column, rows, columns, metric)
    theirs = _paper_cells(paper, row, column, rows, columns, metric)
    reference = _reference(frame, metric)
    values = [cell.mean for cell in [*ours.values(), *theirs.values()] if not math.isnan(cell.mean)]
    values += [reference.mean] if not math.isnan(reference.mean) else []
    norm = Normalize(math.floor(min(values, default=0.0)), math.ceil(max(values, default=1.0)))
    cmap = mpl.colormaps[SEQUENTIAL]
    with style():
        left = 0.3 + 0.062 * max(map(len, rows))  # inches that the names of the rows take
        side = min(_LARGEST, (WIDTH - left - _BETWEEN) / 2 / (len(columns) + 1 + _GAP))  # of a square
        width, height = (len(columns) + 1 + _GAP) * side, len(rows) * side
        below, second = height + 0.52, left + width + _BETWEEN
        figure = Figure(figsize=(WIDTH, below + _AGREEMENT))
        ours_axes, paper_axes = place(figure, left, 0, width, height), place(figure, second, 0, width, height)
        bar_axes = place(figure, second, below + 0.1, width, 0.12)
        _draw_cells(ours_axes, ours, rows, columns, cmap, norm, 72 * side)
        _draw_cells(paper_axes, theirs, rows, columns, cmap, norm, 72 * side)
        slanted = _slanted(columns, side)
        pad = 7.0 + (4.2 * max(map(len, [*columns, _AVERAGE])) * math.sin(math.radians(_SLANT)) if slanted else 9.0)
        ours_axes.set_title("Ours: mean ± 95 % half-width", pad=pad)
        paper_axes.set_title("The paper", pad=pad)
        ours_axes.set_ylabel(row)
        paper_axes.set_yticklabels([])
        _color_bar(figure, bar_axes, cmap, norm, reference, metric)
        keys = [(first, other) for first in rows for other in columns]
        points = [
            Pair(*key, ours[key].mean, ours[key].half_width, theirs[key].mean)
            for key in keys
            if key in ours and key in theirs
        ]
        agreement(
            place(figure, left, below, width, _AGREEMENT),
            points,
            reference.mean,
            metric,
            alone=_has_diagonal(rows, columns),
        )
        heading(figure, title, subtitle, above_in=0.22 + pad / 72)
        parts = [f"Rows: {row}; columns: {column}. Both maps share one colour scale."]
        if _has_diagonal(rows, columns):
            parts.append("Outlined: one transformation alone.")
        printed = _printed_averages(paper, column, columns)
        parts.append("Row averages: the paper's as printed." if printed else "Row averages: over the cells shown.")
        if any(cell.unfinished for cell in ours.values()):
            parts.append("Hatched: unfinished, with the seeds that are there.")
        if words := read_off(cell.reading_error for cell in theirs.values()):
            parts.append(f"≈: {words}.")
        footnote(figure, " ".join(parts), left=second, top=below + 0.75, width=max(second + width, WIDTH))
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
    averages = mine[mine["role"] == "row_average"] if _printed_averages(paper, column, columns) else cells
    averages = averages.groupby(row, as_index=False).agg({"value": "mean", "reading_error": "max"})
    return {
        (str(entry[row]), str(entry[column])): _Cell(float(entry["value"]), reading_error=float(entry["reading_error"]))
        for entry in [*cells.to_dict("records"), *averages.assign(**{column: ""}).to_dict("records")]
    }


def _reference(frame: pd.DataFrame, metric: str) -> _Cell:
    """The first reference of the frame (the untrained backbone), or a missing cell."""
    found = summarise(frame[(frame["role"] == "reference") & (frame["metric"] == metric)], ["label"])
    if found.empty:
        return _Cell(math.nan)
    first = found.iloc[0]
    return _Cell(float(first["mean"]), float(first["half_width"]), int(first["n"]))


def _has_diagonal(rows: Sequence[str], columns: Sequence[str]) -> bool:
    return list(rows) == list(columns)


def _slanted(columns: Sequence[str], side: float) -> bool:
    """Whether the names of the columns are longer than a square."""
    return max(map(len, columns)) > chars(0.95 * side, _NAMES)


def _draw_cells(
    axes: Axes,
    cells: dict[tuple[str, str], _Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    cmap: Colormap,
    norm: Normalize,
    side: float,
) -> None:
    """The squares of one map, ``side`` points long."""
    for y, row in enumerate(rows):
        for x, column in [*enumerate(columns), (len(columns) + _GAP, "")]:
            cell = cells.get((row, column), _Cell(math.nan))
            _draw_cell(axes, x, y, cell, cmap, norm, side)
    if _has_diagonal(rows, columns):
        for index in range(len(rows)):
            box = Rectangle((index + 0.05, index + 0.05), 0.9, 0.9, fill=False, edgecolor=REFERENCE, linewidth=1.2)
            axes.add_patch(box)
    axes.set_xlim(0, len(columns) + 1 + _GAP)
    axes.set_ylim(len(rows), 0)
    slant: dict[str, Any] = (
        {"rotation": _SLANT, "ha": "left", "rotation_mode": "anchor"} if _slanted(columns, side / 72) else {}
    )
    places = [*(x + 0.5 for x in range(len(columns))), len(columns) + 0.5 + _GAP]
    axes.set_xticks(places, [*columns, _AVERAGE], fontsize=_NAMES, **slant)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], list(rows), fontsize=_NAMES)
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def _draw_cell(axes: Axes, x: float, y: float, cell: _Cell, cmap: Colormap, norm: Normalize, side: float) -> None:
    missing = math.isnan(cell.mean)
    color = (1.0, 1.0, 1.0, 1.0) if missing else cmap(norm(cell.mean))
    if cell.unfinished and not missing:
        red, green, blue, _ = (0.55 * channel + 0.45 for channel in color)
        color = (red, green, blue, 1.0)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=color, edgecolor="white", linewidth=0.8))
    if missing or cell.unfinished:
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, hatch="////", edgecolor="#9aa3ad", linewidth=0))
    ink = text_color(color)
    below = f"{cell.n} of {cell.planned}" if cell.unfinished else f"±{number(cell.half_width, 1)}"
    box = {"facecolor": color, "edgecolor": "none", "pad": 0.6} if missing or cell.unfinished else None
    two_lines = cell.unfinished or not math.isnan(cell.half_width)
    size = min(8.0, 0.27 * side)
    axes.text(
        x + 0.5, y + (0.4 if two_lines else 0.5), number(cell.mean, 1, reading_error=cell.reading_error),
        ha="center", va="center", color=ink, bbox=box, fontsize=size,
    )  # fmt: skip
    if two_lines:
        small = max(5.0, 0.78 * size)
        axes.text(x + 0.5, y + 0.74, below, ha="center", va="center", color=ink, fontsize=small, bbox=box)


def _color_bar(figure: Figure, axes: Axes, cmap: Colormap, norm: Normalize, reference: _Cell, metric: str) -> None:
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm=norm, cmap=cmap), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    shown = quantity(metric)
    label = f"{shown.label} ({shown.unit})" if shown.unit else shown.label
    axes.set_title(headed(label), fontsize=7.5, fontweight="normal", pad=4)
    axes.tick_params(length=2)
    if not math.isnan(reference.mean):
        axes.axvline(reference.mean, color=REFERENCE, linewidth=2)
        text = f"untrained {number(reference.mean, 1)}"
        text += "" if math.isnan(reference.half_width) else f" ±{number(reference.half_width, 1)}"
        axes.annotate(
            text, (reference.mean, 0), xycoords=("data", "axes fraction"), xytext=(0, -14), textcoords="offset points",
            ha="center", va="top", color=REFERENCE, fontsize=7,
        )  # fmt: skip


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
        value = number(top["value"], 1, reading_error=top["reading_error"])
        text += f" Best of the paper among them: {top[row]} then {top[column]}, {value} {unit}."
        rho = rank_agreement(joined["value"].to_numpy(), joined["mean"].to_numpy())
        text += "" if math.isnan(rho) else f" Spearman rank correlation of the two: {number(rho, 2)}."
    reference = _reference(frame, metric)
    if not math.isnan(reference.mean):
        bound = reference.mean + (0.0 if math.isnan(reference.half_width) else reference.half_width)
        above = int((finished["mean"] > bound).sum())
        level = f"{number(reference.mean, 1)} ± {number(reference.half_width, 1)} {unit}"
        text += f" {above} of {len(finished)} cells lie above the interval of the untrained backbone ({level})."
    return text
