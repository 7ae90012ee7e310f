"""What stands in a panel of bars, lines or points: one mark a cell, with its interval and what is unfinished of it."""

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
from matplotlib.colors import to_hex
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from formats.levels import is_number
from formats.metrics import NUM_PARAMETERS
from reports.figures.points import Encoding, in_order, level_name
from reports.figures.style import DASHES, MARKERS, MUTED, SEQUENTIAL, Look, chars, look_at
from reports.metrics import number, quantity

Levels = Mapping[str, Sequence[str]]

_SMALL, _NAME = 6.2, 7.5  # points: numbers at marks, names of levels
_LONG = 30  # characters of a name in one line


def known(levels: Iterable[str], axis: str | None, axes: Levels) -> list[str]:
    """The levels in the order of their axis."""
    return in_order(levels, axes.get(axis or "", []))


def looks(side: pd.DataFrame, sides: Sequence[pd.DataFrame], encoding: Encoding, axes: Levels) -> dict[str, Look]:
    """A look for each level of ``color``: hues where levels are words, steps of luminance where they are numbers.

    A number that both sides have looks alike on both; where they have none in common, each has the whole scale.
    """
    union = known([level for one in sides for level in one["color"]], encoding.color, axes)
    if not all(map(is_number, filter(None, union))) or union in ([], [""]):
        return {level: look_at(place) for place, level in enumerate(union)}
    shared = set.intersection(*(set(one["color"]) for one in sides)) - {""}
    levels = [level for level in (union if shared else known(side["color"], encoding.color, axes)) if level]
    shades = list(map(to_hex, mpl.colormaps[SEQUENTIAL](np.linspace(0.35, 1.0, max(len(levels), 2)))))
    unknown = {"": Look(MUTED, "o", "solid", "")}  # the paper does not say which level a number has
    return unknown | {
        level: Look(shades[index], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)], "")
        for index, level in enumerate(levels)
    }


def draw_bars(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, Look], encoding: Encoding, axes: Levels, width: float
) -> None:
    """Groups of bars along ``x``, one bar a level of ``color``; ``width`` of the panel in inches."""
    groups, shown = known(points["x"], encoding.x, axes), quantity(encoding.metric)
    slot = 72 * width / (1.1 * len(points) + 0.6 * len(groups))  # points that a bar has
    size = min(_SMALL, max(5.0, 0.8 * slot))
    read_off = bool(points["reading_error"].notna().any())
    across = 0.6 * size * (len(number(88.8, shown.decimals)) + read_off) > slot
    if read_off:
        panel.margins(y=0.12)  # its sign makes a number that stands upright longer
    edges: dict[str, list[float]] = {}
    start = 0.0
    for group in groups:
        mine = points[points["x"] == group]
        edges[group] = [start, start]
        for level in styles:
            for bar in mine[mine["color"] == level].to_dict("records"):
                _draw_bar(panel, start, bar, styles[level], shown.decimals, size=size, across=across)
                edges[group][1] = start
                start += 1.0
        start += 0.6
    panel.set_xlim(-0.9, start - 0.7)  # as much room beside one bar as beside many
    _name_groups(panel, [sum(ends) / 2 for ends in edges.values()], groups, width)
    if encoding.color:
        for level in [level for level in styles if level and level in set(points["color"])]:
            look = styles[level]
            panel.bar(
                [0], [0], color=look.ink, hatch=look.hatch, edgecolor="white", linewidth=0,
                label=level_name(encoding.color, level),
            )  # fmt: skip


def _draw_bar(
    panel: Axes, at: float, bar: Mapping[Any, Any], look: Look, decimals: int, *, size: float, across: bool
) -> None:
    mean, half = float(bar["mean"]), float(bar["half_width"])
    unfinished = bar["n"] < bar["planned"]
    if math.isnan(mean):
        panel.text(at, 0, "unfinished", rotation=90, ha="center", va="bottom", fontsize=_SMALL, color=MUTED)
        return
    panel.bar(
        at, mean, width=0.86, color="white" if unfinished else look.ink, edgecolor=look.ink if unfinished else "white",
        hatch="////" if unfinished else look.hatch, linewidth=0.8, zorder=2,
    )  # fmt: skip
    if not math.isnan(half):
        panel.errorbar(at, mean, half, color=MUTED, capsize=1.6, elinewidth=0.9, capthick=0.9, zorder=3)
    top = mean + (0.0 if math.isnan(half) else half)
    text = number(mean, decimals, reading_error=bar["reading_error"])
    text += f"\n{bar['n']} of {bar['planned']}" if unfinished else ""
    panel.annotate(
        text, (at, top), xytext=(0, 1.5), textcoords="offset points", ha="center", va="bottom", fontsize=size,
        rotation=90 if across else 0,
    )  # fmt: skip


