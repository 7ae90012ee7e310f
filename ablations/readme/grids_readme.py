"""The table of all packaged grids in grids/README.md: ``python -m ablations.readme.grids_readme`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

from ablations.local.display import duration
from ablations.plan.cost import device_s
from ablations.plan.demand import demand
from ablations.readme.generated import replaced
from ablations.store.folder import State
from ablations.study.expand import PACKAGED, load_grid
from ablations.study.spec import Grid

TFLOPS = 100.0
"""What a GPU sustains in the estimates."""


def overview() -> str:
    """Markdown: a row for each grid, and the number of different runs of all of them."""
    grids = [load_grid(str(path)) for path in sorted(PACKAGED.glob("[!.]*.yaml"))]
    lines = ["| grid | question | runs and cost | claims |", "| --- | --- | --- | --- |"]
    for grid in grids:
        cost = "<br>".join(f"`{scale}` {_cost(grid, scale)}" for scale in grid.scales)
        claims = ", ".join(str(claim["id"]) for claim in grid.claims)
        where = f"{grid.question} ({grid.paper['key']}, {grid.paper['locus']})"
        lines.append(f"| [{grid.name}]({grid.name}.yaml) | {where} | {cost} | {claims} |")
    lines += ["", f"Together, runs that grids share counted once: {_together(grids)}."]
    return "\n".join(lines)


def _cost(grid: Grid, scale: str) -> str:
    specs = demand(grid, scale, None).every
    runs = len({spec.run_id for spec in specs})
    expected = grid.scales[scale].expected_core_s
    if expected is not None:
        return f"{runs} runs, {duration(runs * expected)} of a core"
    seconds = device_s(specs, {spec.run_id: State.PLANNED for spec in specs}, TFLOPS)
    return f"{runs} runs" if seconds is None else f"{runs} runs, {duration(seconds)} of a GPU"


def _together(grids: list[Grid]) -> str:
    runs: dict[str, set[str]] = {}
    for grid in grids:
        for scale in grid.scales:
            runs.setdefault(scale, set()).update(spec.run_id for spec in demand(grid, scale, None).every)
    return ", ".join(f"{len(ids):,} at `{scale}`" for scale, ids in runs.items())


def with_overview(text: str) -> str:
    """The README's text with its table made anew."""
    return replaced(text, "grids", "grids_readme", overview())


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_overview(path.read_text(encoding="utf-8")), encoding="utf-8")
