"""What it takes to collect and to report 10,000 runs: 20 grids of 100 cells with 5 seeds, curves of 200 lines."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ablations.collect.signatures import FRESH_NS
from ablations.study.expand import expand, load_grid
from benchmarks.made_runs import NUM_LINES, SCALE, make_grids, make_store, write
from benchmarks.processes import ABLATE, Process, whole
from benchmarks.tables import Table

NUM_GRIDS, NUM_SEEDS = 20, 5

Row = tuple[str | float, ...]


def run() -> list[Table]:
    """Whole commands in fresh interpreters, one after the other, each once."""
    with tempfile.TemporaryDirectory() as name:
        made = Made(Path(name))
        tables = [made.commands()]
        tables.append(made.sizes())
    return tables


class Made:
    """A folder with grid files, a store, and what the commands make of them."""

    def __init__(self, folder: Path, num_grids: int = NUM_GRIDS, num_seeds: int = NUM_SEEDS) -> None:
        self.store, self.results, self.site = (folder / name for name in ("runs", "results", "site"))
        self.grids = make_grids(folder, num_grids, num_seeds)
        self.num_runs = make_store(self.store, self.grids)
        _settle()

    def collect(self) -> Process:
        """``ablate collect`` of all grids."""
        names = map(str, self.grids)
        return whole(
            ABLATE, "collect", *names, "--scale", SCALE, "--store", str(self.store), "--results", str(self.results)
        )

    def report(self, *options: str) -> Process:
        """``ablate report`` of the tables."""
        return whole(ABLATE, "report", "--results", str(self.results), "--out", str(self.site), *options)

    def status(self) -> Process:
        """``ablate status`` of all grids."""
        return whole(ABLATE, "status", *map(str, self.grids), "--scale", SCALE, "--store", str(self.store))

    def change(self) -> None:
        """Another accuracy in the first run of one of the grids."""
        spec = expand(load_grid(str(self.grids[-1])), SCALE)[0]
        path = self.store / spec.run_id / "evals" / f"{spec.eval_ids[0]}.json"
        write(path, json.loads(path.read_text(encoding="utf-8")) | {"top1": 12.5})
        _settle()

    def commands(self) -> Table:
        """All of them, before and after a change."""
        tasks: list[tuple[str, Callable[[], Process]]] = [
            ("`ablate collect`, nothing collected before", self.collect),
            ("`ablate collect` again, nothing changed", self.collect),
            ("`ablate report`, no report before", self.report),
            ("`ablate report` again, nothing changed", self.report),
        ]
        rows = [_row(what, task()) for what, task in tasks]
        self.change()
        tasks = [
            ("`ablate collect` after a run has changed", self.collect),
            ("`ablate report` after that: one grid has changed", self.report),
            ("`ablate report --single-file` again, nothing changed", partial(self.report, "--single-file")),
            ("`ablate status`", self.status),
        ]
        rows += [_row(what, task()) for what, task in tasks]
        note = (
            f"{self.num_runs:,} runs in {len(self.grids)} grids, {NUM_LINES} lines a curve; whole processes, once each;"
            " the files are in the page cache, having just been written."
        )
        return Table("Collecting and reporting", ("command", "seconds", "MiB"), rows, note)

    def sizes(self) -> Table:
        """Of the tables and of the site."""
        folders = ((self.results, ("curves.csv", "runs.csv")), (self.site, ("index.html", "report.html")))
        files = [folder / name for folder, names in folders for name in names]
        rows: list[Row] = [(f"`{path.parent.name}/{path.name}`", path.stat().st_size / 1e6) for path in files]
        every = [path for path in self.site.rglob("*") if path.is_file()]
        rows.append((f"all {len(every):,} files of the site", sum(path.stat().st_size for path in every) / 1e6))
        return Table("What is written", ("file", "MB"), rows)


def _row(what: str, process: Process) -> Row:
    return (what, process.seconds, process.peak_mib)


def _settle() -> None:
    """Wait until files that have just been written count as written."""
    time.sleep(FRESH_NS / 1e9)
