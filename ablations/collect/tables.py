"""From the store to the tables that the reporter reads.

``<grid>.<scale>.json``, ``runs.csv``, ``curves.csv``, ``provenance.jsonl`` and ``problems.json``. A run whose files are
those of the last collection is not read again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ablations.collect import lost_runs
from ablations.collect.cache import Collected
from ablations.collect.curves import Curve, bring_up_to_date, curves, header
from ablations.collect.grid_json import grid_json
from ablations.collect.run_reader import RunReader
from ablations.collect.run_records import RunRecord
from ablations.collect.run_table import PartedTable, Rows, replace
from ablations.plan import declared
from ablations.plan.demand import Demand, demand
from ablations.store.folder import State, Store
from ablations.study.spec import Grid, RunSpec
from formats.metrics import CONTRASTIVE_METRICS, EVERY_RUN_METRICS
from formats.tables import CURVES_COLUMNS, RUNS_COLUMNS, SCHEMA_VERSION
from simclr_core.records import read_json

Row = Sequence[Any]
"""Of runs.csv, in the order of its columns."""


@dataclass
class CollectSummary:
    """What a collection found."""

    num_done: int = 0
    num_runs: int = 0
    num_read: int = 0  # the others were as they had been collected
    problems: list[tuple[str, str]] = field(default_factory=list)  # path, and what is wrong there


def collect(
    grids: Sequence[Grid],
    scale: str,
    store: Store,
    results_dir: Path,
    seeds: Sequence[int] | None = None,
    *,
    forget: bool = False,
) -> CollectSummary:
    """Write the tables of grids at a scale into ``results_dir``; each file is replaced whole or not at all.

    ``seeds`` replaces the grids' own. Tables of other grids there stay, with their rows. Raises GridError for a scale
    that a grid does not have, and UserError, before anything is written, where the tables have finished runs that the
    store has no more, unless they are to be forgotten.
    """
    bring_up_to_date(results_dir / "curves.csv")
    curves = PartedTable(results_dir / "curves.csv", header(), _run_of_row)
    provenance = PartedTable(results_dir / "provenance.jsonl", "", _run_of_line)
    collected = Collected(results_dir, store, [curves, provenance])
    reader = RunReader(store, collected)
    asked = {grid.name: demand(grid, scale, reader, seeds) for grid in grids}
    states = {grid: {spec.run_id: reader.state(spec) for spec in of_grid.runs} for grid, of_grid in asked.items()}
    done = [spec for grid, of_grid in asked.items() for spec in of_grid.runs if states[grid][spec.run_id] is State.DONE]
    paths = {grid.name: results_dir / f"{grid.name}.{scale}.json" for grid in grids}
    if not forget:
        lost_runs.check({paths[grid]: of_grid.runs for grid, of_grid in asked.items()}, reader)
    others = _runs_of_others(results_dir, set(paths.values()))
    has_news = _write_curves(curves, reader, {spec.run_id: spec for spec in done}, others)
    has_news |= _write_provenance(provenance, reader, others)
    texts: dict[Path, bytes] = {}
    for grid in grids:
        content = _content(grid, scale, asked[grid.name], states[grid.name], reader)
        content["declared"] = declared.earlier(content["declared"], _declared_before(paths[grid.name]))
        texts[paths[grid.name]] = _json(content)
    if has_news or not collected.has_runs or any(_differs(path, text) for path, text in texts.items()):
        collected.runs_stamp = _write_runs(results_dir / "runs.csv", done, reader, others)
        has_news = True
    for path, text in texts.items():
        _write(path, text)
    problems = [*reader.problems(), *_problems_of_others(results_dir / "problems.json", others - reader.asked)]
    listed = [{"path": path, "what": what} for path, what in sorted(set(problems))]
    _write(results_dir / "problems.json", _json({"schema_version": SCHEMA_VERSION, "problems": listed}))
    if has_news:
        collected.keep(reader.records, others - reader.asked)
    num_runs = sum(len(of_grid.every) for of_grid in asked.values())
    return CollectSummary(len(done), num_runs, len(reader.fresh), list(reader.problems()))


def in_memory(grid: Grid, scale: str, store: Store) -> tuple[dict[str, Any], list[Row]]:
    """The content of ``<grid>.<scale>.json`` and the rows of runs.csv, of what a store holds; writes nothing.

    Raises GridError for a scale that the grid does not have.
    """
    reader = RunReader(store)
    asked = demand(grid, scale, reader)
    states = {spec.run_id: reader.state(spec) for spec in asked.runs}
    done = [spec for spec in asked.runs if states[spec.run_id] is State.DONE]
    rows = {(row[1], row[6], row[8]): row for spec in done for row in _run_rows(spec, reader.record(spec))}
    return _content(grid, scale, asked, states, reader), list(rows.values())


def _content(grid: Grid, scale: str, asked: Demand, states: Mapping[str, State], reader: RunReader) -> dict[str, Any]:
    """The description of a grid, with the states of its runs, those that are foreseen as planned."""
    every = {spec.run_id: State.PLANNED for spec in asked.foreseen} | dict(states)
    finished = [spec for spec in asked.runs if states[spec.run_id] is State.DONE]
    outcomes = {spec.run_id: str(reader.record(spec).result["outcome"]) for spec in finished}
    return grid_json(
        grid,
        scale,
        asked,
        states=every,
        outcomes=outcomes,
        spent_core_s=sum(reader.record(spec).core_s(spec) for spec in finished),
        declared=declared.read(reader, grid.name, scale),
    )


def _run_rows(spec: RunSpec, record: RunRecord) -> Iterator[Row]:
    """The rows of a finished run: a row for top-1 of an evaluation and one for top-5, under ``linear_top5`` and the
    like, where it has that; then the metrics of the run itself.

    Evaluations of an earlier version have no top-5, nor have those of fewer than six classes.
    """
    result = record.result
    head = (SCHEMA_VERSION, spec.run_id, spec.cell_id, spec.seed, spec.config.data.name, result["outcome"])
    for asked, eval_id in zip(spec.evaluations, spec.eval_ids, strict=True):
        score, metric = record.evaluations[eval_id], asked.metric
        counts = (score["num_labels"], score["num_test"])
        yield (*head, metric, score["top1"], *counts)
        if score["top5"] is not None:
            yield (*head, f"{metric.removesuffix('top1')}top5", score["top5"], *counts)
    for metric in EVERY_RUN_METRICS:
        yield (*head, metric, result[metric], "", result["z_std_images"])
    for metric in CONTRASTIVE_METRICS:
        if result.get(metric) is not None:
            yield (*head, metric, result[metric], "", spec.config.training.global_batch_size)


def _write_runs(path: Path, done: Iterable[RunSpec], reader: RunReader, others: set[str]) -> str:
    """The rows of other grids first; a value that two grids ask for stands once. The stamp of the file."""
    rows = (row for spec in done for row in _run_rows(spec, reader.record(spec)))
    kept = [row for row in _read_table(path, RUNS_COLUMNS) if row[1] in others] if others else []
    by_key = {(str(row[1]), str(row[6]), str(row[8])): row for row in [*kept, *rows]}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([RUNS_COLUMNS, *by_key.values()])
    return replace(path, [text.getvalue().encode(errors="replace")])


def _write_curves(table: PartedTable, reader: RunReader, done: Mapping[str, RunSpec], others: set[str]) -> bool:
    """Those of other grids first, in their order; of the runs that are collected, what has changed is made anew."""
    if others and not table.stamp:
        table.scan()
    there = set(table.runs)
    parts: list[tuple[str, Rows | None]] = [
        (run_id, None) for run_id in dict.fromkeys(table.runs) if run_id in others and run_id not in done
    ]
    asked: list[tuple[Path, str]] = []
    found = curves(asked)  # reads none before the first of them is written
    for run_id, spec in done.items():
        if run_id in there and run_id not in reader.fresh:
            parts.append((run_id, None))
            continue
        folder, record = reader.run_dir(run_id), reader.record(spec)
        if record.result["outcome"] == "untrained" and not (folder / "metrics.jsonl").exists():
            parts.append((run_id, str))
            continue
        asked.append((folder, run_id))
        parts.append((run_id, partial(_rows_of_next, found, record)))
    return table.rewrite(parts)


def _rows_of_next(found: Iterator[Curve], record: RunRecord) -> str:
    text, record.curve_problems = next(found)
    return text


def _write_provenance(table: PartedTable, reader: RunReader, others: set[str]) -> bool:
    if others and not table.stamp:
        table.scan()
    parts: dict[str, Rows | None] = {run_id: None for run_id in table.runs if run_id in others}
    parts |= dict.fromkeys(reader.records)
    parts |= {run_id: partial(_line, line) for run_id, line in reader.fresh.items()}
    return table.rewrite(sorted(parts.items()))


def _line(content: Mapping[str, Any]) -> str:
    """A line of JSON, whatever a run's files held: numbers that JSON has no word for become null."""
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
        return json.dumps(plain, ensure_ascii=False) + "\n"


