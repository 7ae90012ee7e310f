"""Training curves over epochs, one thin line a seed and their mean, beside the final numbers: SimSiam's Fig. 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reports.claims.stats import summarise
from reports.figures.points import level_name
from reports.figures.style import (
    COLORS,
    LEGEND_ROW,
    REFERENCE,
    WIDTH,
    footnote,
    heading,
    legend,
    light_grid,
    look_at,
    place,
    style,
)
from reports.metrics import headed, number, quantity
from reports.read.papers import read_off

_TITLES = {
    "loss": "Training loss",
    "z_std": "Spread of z",
    "knn_top1": "kNN (%)",
    "lr": "Learning rate",
}
_LEFT, _GAP, _VALUES = 0.48, 0.45, 0.62  # inches: before the panels, between them, and for the numbers at the right


def curves(
    frame: pd.DataFrame,
    series: pd.DataFrame,
    paper: pd.DataFrame,
    *,
    color: str,
    levels: Sequence[str],
    panels: Sequence[str],
    metric: str,
    title: str,
    subtitle: str,
) -> Figure:
    """One panel per recorded curve and one of final values, ours with intervals and the paper's printed numbers.

    ``frame``: one row per planned run and metric (role, axis ``color``, seed, metric, value). ``series``: one row per
    run and step (role, axis ``color``, run_id, epoch and the columns ``panels``). ``paper``: axis ``color``, metric,
    value, std, reading_error.
    """
    rows = _rows(frame, paper, color, levels, metric)
    with style():
        figure = Figure(figsize=(WIDTH, max(1.9, 0.21 * len(rows))))
        high = figure.get_figheight()
        names = min(1.5, 0.3 + 0.062 * max(len(row.name) for row in rows))
        final = 1.05 + 0.5 * (len(panels) == 1)
        width = (WIDTH - _LEFT - len(panels) * _GAP - names - final - _VALUES + _GAP) / len(panels)
        for index, panel in enumerate(panels):
            axes = place(figure, _LEFT + index * (width + _GAP), 0, width, high)
            _draw_curves(axes, series[series["role"] == "cell"], color, levels, panel)
            if panel == "z_std":
                _spread_marks(axes, frame, color, levels)
        lines = legend(figure.axes[0], len(panels) * (width + _GAP) - _GAP, above=0.22)
        last = place(figure, WIDTH - _VALUES - final, 0, final, high)
        _draw_final(last, rows, metric)
        for axes in figure.axes:
            start = (0.15 - names) / final if axes is last else 0.0
            axes.set_title(axes.get_title(loc="left"), pad=5, x=start)
        heading(figure, title, subtitle, above_in=0.32 + LEGEND_ROW * lines / 72)
        note = [f"Colour: {color.replace('_', ' ')}.", "Thick lines: mean over seeds; thin: one seed."]
        if "z_std" in panels:
            note.append("1/√D: z spread evenly. Open marks: at the end, on test images, as the verdict has it.")
        note.append("Final values: mean with 95 % interval; dots: one seed; open: the paper's.")
        if words := read_off(row.reading_error for row in rows):
            note.append(f"≈: {words}.")
        footnote(figure, " ".join(note), left=_LEFT, top=high + 0.42)
    return figure


def _draw_curves(axes: Axes, series: pd.DataFrame, color: str, levels: Sequence[str], panel: str) -> None:
    for index, level in enumerate(levels):
        mine = series[series[color] == level].dropna(subset=panel)
        if mine.empty:
            continue
        look = look_at(index)
        points = mine[["epoch", panel]].to_numpy(float)
        runs = [points[rows] for rows in mine.groupby("run_id", sort=False).indices.values()]
        axes.add_collection(LineCollection(runs, colors=look.ink, linewidths=0.5, alpha=0.35, zorder=2))
        mean = mine.groupby("step")[["epoch", panel]].mean()
        axes.plot(
            mean["epoch"], mean[panel], color=look.ink, linewidth=1.7, linestyle=look.dashes, zorder=3,
            label=level_name(color, level), **_marks(index, len(levels)),
        )  # fmt: skip
    axes.set_title(_TITLES.get(panel, panel))
    axes.set_xlabel("epoch", labelpad=1)
    axes.margins(x=0.02, y=0.16)
    if panel == "z_std":
        axes.set_ylim(bottom=0)
    light_grid(axes)


def _marks(index: int, count: int) -> dict[str, Any]:
    """Marks along a line, where the lines are more than the hues; each line's begin elsewhere."""
    if count <= len(COLORS):
        return {}
    return {"marker": look_at(index).marker, "markersize": 3.5, "markevery": (0.25 * index / count, 0.25)}


