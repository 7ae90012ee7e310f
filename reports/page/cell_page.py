"""A page per cell of a grid: what the cell is and gave, its runs as a table and as curves, and a panel per run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from formats.levels import level_text
from reports.claims.evidence import cell_name
from reports.inputs import GridResult
from reports.metrics import Quantity, headed, number, paper_name, quantity
from reports.page.curve_charts import Recorded, recorded, run_charts
from reports.page.numbers import column_decimals
from reports.page.render import environment, page
from reports.page.run_panel import Panel, duration_text, panel
from reports.page.sparkline import look, mark
from reports.page.tables import cell_table, mean_text
from reports.paths import safe_name
from reports.read.papers import read_off


@dataclass(frozen=True)
class Measured:
    """A metric of the cell, as texts: the mean over its runs, and the paper's number."""

    metric: str
    head: str
    mean: str
    n: str
    paper: str
    read_off: str
    difference: str


@dataclass(frozen=True)
class Setting:
    """A setting of the cell's configuration, and what the grid's base has; None where one of them lacks it."""

    key: str
    value: Any
    base: Any
    differs: bool = True


@dataclass(frozen=True)
class Value:
    """A field of the table of runs: its text, and the number by which it is sorted, empty if there is none."""

    text: str
    by: str = ""


class _BaseRows:
    """The rows of the settings that a cell has from the base. Most cells differ in the same few, and share them."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        self._settings = base
        self._rows: dict[frozenset[str], tuple[Markup, int]] = {}

    def but(self, differing: Sequence[Setting]) -> tuple[Markup, int]:
        """The rows, without those of these settings, and their number."""
        without = frozenset(setting.key for setting in differing)
        if without not in self._rows:
            template: Any = environment().get_template("settings.html").module
            rows = [
                template.setting_row(Setting(str(key), value, value, differs=False))
                for key, value in self._settings.items()
                if key not in without
            ]
            self._rows[without] = Markup().join(rows), len(rows)
        return self._rows[without]


@dataclass(frozen=True)
class _Grid:
    """What the pages of all cells need, worked out once."""

    result: GridResult
    slug: str
    metrics: list[tuple[str, Quantity]]
    values: Mapping[tuple[str, str], float]  # by run id and metric
    summaries: Mapping[tuple[str, str], list[dict[str, Any]]]  # by role and label: one row a metric
    curves: Mapping[str, Recorded]
    links: list[tuple[str, str]]  # file and name of every cell's page
    base_rows: _BaseRows


def cell_pages(result: GridResult) -> dict[str, bytes]:
    """Path in the site -> page, of every cell and reference of the grid, in its order.

    The same result gives the same bytes. Raises InputError for an id that could lead out of its folder.
    """
    slug = safe_name(f"{result.name}.{result.scale}", "the name and scale of a grid")
    frame = result.frame
    there = set(frame["metric"][frame["value"].notna()])
    summaries: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in cell_table(result).to_dict("records"):
        summaries.setdefault((str(row["role"]), str(row["label"])), []).append({str(k): v for k, v in row.items()})
    cells = result.spec["cells"]
    grid = _Grid(
        result=result,
        slug=slug,
        metrics=[(name, quantity(name)) for name in result.metrics if name in there or name == result.metric],
        values={
            (str(run_id), str(metric)): float(value)
            for run_id, metric, value in zip(frame["run_id"], frame["metric"], frame["value"], strict=True)
        },
        summaries=summaries,
        curves=recorded(result),
        links=[(f"{safe_name(cell['cell_id'], 'the id of a cell')}.html", _name(cell)) for cell in cells],
        base_rows=_BaseRows(result.spec.get("base", {})),
    )
    return {
        f"runs/{slug}/{grid.links[index][0]}": _page(grid, index, cell).encode() for index, cell in enumerate(cells)
    }


def _name(cell: Mapping[str, Any]) -> str:
    if cell["role"] != "cell" or not cell["levels"]:
        return str(cell["label"])
    return cell_name({axis: level_text(level) for axis, level in cell["levels"].items()})


def _page(grid: _Grid, index: int, cell: Mapping[str, Any]) -> str:
    spec = grid.result.spec
    panels = [panel(run, grid.result.provenance.get(run["run_id"])) for run in cell["runs"]]
    shown = dict(grid.metrics)
    collected = "base" in spec and "settings" in cell  # not by earlier versions
    differing = _differing(spec["base"], cell["settings"]) if collected else []
    as_base, num_as_base = grid.base_rows.but(differing) if collected else (Markup(), 0)
    drawn = [(f"Seed {each.seed}", grid.curves.get(each.run_id, {})) for each in panels]
    return page(
        "cell.html",
        scripts=("runs.js",),
        spec=spec,
        slug=grid.slug,
        paper=paper_name(spec["paper"]["key"]),
        cell=cell,
        name=grid.links[index][1],
        levels=[(axis, level_text(level)) for axis, level in cell["levels"].items()],
        before=grid.links[index - 1] if index else None,
        after=grid.links[index + 1] if index + 1 < len(grid.links) else None,
        measured=[_measured(row) for row in grid.summaries[cell["role"], cell["label"]] if row["metric"] in shown],
        kinds=list(dict.fromkeys(each.kind for each in panels)),
        heads=[_head(each) for each in shown.values()],
        runs=[(each, look(place), mark(place), _values(grid, each)) for place, each in enumerate(panels)],
        charts=run_charts(drawn, _even_spread(grid, panels)),
        recorded=[bool(columns) for _, columns in drawn],
        differing=differing,
        as_base=as_base,
        num_settings=num_as_base + len(differing),
    )


def _measured(row: Mapping[str, Any]) -> Measured:
    shown = quantity(row["metric"])
    numbers = ("mean", "half_width", "paper_value", "paper_reading_error")
    mean, half_width, paper, error = (float(row[name]) for name in numbers)
    decimals = column_decimals([half_width], row["metric"])
    return Measured(
        metric=row["metric"],
        head=_head(shown),
        mean=mean_text(mean, half_width, decimals),
        n=f"{row['n']}" if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}",
        paper=mean_text(paper, float(row["paper_std"]), shown.decimals, reading_error=error),
        read_off=read_off([error]),
        difference=number(mean - paper, decimals, sign=True),
    )


def _head(shown: Quantity) -> str:
    label = shown.label if "_" in shown.label else headed(shown.label)  # a name of the code stays as it is
    return f"{label} ({shown.unit})" if shown.unit else label


def _values(grid: _Grid, run: Panel) -> list[Value]:
    """The fields of a run after seed, state and outcome: metrics, steps, duration, host, attempts."""
    measured = [(grid.values[run.run_id, metric], shown.decimals) for metric, shown in grid.metrics]
    values = [Value(number(value, decimals), _key(value)) for value, decimals in measured]
    values.append(Value(number(run.steps, 0), _key(run.steps)))
    values.append(Value(duration_text(run.duration_s), _key(run.duration_s)))
    count = len(run.attempts)
    return [*values, Value(str(count) if run.collected else "–", str(count) if run.collected else "")]


def _key(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _even_spread(grid: _Grid, panels: Sequence[Panel]) -> float:
    """1/sqrt(D), which is z_std over its ratio to that; NaN where no run of the cell has both."""
    for each in panels:
        spread, ratio = (grid.values.get((each.run_id, metric), math.nan) for metric in ("z_std", "z_std_ratio"))
        if math.isfinite(spread) and math.isfinite(ratio) and ratio > 0:
            return spread / ratio
    return math.nan


def _differing(base: Mapping[str, Any], own: Mapping[str, Any]) -> list[Setting]:
    """A cell's settings that are not the base's, seed apart."""
    return [Setting(str(key), value, base.get(key)) for key, value in own.items()]
