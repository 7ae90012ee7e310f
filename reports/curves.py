"""Training curves over epochs, one thin line a seed and their mean, beside the final numbers: SimSiam's Fig. 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.metrics import headed, number, quantity
from reports.stats import summarise
from reports.style import COLORS, DASHES, MARKERS, MUTED, REFERENCE, footnote, heading, light_grid, style

_TITLES = {"loss": "Training loss", "z_std": "Spread of z (z_std) in training", "lr": "Learning rate"}


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
    value, std.
    """
    with style():
        figure = Figure(figsize=(3.9 * len(panels) + 5.0, 3.3))
        grid = figure.add_gridspec(
            1,
            len(panels) + 1,
            width_ratios=[*[1.0] * len(panels), 1.15],
            wspace=0.2,
            left=0.04,
            right=0.99,
            bottom=0,
            top=1,
        )
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(grid[0, index])
            _draw_curves(axes, series[series["role"] == "cell"], color, levels, panel)
            if panel == "z_std":
                _spread_marks(axes, frame, color, levels)
        # The names of the rows need the room that a row of panels shares out otherwise.
        final = grid[0, len(panels)].subgridspec(1, 2, width_ratios=[0.27, 1], wspace=0)
        _draw_final(figure.add_subplot(final[0, 1]), frame, paper, color, levels, metric)
        heading(figure, title, subtitle, left_in=0.1, above_in=0.4)
        note = "Thick lines: mean over seeds; thin: one seed. Final values: mean with 95 % interval; dots: one seed."
        footnote(figure, note, left_in=0.04 * figure.get_figwidth(), below_in=0.5)
    return figure


def _name(color: str, level: str) -> str:
    if level in ("true", "false"):
        return f"{'with' if level == 'true' else 'without'} {color.replace('_', '-')}"
    return f"{color} {level}"


