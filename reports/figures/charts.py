"""Bars, lines and scatters: ours beside the paper's, drawn alike, a row of panels for each level of ``facet``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from formats.metrics import NUM_PARAMETERS
from reports.figures.marks import DRAW, Levels, known, looks, name_points, names
from reports.figures.points import Encoding, encoded, level_name, naming, our_points, paper_points, told_apart
from reports.figures.style import (
    LEGEND_ROW,
    MUTED,
    REFERENCE,
    WIDTH,
    footnote,
    heading,
    legend,
    legend_size,
    light_grid,
    place,
    style,
)
from reports.metrics import headed, quantity
from reports.read.papers import read_off

_LEFT, _GAP, _RIGHT = 0.5, 0.42, 0.08  # inches: before, between and after the panels of a row
_PANEL, _HIGH = (WIDTH - _LEFT - _GAP - _RIGHT) / 2, 1.75
_BETWEEN = 0.98  # from the bottom of a row to the top of the next
_MANY = 24  # more names than that hide the points of a scatter


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
    encoding = told_apart(encoding, [set(side["color"]) - {""} for side in sides])
    sides = [encoded(side, axes, encoding) for side in sides]
    facets, between = _facets(sides, encoding, axes), _between(sides, encoding, axes)
    with style():
        figure = Figure(figsize=(WIDTH, _HIGH * len(facets) + between * (len(facets) - 1)))
        drawn: list[tuple[Axes, pd.DataFrame]] = []
        rows = 0
        for row, pair in enumerate(facets):
            for column, (side, facet) in enumerate(zip(sides, pair, strict=True)):
                left, top = _LEFT + column * (_PANEL + _GAP), row * (_HIGH + between)
                panel, shown = place(figure, left, top, _PANEL, _HIGH), side[[each == facet for each in side["panel"]]]
                if shown.empty:
                    _say_nothing(panel, "" if facet is None else "the paper prints no number")
                    continue
                DRAW[encoding.kind](panel, shown, looks(side, sides, encoding, axes), encoding, axes, _PANEL)
                _label_axes(panel, encoding, first=column == 0 or pair[0] is None)
                if shown["mean"].isna().all():
                    _say_nothing(panel, "unfinished")
                rows = max(rows, legend(panel, _PANEL))
                drawn.append((panel, shown))
        untrained = _reference(frame, encoding)
        for index, panel in enumerate(figure.axes):
            who, facet = "The paper" if index % 2 else "Ours", facets[index // 2][index % 2]
            if facet is not None:
                where = [f"{axis.replace('_', ' ')} {level}" for axis, level in zip(encoding.rows, facet, strict=True)]
                panel.set_title(", ".join([who, *where]), pad=5 + LEGEND_ROW * rows)
            if index % 2 == 0 and panel.axison and not math.isnan(untrained):
                panel.axhline(untrained, color=REFERENCE, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
        _match_scales([panel for panel, _ in drawn], encoding)
        for panel, shown in drawn if encoding.kind == "scatter" else []:
            if shown["name"].nunique() <= _MANY:
                name_points(panel, shown)
        heading(figure, title, subtitle, above_in=0.32 + LEGEND_ROW * rows / 72)
        note = _note(sides[0], sides[1], axes, encoding, untrained=not math.isnan(untrained))
        footnote(figure, note, left=_LEFT, top=figure.get_figheight() + (0.3 + _names_below(sides, encoding, axes)))
    return figure


_Panel = tuple[str, ...]  # a level of each axis that has rows


def _facets(
    sides: Sequence[pd.DataFrame], encoding: Encoding, axes: Levels
) -> list[tuple[_Panel | None, _Panel | None]]:
    """The levels that each row shows of ours and of the paper's: those that both have, or what is left."""
    if not encoding.rows:
        return [((), ())]
    ours, theirs = (_panels(side, encoding, axes) for side in sides)
    shared = [panel for panel in ours if panel in theirs]
    left = itertools.zip_longest(*([panel for panel in one if panel not in shared] for one in (ours, theirs)))
    return [*((panel, panel) for panel in shared), *((mine, printed) for mine, printed in left)]