def _run_of_row(line: bytes) -> str:
    """The run of a line of curves.csv."""
    if b'"' not in line:
        fields = line.split(b",")
        return fields[1].decode(errors="replace") if len(fields) == len(CURVES_COLUMNS) else ""
    (row,) = csv.reader([line.decode(errors="replace")])
    return row[1] if len(row) == len(CURVES_COLUMNS) else ""


def _run_of_line(line: bytes) -> str:
    """The run of a line of provenance.jsonl."""
    try:
        return str(json.loads(line)["run_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _runs_of_others(results_dir: Path, paths: set[Path]) -> set[str]:
    """The runs that the grids already in a results folder, other than these, ask for."""
    runs: set[str] = set()
    for path in sorted(results_dir.glob("[!.]*.*.json")):
        if path in paths:
            continue
        try:
            runs |= {run["run_id"] for run in lost_runs.runs_in(read_json(path))}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the reporter says what is wrong with it
    return runs


def _problems_of_others(path: Path, others: set[str]) -> list[tuple[str, str]]:
    """What was wrong with the runs of other grids when those were collected."""
    try:
        found = [(str(problem["path"]), str(problem["what"])) for problem in read_json(path)["problems"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [problem for problem in found if not others.isdisjoint(Path(problem[0]).parts)]


def _declared_before(path: Path) -> dict[str, Any] | None:
    """What the table that is to be replaced knows of the claims before the runs, of which the store may not know."""
    try:
        return declared.whole(read_json(path).get("declared"))
    except (OSError, ValueError, AttributeError):
        return None


def _read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """The whole rows of a table that has these columns, in their order."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if not set(columns) <= set(header):
            return []
        places = [header.index(column) for column in columns]
        return [[row[place] for place in places] for row in reader if len(row) == len(header)]


def _json(content: Mapping[str, Any]) -> bytes:
    """An entry a line, and an element of a list of objects a line: ``indent`` would take seven times as long."""
    dumps = partial(json.dumps, allow_nan=False)
    entries = []
    for key, value in content.items():
        is_long = isinstance(value, list) and any(isinstance(each, dict) for each in value)
        text = "[\n  " + ",\n  ".join(map(dumps, value)) + "\n ]" if is_long else dumps(value)
        entries.append(f" {dumps(key)}: {text}")
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def _differs(path: Path, content: bytes) -> bool:
    return not path.is_file() or path.read_bytes() != content


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, and leave it if it would stay the same."""
    if _differs(path, content):
        replace(path, [content])