def draw_lines(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, Look], encoding: Encoding, axes: Levels, width: float
) -> None:
    """A line a level of ``color`` over the levels of ``x``, which stand at equal distances; a band over seeds."""
    places = {level: place for place, level in enumerate(known(points["x"], encoding.x, axes))}
    for level, look in styles.items():
        mine = points[points["color"] == level].assign(place=lambda table: table["x"].map(places)).sort_values("place")
        if mine.empty:
            continue
        there = mine.dropna(subset="mean")
        at, mean, half = there["place"], there["mean"], there["half_width"].fillna(0.0)
        panel.fill_between(at, mean - half, mean + half, color=look.ink, alpha=0.18, linewidth=0)
        panel.plot(
            at, mean, color=look.ink, linestyle=look.dashes, linewidth=1.4, marker=look.marker, markersize=4,
            label=level_name(encoding.color, level) if encoding.color else None, zorder=3,
        )  # fmt: skip
        partial = there[there["n"] < there["planned"]]
        panel.plot(
            partial["place"], partial["mean"], linestyle="none", marker=look.marker, markersize=5,
            markerfacecolor="white", markeredgecolor=look.ink, zorder=4,
        )  # fmt: skip
        for place in mine[mine["mean"].isna()]["place"]:
            panel.annotate(
                "unfinished", (place, 0.02), xycoords=("data", "axes fraction"), rotation=90, ha="center", va="bottom",
                fontsize=_SMALL, color=MUTED,
            )  # fmt: skip
    _name_groups(panel, list(places.values()), list(places), width)
    panel.margins(x=0.06)


def draw_scatter(
    panel: Axes, points: pd.DataFrame, styles: Mapping[str, Look], encoding: Encoding, _: Levels, __: float
) -> None:
    """A point a cell, the metric over ``at``; ``name_points`` names them once the scales are final."""
    for level, look in styles.items():
        mine = points[(points["color"] == level)].dropna(subset=["mean", "at"])
        if mine.empty:
            continue
        partial = mine["n"] < mine["planned"]
        panel.errorbar(
            mine["at"], mine["mean"], mine["half_width"].fillna(0.0), fmt="none", ecolor=look.ink, elinewidth=0.9,
            alpha=0.6, zorder=2,
        )  # fmt: skip
        panel.scatter(
            mine["at"], mine["mean"], s=20, marker=look.marker, linewidth=1.0, edgecolor=look.ink, zorder=3,
            facecolor=["white" if part else look.ink for part in partial],
            label=level_name(encoding.color, level) if encoding.color else None,
        )  # fmt: skip
    there = points.dropna(subset=["at", "mean"])["at"]
    if len(there) and there.min() > 0 and (there.max() / there.min() > 20 or encoding.x == NUM_PARAMETERS):
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if there.max() / there.min() < 100 else (1,)))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_locator(NullLocator())
    panel.margins(0.12)


def name_points(panel: Axes, points: pd.DataFrame) -> None:
    """Each name once, above the highest of its points, and above other names that it would cover."""
    named = points.dropna(subset=["at", "mean"])
    named = named.assign(top=named["mean"] + named["half_width"].fillna(0.0))
    pixel = panel.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    places = panel.transData.transform(named[["at", "mean"]].to_numpy(dtype=float)) / pixel
    boxes = [(float(x), 2.5, float(y) - 2.5, float(y) + 2.5) for x, y in places]
    for _, mine in named.groupby(["name", "at"], sort=False):
        name, at = mine["name"].iloc[0], float(mine["at"].iloc[0])
        top = float(mine["top"].max())
        x, y = panel.transData.transform((at, top)) / pixel
        half, up = 0.3 * _SMALL * len(str(name)), 3.0
        while any(
            abs(x - left) < half + other and low < y + up + _SMALL and y + up < high for left, other, low, high in boxes
        ):
            up += 1.0
        boxes.append((x, half, y + up, y + up + _SMALL))
        panel.annotate(
            str(name), (at, mine["top"].max()), xytext=(0, up), textcoords="offset points", ha="center", va="bottom",
            fontsize=_SMALL,
        )  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Names of levels under a horizontal axis: texts, how they are set, and the inches that they take."""

    texts: list[str]
    options: dict[str, Any]
    inches: float


def names(levels: Sequence[str], width: float) -> Names:
    """In lines where their words fit into ``width`` inches, else slanted, and upright where they are many or long."""
    texts = [level.replace("_", " ") for level in levels]
    longest, slot = max(map(len, texts), default=0), width / max(len(levels), 1)
    room = chars(0.94 * slot, _NAME)
    if all(len(word) <= room for text in texts for word in text.split()):
        texts = [textwrap.fill(text, max(room, 1)) for text in texts]
        return Names(texts, {}, 0.115 * max((text.count("\n") + 1 for text in texts), default=1))
    if 72 * slot >= 2 * _NAME and longest <= _LONG:
        options = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        return Names(texts, options, 0.033 * longest + 0.05)
    size = min(_NAME, max(5.0, 72 * slot / 1.2))
    if 72 * slot >= 1.2 * size * math.ceil(longest / _LONG):
        texts = [textwrap.fill(text, _LONG) for text in texts]
    lengths = [len(line) for text in texts for line in text.split("\n")]
    return Names(
        texts, {"rotation": 90, "fontsize": size, "multialignment": "right"}, 0.0083 * size * max(lengths) + 0.05
    )


def _name_groups(panel: Axes, places: Sequence[float], levels: Sequence[str], width: float) -> None:
    made = names(levels, width)
    panel.set_xticks(places, made.texts, **made.options)


DRAW = {"bars": draw_bars, "lines": draw_lines, "scatter": draw_scatter}