def _panels(side: pd.DataFrame, encoding: Encoding, axes: Levels) -> list[_Panel]:
    """The panels of one side, in the order of their axes."""
    orders = [known(side[axis], axis, axes) for axis in encoding.rows]
    return sorted(
        set(side["panel"]), key=lambda panel: [order.index(one) for order, one in zip(orders, panel, strict=True)]
    )


def _names_below(sides: Sequence[pd.DataFrame], encoding: Encoding, axes: Levels) -> float:
    """Inches that names of levels take under the panels."""
    if encoding.kind == "scatter":
        return 0.115
    panels = [mine for side in sides for _, mine in side.groupby("panel", sort=False)]
    return max((names(known(mine["x"], encoding.x, axes), _PANEL).inches for mine in panels), default=0.115)


def _between(sides: Sequence[pd.DataFrame], encoding: Encoding, axes: Levels) -> float:
    """Inches from the bottom of a row of panels to the top of the next: names of levels, legend, title."""
    below = _names_below(sides, encoding, axes)
    labels = [{level_name(encoding.color, level) for level in side["color"]} for side in sides if encoding.color]
    rows = max((legend_size(list(each), _PANEL)[0] for each in labels), default=0)
    return max(_BETWEEN, 0.55 + below + LEGEND_ROW * rows / 72)


def _say_nothing(panel: Axes, why: str) -> None:
    panel.text(0.5, 0.5, why, transform=panel.transAxes, ha="center", fontsize=7.5, color=MUTED)
    if not panel.has_data():
        panel.set_axis_off()


def _label_axes(panel: Axes, encoding: Encoding, *, first: bool) -> None:
    shown = quantity(encoding.metric)
    if first:
        panel.set_ylabel(headed(shown.label) + (f" ({shown.unit})" if shown.unit else ""))
    other = quantity(encoding.x)
    name = other.label + (f" ({other.unit})" if other.unit else "") if encoding.x != NUM_PARAMETERS else "parameters"
    panel.set_xlabel(name.replace("_", " "), loc="right", labelpad=1)
    light_grid(panel)
    if encoding.kind == "bars":
        panel.grid(visible=False, axis="x")


def _match_scales(panels: list[Axes], encoding: Encoding) -> None:
    """Bars start at 0 and share their end; lines and points share the length of the axis."""
    flat = [panel for panel in panels if panel.has_data()]
    if not flat:
        return
    limits = [panel.get_ylim() for panel in flat]
    if encoding.kind == "bars":
        low, high = min([0.0, *(low for low, _ in limits)]), max(high for _, high in limits)
        for panel in flat:
            panel.set_ylim(low, high * 1.1 if high > 0 else high)
        return
    span = max(high - low for low, high in limits)
    for panel, (low, high) in zip(flat, limits, strict=True):
        panel.set_ylim((low + high - span) / 2, (low + high + span) / 2)


def _reference(frame: pd.DataFrame, encoding: Encoding) -> float:
    rows = frame[(frame["role"] == "reference") & (frame["metric"] == encoding.metric)]
    return float(rows["value"].mean()) if len(rows) else math.nan


def _note(ours: pd.DataFrame, theirs: pd.DataFrame, axes: Levels, encoding: Encoding, *, untrained: bool) -> str:
    parts = {
        "bars": "Bars: mean over seeds with 95 % interval.",
        "lines": "Lines: mean over seeds with 95 % band; both vertical axes have one length in points.",
        "scatter": "Points: mean over seeds with 95 % interval; both vertical axes have one length in points.",
    }
    text = [f"Colour: {encoding.color.replace('_', ' ')}."] if encoding.color else []
    text.append(parts[encoding.kind])
    if encoding.kind == "scatter" and (named := naming(axes, encoding)):
        text.append(f"Names: {', '.join(axis.replace('_', ' ') for axis in named)}.")
    text.append("The paper's: single numbers, a band where it gives one.")
    if words := read_off(theirs["reading_error"]):
        which = "≈:" if encoding.kind == "bars" else f"{theirs['reading_error'].count()} of {len(theirs)} are"
        text.append(f"{which} {words}.")
    if untrained:
        text.append("Dashed: untrained.")
    if (ours["n"] < ours["planned"]).any():
        text.append("Hatched or open: unfinished, with the seeds that are there.")
    return " ".join(text)
