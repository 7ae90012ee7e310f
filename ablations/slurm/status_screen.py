"""How a survey is shown: one screen of tables, or JSON."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ablations.console import table
from ablations.local.display import duration
from ablations.plan import cost as planning
from ablations.slurm.prune import size_text
from ablations.slurm.status import SILENT, RunStatus, Survey
from ablations.slurm.usage import Used
from ablations.store.folder import State, Store
from ablations.study.spec import Grid

MOST_ROWS = 20
"""Of one kind of run; the rest is counted, and in the JSON."""

_MEASURED = 50  # finished runs that tell how long one takes


@dataclass(frozen=True)
class GridStatus:
    """A grid at a scale, surveyed."""

    grid: Grid
    scale: str
    survey: Survey
    left_s: float | None  # until what runs and waits is done, at as many runs at a time as now


def grid_status(grid: Grid, scale: str, survey: Survey, store: Store) -> GridStatus:
    """Work out when a grid will be done: by the pace of what runs, else by the planner's cost of a run."""
    running = [run for run in survey.runs if run.state is State.RUNNING]
    waiting = survey.counts()[State.QUEUED]
    if not running:
        return GridStatus(grid, scale, survey, None)
    finished = {run.spec.run_id: run.spec for run in survey.runs if run.state is State.DONE}
    some = list(finished.values())[:_MEASURED]
    cost = planning.cost(grid, scale, some, dict.fromkeys(finished, State.DONE), store)
    threads = statistics.median_low(
        [int(run.files.attempts[-1]["num_threads"]) for run in running if run.files.attempts] or [1]
    )
    each_s = None if cost.core_s_per_run is None else cost.core_s_per_run / threads
    lefts = [run.left_s if run.left_s is not None else each_s for run in running]
    known = [left for left in lefts if left is not None]
    if len(known) < len(lefts) or (waiting and each_s is None):
        return GridStatus(grid, scale, survey, None)
    total = sum(known) + waiting * (each_s or 0.0)
    return GridStatus(grid, scale, survey, max([total / len(running), *known]))


def screen(grids: Sequence[GridStatus], store: Path) -> Iterator[RenderableType]:
    """Counts per grid, what runs, what waits, what is stale, failures by cause, and what to do about them."""
    counted = table("grid", "scale", *State, "left")
    for each in grids:
        counts = each.survey.counts()
        left = "" if each.left_s is None else f"about {duration(each.left_s)}"
        counted.add_row(each.grid.name, each.scale, *(str(counts[state]) for state in State), left)
    yield counted
    runs = {run.spec.run_id: run for each in grids for run in each.survey.runs}  # a shared one once
    by_state = {state: [run for run in runs.values() if run.state is state] for state in State}
    for problem in dict.fromkeys(line for each in grids for line in each.survey.answer.silence):
        yield Text(f"SLURM: {problem}", style="yellow")
    if any(run.files.facts.queued and run.why.endswith(SILENT) for run in runs.values()):
        yield Text("SLURM does not answer: states are those of the files alone, and queued means submitted")
    yield from _under_way(by_state[State.RUNNING])
    if waits := Counter(run.why or "submitted" for run in by_state[State.QUEUED]):
        yield Text("\nqueued: " + ", ".join(f"{count} {why}" for why, count in waits.most_common()))
    yield from _stale(by_state[State.STALE])
    yield from _failed(by_state[State.FAILED])
    yield from _advice(by_state[State.FAILED] or by_state[State.STALE], store)


def usage_screen(used: Used) -> Iterator[RenderableType]:
    """What finished jobs have used, a line a grid."""
    for line in used.silence:
        yield Text(f"\nSLURM: {line}", style="yellow")
    if not used.grids:
        yield Text("\nusage: " + ("not known" if used.silence else "no job of these grids has ended"))
        return
    columns = ("\nusage", "\nscale", "\ntasks", "\nrequeues", "CPU\nhours", "GPU\nhours", "CPU\nused")
    rows = table(*(f"\n{column}" for column in (*columns, "peak\nmemory", "memory\nused")))
    for (grid, scale), of_grid in used.grids.items():
        hours = (f"{of_grid.cpu_h:.2f}", f"{of_grid.gpu_h:.2f}")
        memory = "unknown" if of_grid.max_rss is None else size_text(of_grid.max_rss)
        parts = (_percent(of_grid.cpu_efficiency), memory, _percent(of_grid.memory_efficiency))
        rows.add_row(grid, scale, str(of_grid.tasks), str(of_grid.requeues), *hours, *parts)
    yield rows


def _percent(part: float | None) -> str:
    return "unknown" if part is None else f"{100 * part:.0f} %"


