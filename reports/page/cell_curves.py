"""The training curves of a grid's cells as small multiples: one drawing a cell, all of a quantity on the same axes."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

from formats.levels import level_text
from reports.claims.evidence import cell_name
from reports.inputs import GridResult
from reports.page.curve_charts import cell_charts
from reports.page.sparkline import Chart

MOST = 100
"""A page of more cells leaves their curves to the cells' own pages."""

_LINK = Markup('<a href="{}">{}</a>')


def small_multiples(result: GridResult, runs_folder: str | None) -> list[tuple[str, list[Chart]]]:
    """(quantity, a chart per cell) of what was recorded, in the order of the cells.

    ``runs_folder``: where the cells' own pages are, to which the titles link. Without it the report is one file, which
    has the mean over the seeds alone.
    """
    if runs_folder is not None and len(result.spec["cells"]) > MOST:
        return []
    charts = cell_charts(result)
    groups: dict[str, list[Chart]] = {}
    for cell in result.spec["cells"]:
        levels = {axis: level_text(level) for axis, level in cell["levels"].items()}
        name = cell_name(levels) if cell["role"] == "cell" and levels else str(cell["label"])
        for chart in charts.get(str(cell["cell_id"]), []):
            title = name if runs_folder is None else _LINK.format(f"{runs_folder}/{cell['cell_id']}.html", name)
            lines = chart.lines if runs_folder else tuple(line for line in chart.lines if line.look == "mean")
            titled = dataclasses.replace(chart, title=title, lines=lines, alt=f"{name}: {chart.alt}")
            groups.setdefault(chart.title, []).append(titled)
    return list(groups.items())
