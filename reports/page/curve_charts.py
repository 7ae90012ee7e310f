"""The training curves of runs and of cells, as charts that ``templates/curves.html`` writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from reports.inputs import GridResult
from reports.page.sparkline import Chart, Floats, Series, chart, epoch_range, finite, value_range, value_text

KNN = "knn_top1"
QUANTITIES = ("loss", "z_std", KNN, "lr")
"""What is drawn of a run, in this order; kNN only where it was measured, at some of the steps."""

Recorded = dict[str, Floats]
"""Of one run: step, epoch and ``QUANTITIES``, (n,) each, in the order of the steps."""


def recorded(result: GridResult) -> dict[str, Recorded]:
    """Run id -> what was recorded of the run; only of runs with curves. One pass, whatever the number of runs."""
    names = ("step", "epoch", *QUANTITIES)
    columns = {name: result.curves[name].to_numpy(dtype=float) for name in names}
    found = {}
    for run_id, rows in result.curves.groupby("run_id", sort=False).indices.items():
        in_order = rows[np.argsort(columns["step"][rows], kind="stable")]
        found[str(run_id)] = {name: column[in_order] for name, column in columns.items()}
    return found


def run_charts(runs: Sequence[tuple[str, Recorded]], even_spread: float = math.nan) -> list[Chart]:
    """A chart per quantity of (name, what was recorded) of runs, each in the style of its place.

    What is the same in all runs, as the learning rate is, is one line. No chart if nothing was recorded.
    ``even_spread``: the z_std of an embedding that is spread evenly, 1/sqrt(D), to compare with.
    """
    drawn = [(index, name, columns) for index, (name, columns) in enumerate(runs) if columns]
    charts = []
    for quantity in QUANTITIES:
        shown = [(index, name, _measured(columns)) for index, name, columns in drawn] if quantity == KNN else drawn
        series = [Series(name, columns["epoch"], columns[quantity], index) for index, name, columns in shown if columns]
        if not series:
            continue
        if len(series) > 1 and all(np.array_equal(one.values, series[0].values) for one in series[1:]):
            series = [Series(f"All {len(series)} runs alike", series[0].epochs, series[0].values)]
        charts.append(chart(quantity, series, reference=_reference(quantity, even_spread)))
    return charts


def _measured(columns: Recorded) -> Recorded:
    """A run at the steps where kNN was measured; nothing if it never was."""
    there = finite(columns[KNN])
    return {name: column[there] for name, column in columns.items()} if there.any() else {}


def _reference(quantity: str, even_spread: float) -> tuple[float, str] | None:
    if quantity != "z_std" or not math.isfinite(even_spread):
        return None
    return even_spread, f"1/√D = {value_text(even_spread)}, spread evenly"


def cell_charts(
    result: GridResult, quantities: Sequence[str] = ("loss", "z_std", KNN), limit: int = 60
) -> dict[str, list[Chart]]:
    """Cell id -> a chart per quantity: the mean over seeds, and the seeds as thin lines, on axes that cells share.

    Cells without curves are not there, and have no chart of kNN if it was not measured. ``limit``: points of a line.
    """
    found = recorded(result)
    cells: dict[str, dict[str, list[Series]]] = {}
    for cell in result.spec["cells"]:
        runs = [(f"Seed {run['seed']}", found[run["run_id"]]) for run in cell["runs"] if run["run_id"] in found]
        if runs:
            cells[cell["cell_id"]] = _with_mean(runs, [name for name in quantities if name != KNN])
            measured = [(name, columns) for name, every in runs if (columns := _measured(every))]
            if KNN in quantities and measured:
                cells[cell["cell_id"]] |= _with_mean(measured, [KNN])
    ranges = {}
    for quantity in quantities:
        every = [one for of_cell in cells.values() for one in of_cell.get(quantity, [])]
        ranges[quantity] = epoch_range(every), value_range(quantity, every)
    return {
        cell_id: [
            chart(quantity, series, x_range=ranges[quantity][0], y_range=ranges[quantity][1], limit=limit)
            for quantity, series in of_cell.items()
        ]
        for cell_id, of_cell in cells.items()
    }


def _with_mean(runs: Sequence[tuple[str, Recorded]], quantities: Sequence[str]) -> dict[str, list[Series]]:
    """The runs of a cell, and last their mean at the steps that all have; it breaks where one of them is not finite."""
    if len(runs) == 1:
        ((name, columns),) = runs
        return {quantity: [Series(name, columns["epoch"], columns[quantity])] for quantity in quantities}
    steps = reduce(np.intersect1d, [columns["step"] for _, columns in runs])
    rows = [np.searchsorted(columns["step"], steps) for _, columns in runs]
    epochs = runs[0][1]["epoch"][rows[0]]
    series = {}
    for quantity in quantities:
        values = np.stack([columns[quantity][at] for (_, columns), at in zip(runs, rows, strict=True)])
        mean = np.where(finite(values), values, np.nan).mean(axis=0)
        series[quantity] = [
            *(Series(name, columns["epoch"], columns[quantity], "seed") for name, columns in runs),
            Series(f"Mean over {len(runs)} seeds", epochs, mean),
        ]
    return series
