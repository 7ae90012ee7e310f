"""The points of bars, lines and scatters: our cells and the paper's as one table each, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from formats.levels import is_number, ordered
from formats.metrics import NUM_PARAMETERS
from formats.selectors import Selector, select
from reports.claims.stats import summarise
from reports.metrics import number, quantity


@dataclass(frozen=True)
class Encoding:
    """What a chart shows of a grid: ``x`` is an axis, in a scatter also a metric or ``num_parameters``.

    Each level of ``facet``, and of ``row`` where there is one, has a row of panels.
    """

    kind: str
    x: str
    metric: str
    color: str | None = None
    facet: str | None = None
    within: Selector | None = None
    row: str | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """The axes whose levels have rows of panels."""
        return tuple(axis for axis in (self.facet, self.row) if axis)


MOST_HUES, MOST_STEPS = 5, 7
"""More bars of one group than that, by words or by numbers, are not told apart by colour."""


def told_apart(encoding: Encoding, sides: Sequence[set[str]]) -> Encoding:
    """The encoding where bars have these levels of ``color``: with too many for that each stands named on the axis.

    What was on the axis then has rows of panels. ``sides``: the levels of ours and of the paper's, which share hues.
    """
    every: set[str] = set().union(*sides)
    is_many = max(map(len, sides)) > MOST_STEPS if all(map(is_number, every)) else len(every) > MOST_HUES
    if encoding.kind != "bars" or not encoding.color or not is_many:
        return encoding
    return replace(encoding, x=encoding.color, color=None, row=encoding.x)


def in_order(levels: Iterable[str], known: Sequence[str]) -> list[str]:
    """The distinct levels: numbers by value, words as the grid lists them (``known``), others after them."""
    distinct = ordered(levels)
    if all(map(is_number, distinct)):
        return distinct
    return sorted(distinct, key=lambda level: known.index(level) if level in known else len(known))


def level_name(axis: str, level: str) -> str:
    """A level for a legend: ``without stop-gradient``, ``fixed random``, ``0.1``."""
    if level in ("true", "false"):
        return f"{'with' if level == 'true' else 'without'} {axis.replace('_', '-')}"
    return level.replace("_", " ")


def our_points(frame: pd.DataFrame, axes: Mapping[str, Sequence[str]], encoding: Encoding) -> pd.DataFrame:
    """One row a cell drawn.

    x, color (texts), panel (a level of each axis that has rows), at (its place in a scatter), mean, half_width, n,
    planned, reading_error (NaN).
    """
    cells = frame[frame["role"] == "cell"]
    levels = {
        str(row["cell_id"]): {axis: str(row[axis]) for axis in axes}
        for row in cells.drop_duplicates("cell_id").to_dict("records")
    }
    chosen = select(encoding.within or {}, levels)
    values = cells[(cells["metric"] == encoding.metric) & cells["cell_id"].isin(chosen)]
    table = summarise(values, ["cell_id", *axes])
    table["planned"] = table["cell_id"].map(values.groupby("cell_id")["run_id"].nunique())
    table["at"] = table["cell_id"].map(_places(cells, encoding)) if encoding.kind == "scatter" else math.nan
    return encoded(table.assign(reading_error=math.nan), axes, encoding)


def _places(cells: pd.DataFrame, encoding: Encoding) -> dict[str, float]:
    if encoding.x == NUM_PARAMETERS:
        return dict(cells.groupby("cell_id")[NUM_PARAMETERS].first())
    if encoding.x in cells:
        return dict(cells.groupby("cell_id")[encoding.x].first().astype(float))
    return dict(cells[cells["metric"] == encoding.x].groupby("cell_id")["value"].mean())


def paper_points(paper: pd.DataFrame, axes: Mapping[str, Sequence[str]], encoding: Encoding) -> pd.DataFrame:
    """The same of the paper's cells, which have reading errors; its own numeric levels, which this scale may lack."""
    rows = paper[paper["metric"] == encoding.metric].reset_index(drop=True)
    levels = {str(index): {axis: str(row[axis]) for axis in axes} for index, row in enumerate(rows.to_dict("records"))}
    table = rows.loc[[int(index) for index in select(encoding.within or {}, levels)]]
    table = table.assign(mean=table["value"], half_width=table["std"], n=1, planned=1, at=math.nan)
    if encoding.kind == "scatter" and encoding.x in paper:
        table["at"] = pd.to_numeric(table[encoding.x], errors="coerce")
    elif encoding.kind == "scatter":
        other = paper[paper["metric"] == encoding.x].set_index(list(axes))["value"]
        keys = pd.MultiIndex.from_frame(table[list(axes)]) if len(axes) > 1 else pd.Index(table[next(iter(axes))])
        table["at"] = other.reindex(keys).to_numpy()
    return encoded(table, axes, encoding)


def naming(axes: Iterable[str], encoding: Encoding) -> list[str]:
    """The axes whose levels name a point of a scatter: those that nothing else shows."""
    return [axis for axis in axes if axis not in (encoding.color, encoding.facet, encoding.x)]


def encoded(table: pd.DataFrame, axes: Mapping[str, Sequence[str]], encoding: Encoding) -> pd.DataFrame:
    """Cells with what an encoding makes of their levels: x, color and name, and the panel (a level of each row)."""
    named = naming(axes, encoding)
    panels: list[Any] = [tuple(str(row[axis]) for axis in encoding.rows) for row in table.to_dict("records")]
    return table.assign(
        x=table[encoding.x] if encoding.x in axes else "",
        color=table[encoding.color] if encoding.color else "",
        panel=panels,
        name=[", ".join(str(row[axis]) for axis in named) for row in table.to_dict("records")],
    ).reset_index(drop=True)


def describe_chart(
    frame: pd.DataFrame, paper: pd.DataFrame, axes: Mapping[str, Sequence[str]], encoding: Encoding
) -> str:
    """Best and worst cell of ours, and of the paper's, in a sentence each."""
    shown = quantity(encoding.metric)
    sentences = []
    for who, points in (
        ("Ours", our_points(frame, axes, encoding)),
        ("The paper", paper_points(paper, axes, encoding)),
    ):
        there = points.dropna(subset="mean")
        if there.empty:
            sentences.append(f"{who}: no number yet." if who == "Ours" else f"{who} prints no number.")
            continue
        ends = [
            there.iloc[int(place)] for place in (there["mean"].to_numpy().argmax(), there["mean"].to_numpy().argmin())
        ]
        words = [
            f"{number(float(end['mean']), shown.decimals, reading_error=end['reading_error'])} {shown.unit}".rstrip()
            + " at "
            + ", ".join(f"{axis.replace('_', ' ')} {end[axis]}" for axis in axes if end[axis])
            for end in ends
        ]
        sentences.append(f"{who}: from {words[1]} to {words[0]}.")
    return " ".join(sentences)
