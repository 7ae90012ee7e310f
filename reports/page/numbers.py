"""The table of a grid's page: a row a cell, numbers rounded to what their interval supports, how its runs went."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.claims.evidence import cell_name
from reports.inputs import GridResult
from reports.metrics import number, quantity
from reports.page.tables import cell_table
from reports.read.papers import read_off

ENDED = ("collapsed", "diverged")
"""Outcomes of runs that are done and learnt nothing."""


@dataclass(frozen=True)
class Number:
    """A mean and its 95 % half-width as texts; ``half`` is empty where there is no interval."""

    mean: str
    half: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is nothing to show."""
        return self.mean == "–"


@dataclass(frozen=True)
class Column:
    """A column of the table: its name, its unit, and how wide its half-widths are, in characters."""

    label: str
    unit: str
    half_width_ch: int


@dataclass(frozen=True)
class Row:
    """A cell or a reference. ``remarks``: (kind, words) of runs that are no ordinary success."""

    cell_id: str
    name: str
    seeds: str
    ours: Number
    paper: Number
    difference: str
    others: list[Number]
    remarks: list[tuple[str, str]]


@dataclass(frozen=True)
class NumberTable:
    """Rows and columns; ``printed`` says whether the paper has a number for any of the cells, ``read_off`` how precise
    those are that were read off a plot.
    """

    main: Column
    paper: Column
    others: list[Column]
    rows: list[Row]
    printed: bool
    read_off: str


def number_table(result: GridResult) -> NumberTable:
    """The grid's cells, references last.

    ``z_std`` is left out: ``z_std_ratio`` says the same free of the output dimension. So is what has no number.
    """
    table = cell_table(result)
    measured = set(table["metric"][table["n"] > 0]) - {result.metric, "z_std"}
    metrics = [result.metric, *(metric for metric in result.metrics if metric in measured)]
    columns = {metric: _numbers(table[table["metric"] == metric], metric) for metric in metrics}
    decimals = column_decimals(table[table["metric"] == result.metric]["half_width"], result.metric)
    paper_decimals = quantity(result.metric).decimals
    remarks = cell_remarks(result.spec["cells"])
    ids = {str(cell["label"]): str(cell["cell_id"]) for cell in reversed(result.spec["cells"])}
    rows = []
    for row in table[table["metric"] == result.metric].to_dict("records"):
        label = str(row["label"])
        is_cell = row["role"] == "cell"
        paper, ours = float(row["paper_value"]), float(row["mean"])
        error = float(row["paper_reading_error"])
        rows.append(
            Row(
                cell_id=ids[label],
                name=cell_name({axis: str(row[axis]) for axis in result.axes}) if is_cell else label,
                seeds=f"{row['n']}" if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}",
                ours=columns[result.metric][label],
                paper=_number(paper, float(row["paper_std"]), paper_decimals, error),
                difference=number(ours - paper, decimals, sign=True),
                others=[columns[metric][label] for metric in metrics[1:]],
                remarks=remarks[ids[label]],
            )
        )
    heads = [_column(quantity(metric).label, metric, columns[metric].values()) for metric in metrics]
    paper_head = _column("the paper", result.metric, [row.paper for row in rows])
    read = read_off(table[table["metric"] == result.metric]["paper_reading_error"])
    return NumberTable(heads[0], paper_head, heads[1:], rows, not all(row.paper.missing for row in rows), read)


def column_decimals(half_widths: Iterable[float], metric: str) -> int:
    """Decimals for a column: so that its smallest interval has two digits, at most those that the metric is read with.

    One number for a whole column keeps its points in line.
    """
    known = [width for width in half_widths if math.isfinite(width) and width > 0]
    most = quantity(metric).decimals
    return max(0, min(most, 1 - math.floor(math.log10(min(known))))) if known else most


def _numbers(rows: pd.DataFrame, metric: str) -> dict[str, Number]:
    decimals = column_decimals(rows["half_width"], metric)
    return {
        str(row["label"]): _number(float(row["mean"]), float(row["half_width"]), decimals)
        for row in rows.to_dict("records")
    }


def _number(mean: float, half: float, decimals: int, reading_error: float = math.nan) -> Number:
    return Number(
        number(mean, decimals, reading_error=reading_error), "" if math.isnan(half) else number(half, decimals)
    )


def _column(label: str, metric: str, numbers: Iterable[Number]) -> Column:
    return Column(label, quantity(metric).unit, max((len(each.half) for each in numbers), default=0))


def cell_remarks(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Cell id -> (kind, words) such as (``collapsed``, ``3 of 3 collapsed``), for runs that are no ordinary success."""
    return {
        str(cell["cell_id"]): [
            (kind, f"{count} of {len(cell['runs'])} {kind}")
            for kind, count in Counter(map(run_kind, cell["runs"])).items()
            if kind != "done"
        ]
        for cell in cells
    }


def run_kind(run: Mapping[str, Any]) -> str:
    """How a run ended, if that is worth a word (``collapsed``, ``diverged``); else its state."""
    if run["state"] == "done" and run["outcome"] in ENDED:
        return str(run["outcome"])
    return str(run["state"])
