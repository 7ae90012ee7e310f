"""``ablate status``: how far the runs of grids are."""

from __future__ import annotations

from pathlib import Path

from ablations import plan as planning
from ablations.commands.asked import Names, Scale, Seeds, StoreDir, expand_all
from ablations.console import out, table, told
from ablations.store import State, Store


def status(grids: Names, scale: Scale, store: StoreDir = Path("runs"), seeds: Seeds = None) -> None:
    """Count the runs of grids by state, and show those that are under way, failed or stale."""
    with told():
        expanded = expand_all(grids, scale, seeds)
        runs = [(spec, Store(store).state(spec)) for _, specs in expanded for spec in specs]
    counted = table("grid", *State)
    for grid, _ in expanded:
        counts = planning.count(state for spec, state in runs if spec.grid == grid.name)
        counted.add_row(grid.name, *(str(counts[state]) for state in State))
    out.print(counted)
    notable = [(spec, state) for spec, state in runs if state not in (State.PLANNED, State.DONE)]
    if notable:
        rows = table("run", "cell", "seed", "state")
        for spec, state in notable:
            rows.add_row(spec.run_id, spec.label, str(spec.seed), state)
        out.print(rows)
