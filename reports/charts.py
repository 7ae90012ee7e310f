"""Bars, lines and scatters: ours beside the paper's, drawn alike, a row of panels for each level of ``facet``."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from reports.metrics import NUM_PARAMETERS, headed, number, quantity
from reports.points import Encoding, in_order, our_points, paper_points
from reports.selectors import is_number
from reports.style import (
    COLORS,
    DASHES,
    HATCHES,
    MARKERS,
    MUTED,
    REFERENCE,
    SEQUENTIAL,
    footnote,
    heading,
    light_grid,
    style,
)

Levels = Mapping[str, Sequence[str]]

_MANY = 24  # points of a scatter from which on they go without names


def chart(
    frame: pd.DataFrame,
    paper: pd.DataFrame,
    axes: Levels,
    encoding: Encoding,
    title: str,
    subtitle: str,
) -> Figure:
    """The figure. ``frame``: one row per planned run and metric; ``paper``: the paper's cells; ``axes``: our levels."""
    sides = [our_points(frame, axes, encoding), paper_points(paper, axes, encoding)]
    facets = _known([*sides[0]["facet"], *sides[1]["facet"]], encoding.facet, axes) or [""]
    num_x = max(side["x"].nunique() for side in sides)
    width = min(7.0, max(3.6, 0.34 * max(len(side) for side in sides) / len(facets), 0.8 * num_x if num_x < 9 else 0))
    with style():
        figure = Figure(figsize=(2 * width + 0.9, 2.9 * len(facets)))
        panels = figure.subplots(len(facets), 2, squeeze=False)
        left = 0.7 / figure.get_figwidth()
        figure.subplots_adjust(left=left, right=0.995, bottom=0.02, top=0.98, wspace=0.16, hspace=0.5)
        untrained = _reference(frame, encoding)
        for row, facet in enumerate(facets):
            for column, (side, who) in enumerate(zip(sides, ("Ours", "The paper"), strict=True)):
                panel, shown = panels[row, column], side[side["facet"] == facet]
                _DRAW[encoding.kind](panel, shown, _styles(side, sides, encoding, axes), encoding, axes)
                panel.set_title(who + (f", {str(encoding.facet).replace('_', ' ')} {facet}" if facet else ""), pad=8)
                _label_axes(panel, encoding, first=column == 0)
                if shown["mean"].notna().sum() == 0:
                    panel.text(
                        0.5,
                        0.5,
                        "no number" if column else "unfinished",
                        transform=panel.transAxes,
                        ha="center",
                        color=MUTED,
                    )
                if column == 0 and not math.isnan(untrained):
                    panel.axhline(untrained, color=REFERENCE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
        _match_scales(panels, encoding)
        heading(figure, title, subtitle, left_in=0.1, above_in=0.42)
        text = textwrap.fill(
            _note(sides[0], encoding, untrained=not math.isnan(untrained)), int(17 * figure.get_figwidth())
        )
        footnote(figure, text, left_in=0.7, below_in=0.62)
    return figure


@dataclass(frozen=True)
class _Style:
    ink: Any
    marker: str
    dashes: Any
    hatch: str


def _styles(side: pd.DataFrame, sides: Sequence[pd.DataFrame], encoding: Encoding, axes: Levels) -> dict[str, _Style]:
    """A look for each level of ``color``: steps of luminance where levels are numbers, hues where they are words."""
    union = _known([level for one in sides for level in one["color"]], encoding.color, axes)
    if not all(map(is_number, filter(None, union))) or union in ([], [""]):
        return {
            level: _Style(
                COLORS[index % len(COLORS)],
                MARKERS[index % len(MARKERS)],
                DASHES[index % len(DASHES)],
                HATCHES[index % len(HATCHES)],
            )
            for index, level in enumerate(union)
        }
    levels = [level for level in _known(side["color"], encoding.color, axes) if level]
    shades = mpl.colormaps[SEQUENTIAL](np.linspace(0.35, 1.0, max(len(levels), 2)))
    unknown = {"": _Style(MUTED, "o", "solid", "")}  # the paper does not say which level a number has
    return unknown | {
        level: _Style(shades[index], MARKERS[index % len(MARKERS)], "solid", "") for index, level in enumerate(levels)
    }


def _level_name(axis: str, level: str) -> str:
    words = axis.replace("_", " ")
    if is_number(level):
        return level
    if level in ("true", "false"):
        return f"{'with' if level == 'true' else 'without'} {words}"
    return level.replace("_", " ")


def _draw_bars(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, _Style], encoding: Encoding, axes: Levels
) -> None:
    groups, shown = _known(points["x"], encoding.x, axes), quantity(encoding.metric)
    edges: dict[str, list[float]] = {}
    start = 0.0
    for group in groups:
        mine = points[points["x"] == group]
        edges[group] = [start, start]
        for level in styles:
            for bar in mine[mine["color"] == level].to_dict("records"):
                _draw_bar(panel, start, bar, styles[level], shown.decimals, crowded=len(points) > 18)
                edges[group][1] = start
                start += 1.0
        start += 0.6
    panel.set_xticks([sum(ends) / 2 for ends in edges.values()], [_tick(group, len(groups)) for group in groups])
    present = [level for level in styles if level and level in set(points["color"])]
    if encoding.color:
        for level in present:
            look = styles[level]
            panel.bar(
                [0], [0], color=look.ink, hatch=look.hatch, edgecolor="white", label=_level_name(encoding.color, level)
            )
        _legend(panel, len(present))