def _under_way(runs: list[RunStatus]) -> Iterator[RenderableType]:
    if not runs:
        return
    columns = ("running", "cell", "seed", "step", "images/s", "left", "node", "job", "attempt", "note")
    rows = []
    for run in runs[:MOST_ROWS]:
        beat = run.files.facts.heartbeat
        rate = f"{beat['images_per_s']:.0f}" if beat.get("images_per_s") else ""
        left = "" if run.left_s is None else duration(run.left_s)
        job = run.files.record.job_name if run.files.record else ""
        texts = (_step(beat), rate, left, run.node, job, _attempt(run), run.why)
        rows.append((run.spec.run_id, run.spec.label, str(run.spec.seed), *texts))
    yield _table(columns, rows)
    if len(runs) > MOST_ROWS:
        yield Text(f"... and {len(runs) - MOST_ROWS} more that run; --json has all")


_IDS = ("running", "stale", "such as")
"""Columns of run ids."""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Without columns that say nothing, and with ids in one piece, which are there to be copied."""
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    made = table(*(f"\n{columns[index]}" for index in kept))
    for column, index in zip(made.columns, kept, strict=True):
        column.no_wrap = columns[index] in _IDS
    for row in rows:
        made.add_row(*(row[index] for index in kept))
    return made


def _step(beat: Mapping[str, Any]) -> str:
    """How far the pre-training is, else what else it does."""
    phase = str(beat.get("phase") or "")
    count = f"{beat['step']}/{beat['num_steps']}" if beat.get("num_steps") else ""
    return count if count and phase == "pretrain" else f"{phase} {count}".strip()


def _attempt(run: RunStatus) -> str:
    """Its number, from the second on."""
    return str(len(run.files.attempts)) if len(run.files.attempts) > 1 else ""


def _stale(runs: list[RunStatus]) -> Iterator[RenderableType]:
    if not runs:
        return
    columns = ("stale", "cell", "seed", "node", "attempt", "why")
    yield _table(
        columns,
        [
            (run.spec.run_id, run.spec.label, str(run.spec.seed), run.node, _attempt(run), run.why)
            for run in runs[:MOST_ROWS]
        ],
    )
    if len(runs) > MOST_ROWS:
        yield Text(f"... and {len(runs) - MOST_ROWS} more that are stale; --json has all")


def _failed(runs: list[RunStatus]) -> Iterator[RenderableType]:
    if not runs:
        return
    rows: list[Sequence[str]] = []
    groups: dict[str, list[RunStatus]] = {}
    for run in runs:
        groups.setdefault(run.cause.kind if run.cause else "unknown", []).append(run)
    for kind, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        first = group[0]
        line = first.cause.line if first.cause else ""
        shown = line if len(line) <= 100 else f"{line[:97]}..."
        seen = (first.spec.run_id, first.spec.label, str(first.spec.seed))
        rows.append((kind, str(len(group)), *seen, shown or first.why))
    yield _table(("failed", "runs", "such as", "cell", "seed", "says"), rows)


def _advice(odd: list[RunStatus], store: Path) -> Iterator[RenderableType]:
    if not odd:
        return
    spec = odd[0].spec
    where = "" if store == Path("runs") else f" --store {store}"
    yield Text(f"\nwhat it printed:  ablate logs {spec.run_id}{where}")
    yield Text(f"to try again:     ablate retry {spec.grid} --scale {spec.scale}{where}")


def as_json(grids: Sequence[GridStatus], store: Path, now: float, used: Used | None = None) -> dict[str, Any]:
    """Everything that the screen is made of; with ``used``, what finished jobs have used, in hours and bytes."""
    silence = dict.fromkeys(line for each in grids for line in each.survey.answer.silence)
    silence |= dict.fromkeys(used.silence if used else ())
    return {
        "schema_version": 1,
        "store": str(store),
        "time": now,
        "scheduler_silence": list(silence),
        "grids": [
            {
                "grid": each.grid.name,
                "scale": each.scale,
                "counts": {str(state): each.survey.counts()[state] for state in State},
                "left_s": each.left_s,
                **(_usage_json(used, each) if used else {}),
                "runs": [_run_json(run) for run in each.survey.runs],
            }
            for each in grids
        ],
    }


def _usage_json(used: Used, status: GridStatus) -> dict[str, Any]:
    of_grid = used.grids.get((status.grid.name, status.scale))
    return {"usage": vars(of_grid) if of_grid else None}


def _run_json(run: RunStatus) -> dict[str, Any]:
    beat = run.files.facts.heartbeat if run.state is State.RUNNING else {}
    record = run.files.record
    return {
        "run_id": run.spec.run_id,
        "label": run.spec.label,
        "seed": run.spec.seed,
        "state": str(run.state),
        "why": run.why,
        "cause": run.cause.kind if run.cause else None,
        "error": run.cause.line if run.cause else None,
        "phase": beat.get("phase"),
        "step": beat.get("step"),
        "num_steps": beat.get("num_steps"),
        "images_per_s": beat.get("images_per_s"),
        "left_s": run.left_s,
        "node": run.node or None,
        "job": (record.job_name or None) if record else None,
        "submission": record.submission if record else None,
        "scheduler_state": run.job.state if run.job else None,
        "attempts": len(run.files.attempts),
    }
