"""The claims of a grid as they stood when its first run at a scale was started: ``<store>/.declared``.

Margins, kinds, groups and the choice of paired or Welch are to be fixed before the runs. The report compares what is
kept here with the grid, and marks what was edited since.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.demand import Demand
from ablations.spec import Grid, RunSpec
from ablations.store import Store
from simclr_core.records import read_json, write_json

FOLDER = ".declared"
SCHEMA_VERSION = 1


def declare(
    asked: Sequence[tuple[Grid, Demand]], scale: str, starting: Iterable[RunSpec], store: Store
) -> list[tuple[Grid, Demand]]:
    """Keep the claims of the grids that ask for a run about to start, unless that was done before.

    ``num_started`` says how many of the runs were there already: another grid's, made by hand, or of a time without
    this record. Returns the grids whose claims were kept now.
    """
    kept = []
    run_ids = {spec.run_id for spec in starting}
    for grid, of_grid in asked:
        path = _path(store, grid.name, scale)
        if path.exists() or run_ids.isdisjoint(spec.run_id for spec in of_grid.every):
            continue
        content = {
            "schema_version": SCHEMA_VERSION,
            "time": time.time(),
            "num_started": sum(_started(spec, store) for spec in of_grid.runs),
            "num_runs": len(of_grid.every),
            "metric": grid.metric,
            "looks": grid.scales[scale].looks,
            "claims": list(grid.claims),
        }
        prepared = path.parent.with_name(f".{path.parent.name}.{uuid.uuid4().hex}")
        write_json(prepared / path.name, content)
        try:
            prepared.rename(path.parent)  # whole or not at all, and only where there is none yet
            kept.append((grid, of_grid))
        except OSError:
            shutil.rmtree(prepared)
    return kept


def withdraw(kept: Sequence[tuple[Grid, Demand]], scale: str, store: Store) -> None:
    """Forget what was kept of grids of which no run could be started after all."""
    for grid, of_grid in kept:
        if not any(_started(spec, store) for spec in of_grid.runs):
            shutil.rmtree(_path(store, grid.name, scale).parent)
    with suppress(OSError):
        (store.root / FOLDER).rmdir()  # if it is empty


def _started(spec: RunSpec, store: Store) -> bool:
    """By ``ablate``, or by hand; waiting in a queue is no start."""
    return any((store.run_dir(spec.run_id) / name).exists() for name in ("provenance.json", "spec.json"))


def read(store: Store, grid: str, scale: str) -> dict[str, Any] | None:
    """What was kept; None if nothing was, or if it cannot be read."""
    try:
        content = read_json(_path(store, grid, scale))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def earlier(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """The older of two records: tables collected before may know of one that the store has not."""
    found = [each for each in (one, other) if each]
    return min(found, key=lambda each: float(each["time"]), default=None)


def _path(store: Store, grid: str, scale: str) -> Path:
    return store.root / FOLDER / f"{grid}.{scale}" / "claims.json"