def _spread_marks(axes: Axes, frame: pd.DataFrame, color: str, levels: Sequence[str]) -> None:
    """The line 1/sqrt(D), and where the spread of each level stands on test images, which the verdict uses."""
    cells = frame[frame["role"] == "cell"]
    wide = cells[cells["metric"].isin(["z_std", "z_std_ratio"])].pivot(
        index=["run_id", color], columns="metric", values="value"
    )
    usable = wide.dropna()
    usable = usable[usable["z_std_ratio"] > 0]
    if usable.empty:
        return
    even = float((usable["z_std"] / usable["z_std_ratio"]).median())
    axes.axhline(even, color=REFERENCE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    axes.set_ylim(-0.12 * even, max(even * 1.12, axes.get_ylim()[1]))  # room for a name below a line near 0
    axes.annotate(
        "1/√D", (0, even), xycoords=("axes fraction", "data"), xytext=(4, 3),
        textcoords="offset points", color=REFERENCE, fontsize=7,
    )  # fmt: skip
    right = axes.get_xlim()[1]
    for index, level in enumerate(levels):
        values = usable.xs(level, level=color)["z_std"] if level in usable.index.get_level_values(color) else []
        look = look_at(index)
        axes.scatter(
            [right] * len(values),
            values,
            s=14,
            marker=look.marker,
            edgecolor=look.ink,
            facecolor="white",
            clip_on=False,
            zorder=4,
            linewidth=0.9,
        )


@dataclass(frozen=True)
class _Row:
    """A line of the final values; ``ink`` is empty where it is a heading."""

    name: str
    value: float = math.nan
    spread: float = math.nan
    ink: str = ""
    marker: str = ""
    face: str = ""
    seeds: Sequence[float] = ()
    missing: str = ""
    reading_error: float = math.nan


def _rows(frame: pd.DataFrame, paper: pd.DataFrame, color: str, levels: Sequence[str], metric: str) -> list[_Row]:
    """Ours, level by level and untrained, then the paper's."""
    values = frame[frame["metric"] == metric]
    cells = values[values["role"] == "cell"]
    means = {row[color]: row for row in summarise(cells, [color]).to_dict("records")}
    printed = {row[color]: row for row in paper[paper["metric"] == metric].to_dict("records")}
    ours, theirs = [_Row("Ours")], [_Row("The paper")]
    for index, level in enumerate(levels):
        ink, marker = look_at(index).ink, look_at(index).marker
        name, seeds = level_name(color, level), tuple(cells[cells[color] == level]["value"].dropna())
        found = means.get(level, {"mean": math.nan, "half_width": math.nan})
        ours.append(_Row(name, found["mean"], found["half_width"], ink, marker, ink, seeds, "unfinished"))
        if level in printed:
            value, std, error = (printed[level][key] for key in ("value", "std", "reading_error"))
            theirs.append(_Row(name, value, std, ink, marker, "white", (), "–", error))
    references = summarise(values[values["role"] == "reference"], ["label"]).dropna(subset="mean")
    ours += [
        _Row(str(entry["label"]), entry["mean"], entry["half_width"], REFERENCE, "|", REFERENCE)
        for entry in references.to_dict("records")
    ]
    return [*ours, *(theirs if len(theirs) > 1 else [_Row("The paper"), _Row("no number")])]


def _draw_final(axes: Axes, rows: Sequence[_Row], metric: str) -> None:
    """One row per level of ours, then of the paper's, over a common horizontal axis; numbers at the right."""
    shown = quantity(metric)
    for at, row in enumerate(rows):
        if not row.ink:
            continue
        text = row.missing
        if not math.isnan(row.value):
            text = number(row.value, shown.decimals, reading_error=row.reading_error)
        text += "" if math.isnan(row.spread) else f" ±{number(row.spread, shown.decimals)}"
        axes.text(1.04, at, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        axes.scatter(row.seeds, np.full(len(row.seeds), at + 0.3), s=4, color=row.ink, alpha=0.7, linewidth=0, zorder=2)
        if not math.isnan(row.value):
            axes.errorbar(
                row.value, at, xerr=np.nan_to_num(row.spread), color=row.ink, marker=row.marker, markersize=5,
                markerfacecolor=row.face, markeredgewidth=1.2, capsize=2, elinewidth=1.1, zorder=3,
            )  # fmt: skip
        if row.marker == "|":
            axes.axvline(row.value, color=REFERENCE, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    axes.set_ylim(len(rows) - 0.4, -0.5)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if row.ink else "bold")
    axes.set_title(headed(shown.label) + (f" ({shown.unit})" if shown.unit else ""), loc="left")
    axes.margins(x=0.12)
    light_grid(axes)
    axes.grid(visible=False, axis="y")


def describe_curves(frame: pd.DataFrame, paper: pd.DataFrame, *, color: str, metric: str) -> str:
    """Final values and spread of every level, and the paper's, in a sentence each."""
    cells = frame[frame["role"] == "cell"]
    shown = quantity(metric)
    sentences = []
    for level in dict.fromkeys(cells[color]):
        mine = cells[cells[color] == level]
        final, ratio = (mine[mine["metric"] == name]["value"].mean() for name in (metric, "z_std_ratio"))
        printed = paper[(paper[color] == level) & (paper["metric"] == metric)]
        text = f"{headed(level_name(color, level))}: {number(final, shown.decimals)} {shown.unit}".rstrip()
        text += f", spread of z {number(ratio, 2)} of 1/√D at the end"
        for value, error in printed[["value", "reading_error"]].to_numpy(float)[:1]:
            text += f"; the paper {number(value, shown.decimals, reading_error=error)} {shown.unit}"
        sentences.append(f"{text}.")
    return " ".join(sentences)