def _draw_bar(panel: Axes, at: float, bar: Mapping[Any, Any], look: _Style, decimals: int, *, crowded: bool) -> None:
    mean, half = float(bar["mean"]), float(bar["half_width"])
    unfinished = bar["n"] < bar["planned"]
    if math.isnan(mean):
        panel.text(at, 0, "unfinished", rotation=90, ha="center", va="bottom", fontsize=7.5, color=MUTED)
        return
    panel.bar(
        at, mean, width=0.86, color="white" if unfinished else look.ink, edgecolor=look.ink if unfinished else "white",
        hatch="////" if unfinished else look.hatch, linewidth=1.0, zorder=2,
    )  # fmt: skip
    if not math.isnan(half):
        panel.errorbar(at, mean, half, color=MUTED, capsize=2, elinewidth=1.1, zorder=3)
    top = mean + (0.0 if math.isnan(half) else half)
    text = number(mean, decimals) + (f"\n{bar['n']} of {bar['planned']}" if unfinished else "")
    panel.annotate(
        text, (at, top), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
        fontsize=6.2 if crowded else 7.5, rotation=90 if crowded else 0,
    )  # fmt: skip


def _draw_lines(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, _Style], encoding: Encoding, axes: Levels
) -> None:
    places = {level: place for place, level in enumerate(_known(points["x"], encoding.x, axes))}
    for level, look in styles.items():
        mine = points[points["color"] == level].assign(place=lambda table: table["x"].map(places)).sort_values("place")
        if mine.empty:
            continue
        label = _level_name(encoding.color, level) if encoding.color else None
        there = mine.dropna(subset="mean")
        half = there["half_width"].fillna(0.0)
        panel.fill_between(
            there["place"], there["mean"] - half, there["mean"] + half, color=look.ink, alpha=0.18, linewidth=0
        )
        panel.plot(
            there["place"],
            there["mean"],
            color=look.ink,
            linestyle=look.dashes,
            linewidth=1.8,
            marker=look.marker,
            markersize=5,
            label=label,
            zorder=3,
        )
        partial = there[there["n"] < there["planned"]]
        panel.plot(
            partial["place"],
            partial["mean"],
            linestyle="none",
            marker=look.marker,
            markersize=6.5,
            markerfacecolor="white",
            markeredgecolor=look.ink,
            zorder=4,
        )
        for place in mine[mine["mean"].isna()]["place"]:
            panel.annotate(
                "unfinished",
                (place, 0.02),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=MUTED,
            )
    panel.set_xticks(list(places.values()), [_tick(level, len(places)) for level in places])
    panel.margins(x=0.06)
    if encoding.color:
        _legend(panel, len(panel.get_legend_handles_labels()[0]))