def _draw_curves(axes: Axes, series: pd.DataFrame, color: str, levels: Sequence[str], panel: str) -> None:
    ends: list[tuple[float, float, str, str]] = []
    for index, level in enumerate(levels):
        mine = series[series[color] == level].dropna(subset=panel)
        if mine.empty:
            continue
        ink, dashes = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
        for _, run in mine.groupby("run_id", sort=False):
            axes.plot(run["epoch"], run[panel], color=ink, linewidth=0.7, alpha=0.35, zorder=2)
        mean = mine.groupby("step")[["epoch", panel]].mean()
        axes.plot(mean["epoch"], mean[panel], color=ink, linewidth=2.2, linestyle=dashes, zorder=3)
        ends.append((float(mean["epoch"].iloc[-1]), float(mean[panel].iloc[-1]), _name(color, level), ink))
    axes.set_title(_TITLES.get(panel, panel), pad=8)
    axes.set_xlabel("epoch")
    axes.margins(x=0.02, y=0.16)
    if panel == "z_std":
        axes.set_ylim(bottom=0)
    light_grid(axes)
    _label_ends(axes, ends)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names at the lines' right ends, above or below them so that they do not touch."""
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda end: end[1])
    for rank, (x, y, name, ink) in enumerate(order):
        above = rank == len(order) - 1 and (high - y) > 0.1 * (high - low)
        axes.annotate(
            name, (x, y), xytext=(0, 9 if above else -9), textcoords="offset points", ha="right",
            va="bottom" if above else "top", color=ink, fontsize=8.5, fontweight="bold",
        )  # fmt: skip


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
        "1/√D: spread evenly", (0, even), xycoords=("axes fraction", "data"), xytext=(4, 3),
        textcoords="offset points", color=REFERENCE, fontsize=8,
    )  # fmt: skip
    right = axes.get_xlim()[1]
    for index, level in enumerate(levels):
        values = usable.xs(level, level=color)["z_std"] if level in usable.index.get_level_values(color) else []
        ink, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        axes.scatter(
            [right] * len(values),
            values,
            s=26,
            marker=marker,
            edgecolor=ink,
            facecolor="white",
            clip_on=False,
            zorder=4,
        )
    axes.annotate(
        "open: at the end, eval mode,\ntest images (the verdict's)", (1, 0.5), xycoords="axes fraction",
        xytext=(-8, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5, color=MUTED,
    )  # fmt: skip


def _draw_final(
    axes: Axes, frame: pd.DataFrame, paper: pd.DataFrame, color: str, levels: Sequence[str], metric: str
) -> None:
    """One row per level of ours, then of the paper's, over a common horizontal axis."""
    values = frame[frame["metric"] == metric]
    cells = values[values["role"] == "cell"]
    means = {row[color]: row for row in summarise(cells, [color]).dropna(subset="mean").to_dict("records")}
    printed = {row[color]: row for row in paper[paper["metric"] == metric].to_dict("records")}
    shown, count = quantity(metric), len(levels)
    for index, level in enumerate(levels):
        ink, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        if level in means:
            mean, half = float(means[level]["mean"]), float(means[level]["half_width"])
            seeds = cells[cells[color] == level]["value"].dropna().to_numpy(dtype=float)
            axes.scatter(seeds, np.full(len(seeds), index + 0.22), s=9, color=ink, alpha=0.7, linewidth=0, zorder=2)
            axes.errorbar(
                mean, index, xerr=np.nan_to_num(half), color=ink, marker=marker, markersize=7, capsize=3, zorder=3
            )
            _value_label(axes, mean, index, half, shown.decimals)
        else:
            axes.text(0.5, index, "unfinished", transform=axes.get_yaxis_transform(), ha="center", color=MUTED)
        if level in printed and not math.isnan(printed[level]["value"]):
            value, std, at = float(printed[level]["value"]), float(printed[level]["std"]), count + 0.3 + index
            axes.scatter(value, at, s=46, marker=marker, facecolor="white", edgecolor=ink, linewidth=1.6, zorder=3)
            _value_label(axes, value, at, std, shown.decimals)
    _reference_line(axes, values[values["role"] == "reference"], count)
    axes.set_ylim(2 * count, -0.7)
    names = [_name(color, level).replace(" ", "\n", 1) for level in levels]
    axes.set_yticks(
        [*range(count), *(count + 0.3 + index for index in range(count))],
        [*(f"ours\n{name}" for name in names), *(f"the paper\n{name}" for name in names)],
    )
    axes.axhline(count - 0.35, color=MUTED, linewidth=0.6)
    axes.set_title(headed(shown.label) + (f" ({shown.unit})" if shown.unit else ""), pad=8)
    axes.margins(x=0.14)
    light_grid(axes)
    axes.grid(visible=False, axis="y")


def _value_label(axes: Axes, x: float, y: float, spread: float, decimals: int) -> None:
    text = number(x, decimals) + ("" if math.isnan(spread) else f" ±{number(spread, decimals)}")
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # the line of the untrained may pass behind
    axes.annotate(
        text, (x, y), xytext=(0, 8), textcoords="offset points", ha="center", va="bottom", fontsize=8.5, bbox=paper
    )


def _reference_line(axes: Axes, references: pd.DataFrame, count: int) -> None:
    for entry in summarise(references, ["label"]).to_dict("records"):
        if math.isnan(entry["mean"]):
            continue
        axes.vlines(entry["mean"], -0.7, count - 0.35, color=REFERENCE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"{entry['label']} {number(entry['mean'], 1)}", (entry["mean"], count - 0.35), xytext=(4, 4),
            textcoords="offset points", ha="left", va="bottom", color=REFERENCE, fontsize=8,
        )  # fmt: skip


def describe_curves(frame: pd.DataFrame, paper: pd.DataFrame, *, color: str, metric: str) -> str:
    """Final values and spread of every level, and the paper's, in a sentence each."""
    cells = frame[frame["role"] == "cell"]
    shown = quantity(metric)
    sentences = []
    for level in dict.fromkeys(cells[color]):
        mine = cells[cells[color] == level]
        final, ratio = (mine[mine["metric"] == name]["value"].mean() for name in (metric, "z_std_ratio"))
        printed = paper[(paper[color] == level) & (paper["metric"] == metric)]["value"]
        text = f"{headed(_name(color, level))}: {number(final, shown.decimals)} {shown.unit}".rstrip()
        text += f", spread of z {number(ratio, 2)} of 1/√D at the end"
        text += f"; the paper {number(float(printed.iloc[0]), shown.decimals)} {shown.unit}." if len(printed) else "."
        sentences.append(text)
    return " ".join(sentences)
