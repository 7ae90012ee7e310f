"""The claims and the estimated cost of a grid, recorded before its first run at a scale: ``<store>/.declared``.

Margins, kinds, groups, and the choice of a paired or Welch's test have to be fixed before the runs. The report compares
the recorded claims with the grid and marks later edits; it also compares the recorded estimate with the actual cost.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.plan import cost
from ablations.plan.demand import Demand
from ablations.store.folder import Store
from ablations.study.spec import Grid, RunSpec
from simclr_core.records import read_json, write_json

FOLDER = ".declared"
SCHEMA_VERSION = 1


def declare(
    asked: Sequence[tuple[Grid, Demand]], scale: str, starting: Iterable[RunSpec], store: Store
) -> list[tuple[Grid, Demand]]:
    """Record claims and estimate of every grid that needs one of the runs about to start, unless they are recorded.

    The estimate covers all runs of the grid and uses none of them. ``num_started`` is the number of these runs that
    already existed: runs of another grid, runs made by hand, or runs older than this record. Returns the grids whose
    claims were recorded by this call.
    """
    kept = []
    run_ids = {spec.run_id for spec in starting}
    for grid, of_grid in asked:
        path = _path(store, grid.name, scale)
        if path.exists() or run_ids.isdisjoint(spec.run_id for spec in of_grid.every):
            continue
        told = cost.beforehand(grid, scale, of_grid.every, store)
        content = {
            "schema_version": SCHEMA_VERSION,
            "time": time.time(),
            "num_started": sum(_started(spec, store) for spec in of_grid.runs),
            "num_runs": len(of_grid.every),
            "metric": grid.metric,
            "looks": grid.scales[scale].looks,
            "estimate": {"core_s": round(sum(told[0]), 1) if told else None, "by": told[1] if told else "nothing"},
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
    """Remove records of grids of which no run could be started."""
    for grid, of_grid in kept:
        if not any(_started(spec, store) for spec in of_grid.runs):
            shutil.rmtree(_path(store, grid.name, scale).parent)
    with suppress(OSError):
        (store.root / FOLDER).rmdir()  # if it is empty


def _started(spec: RunSpec, store: Store) -> bool:
    """Whether a run was started, by ``ablate`` or by hand; a queued run was not started."""
    return any((store.run_dir(spec.run_id) / name).exists() for name in ("provenance.json", "spec.json"))


def read(store: Store, grid: str, scale: str) -> dict[str, Any] | None:
    """Return the record; None if there is none or it cannot be read."""
    try:
        return whole(read_json(_path(store, grid, scale)))
    except (OSError, ValueError):
        return None


def whole(content: Any) -> dict[str, Any] | None:
    """Return the content if it is a valid record, else None."""
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list):
        return None
    numbers = [content.get(key) for key in ("time", "num_started", "num_runs")]
    return content if all(isinstance(number, int | float) for number in numbers) else None


def estimate(
    declared: Mapping[str, Any] | None, expected_core_s: float | None, num_runs: int
) -> tuple[float | None, str]:
    """Return the core-seconds of ``num_runs`` runs as estimated before the first run, and a note on the source.

    If the store has no record, or a record without an estimate, ``expected_core_s`` of the grid is used if it is given.
    """
    kept = (declared or {}).get("estimate")
    if not declared or not isinstance(kept, Mapping):
        if expected_core_s is None:
            return None, "no estimate was kept before the first run"
        by = f"by the grid's own figure, {expected_core_s:g} s a run; no estimate was kept before the first run"
        return expected_core_s * num_runs, by
    started, then = int(declared["num_started"]), int(declared["num_runs"])
    when = f"when {started} of {then} runs had been started" if started else "before the first run"
    if kept["core_s"] is None:
        return None, f"nothing was known {when}"
    words = f"{when}, by {kept['by']}"
    if num_runs != then:
        words += f"; for {then} runs then, and as much a run for the {num_runs} of now"
    return float(kept["core_s"]) / then * num_runs, words


def earlier(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the older of two records: a table that was collected earlier may hold a record that the store lacks."""
    found = [each for each in (one, other) if each]
    return min(found, key=lambda each: float(each["time"]), default=None)


def _path(store: Store, grid: str, scale: str) -> Path:
    return store.root / FOLDER / f"{grid}.{scale}" / "claims.json"
