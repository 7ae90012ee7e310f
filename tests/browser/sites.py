"""Sites for the tests: one of real results, one of made-up grids in every state."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fake_results import fake_grids, write_results

from reports.page import write_site

MINI = Path(__file__).parents[2] / "docs" / "results" / "mini"
FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
UNFINISHED = ("failed", "running", "queued", "stale", "planned")


def mixed_results(folder: Path) -> Path:
    """A results folder with a grid that has a run in each state, one that is done, and one that never started.

    The finished runs without stop-gradient collapsed.
    """
    grids = [(grid, dataset) for grid, dataset in fake_grids() if (grid["name"], grid["scale"]) != (FIG5, "mini")]
    pairs, _, planned = (grid for grid, _ in grids)
    for state, run in zip(UNFINISHED, _runs(pairs), strict=False):
        run |= {"state": state, "outcome": None}
    for run in _runs(planned):
        run |= {"state": "planned", "outcome": None}
    planned["cost"]["actual_core_s"] = 0.0
    return write_results(folder, grids)


def _runs(grid: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """A grid's runs, the first of every cell first."""
    return [run for runs in zip(*(cell["runs"] for cell in grid["cells"]), strict=True) for run in runs]


def build(folder: Path) -> Path:
    """Write the sites ``mini`` and ``mixed`` below ``folder``; returns it."""
    write_site(MINI, folder / "mini")
    write_site(mixed_results(folder / "results"), folder / "mixed")
    return folder