def _draw_scatter(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, _Style], encoding: Encoding, _: Levels
) -> None:
    for level, look in styles.items():
        mine = points[(points["color"] == level)].dropna(subset=["mean", "at"])
        if mine.empty:
            continue
        partial = mine["n"] < mine["planned"]
        panel.errorbar(
            mine["at"],
            mine["mean"],
            mine["half_width"].fillna(0.0),
            fmt="none",
            ecolor=look.ink,
            elinewidth=0.9,
            alpha=0.6,
            zorder=2,
        )
        panel.scatter(
            mine["at"], mine["mean"], s=34, marker=look.marker, linewidth=1.3, edgecolor=look.ink, zorder=3,
            facecolor=["white" if part else look.ink for part in partial],
            label=_level_name(encoding.color, level) if encoding.color else None,
        )  # fmt: skip
        for point in mine.to_dict("records") if len(points) <= _MANY else []:
            panel.annotate(
                point["name"], (point["at"], point["mean"]), xytext=(4, 4), textcoords="offset points", fontsize=6.8
            )
    if len(there := points["at"].dropna()) and there.min() > 0 and there.max() / there.min() > 20:
        panel.set_xscale("log")
    if encoding.x == NUM_PARAMETERS:
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter("")
    panel.margins(0.1)
    if encoding.color:
        _legend(panel, len(panel.get_legend_handles_labels()[0]))


def _tick(level: str, num_levels: int) -> str:
    return textwrap.fill(level.replace("_", " "), 11 if num_levels < 8 else 30)


def _known(levels: Iterable[str], axis: str | None, axes: Levels) -> list[str]:
    return in_order(levels, axes.get(axis or "", []))


def _legend(panel: Axes, num_entries: int) -> None:
    if num_entries > 1:
        panel.legend(
            frameon=False, fontsize=7.5, loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=min(num_entries, 4),
            borderpad=0, handlelength=1.8, columnspacing=1.0, handletextpad=0.4,
        )  # fmt: skip


def _label_axes(panel: Axes, encoding: Encoding, *, first: bool) -> None:
    shown = quantity(encoding.metric)
    if first:
        panel.set_ylabel(headed(shown.label) + (f" ({shown.unit})" if shown.unit else ""))
    other = quantity(encoding.x)
    name = other.label + (f" ({other.unit})" if other.unit else "") if encoding.x != NUM_PARAMETERS else "parameters"
    panel.set_xlabel(name.replace("_", " "), loc="right", labelpad=2)
    light_grid(panel)
    if encoding.kind == "bars":
        panel.grid(visible=False, axis="x")


def _match_scales(panels: Any, encoding: Encoding) -> None:
    """Bars start at 0 and share their end; lines and points share the length of the axis."""
    flat = [panel for panel in panels.flat if panel.has_data()]
    if not flat:
        return
    limits = [panel.get_ylim() for panel in flat]
    if encoding.kind == "bars":
        low, high = min([0.0, *(low for low, _ in limits)]), max(high for _, high in limits)
        for panel in flat:
            panel.set_ylim(low, high * 1.08 if high > 0 else high)
        return
    span = max(high - low for low, high in limits)
    for panel, (low, high) in zip(flat, limits, strict=True):
        panel.set_ylim((low + high - span) / 2, (low + high + span) / 2)


def _reference(frame: pd.DataFrame, encoding: Encoding) -> float:
    rows = frame[(frame["role"] == "reference") & (frame["metric"] == encoding.metric)]
    return float(rows["value"].mean()) if len(rows) else math.nan


def _note(ours: pd.DataFrame, encoding: Encoding, *, untrained: bool) -> str:
    parts = {
        "bars": "Bars: mean over seeds with 95 % interval.",
        "lines": "Lines: mean over seeds with 95 % band; both vertical axes have one length in points.",
        "scatter": "Points: mean over seeds with 95 % interval; both vertical axes have one length in points.",
    }
    text = [f"Colour: {encoding.color.replace('_', ' ')}."] if encoding.color else []
    text += [parts[encoding.kind], "The paper's: single numbers, a band where it gives one."]
    if untrained:
        text.append("Dashed: untrained.")
    if (ours["n"] < ours["planned"]).any():
        text.append("Hatched or open: unfinished, with the seeds that are there.")
    return " ".join(text)


_DRAW = {"bars": _draw_bars, "lines": _draw_lines, "scatter": _draw_scatter}
