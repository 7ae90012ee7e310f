"""Finished runs that the tables have, and the store has no more: these tables may be all that is left of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.collect.run_reader import RunReader
from ablations.errors import UserError
from ablations.study.spec import RunSpec
from simclr_core.config.identity import canonical
from simclr_core.records import read_json

_NAMED = 3


def check(tables: Mapping[Path, Sequence[RunSpec]], reader: RunReader) -> None:
    """Raise UserError where grids' tables, given with the runs that the grids ask for, have results that would go."""
    problems = []
    for path, specs in tables.items():
        if lost := _lost(path, {spec.run_id: spec for spec in specs}, reader):
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            runs = "run that is done there has" if len(lost) == 1 else "runs that are done there have"
            problems.append(
                f"{path}: {len(lost)} {runs} no result in the store {reader.root}: {', '.join(lost[:_NAMED])}{more}; "
                "expected the store that they were collected from; --forget takes them out of the tables"
            )
    if problems:
        raise UserError(problems)


def runs_in(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The runs that a grid's table lists, of cells and of the tuning; raises KeyError or TypeError if it is none."""
    arms = (content.get("tuning") or {}).get("arms", [])
    for part in (*content["cells"], *arms):
        yield from part["runs"]


def _lost(path: Path, asked: Mapping[str, RunSpec], reader: RunReader) -> list[str]:
    try:
        content = read_json(path)
        done = [str(run["run_id"]) for run in runs_in(content) if run["state"] == "done"]
        evaluations = content["evaluations"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # nothing that could be read is lost
    return [run_id for run_id in dict.fromkeys(done) if not _is_there(run_id, asked.get(run_id), evaluations, reader)]


def _is_there(run_id: str, spec: RunSpec | None, evaluations: Sequence[Any], reader: RunReader) -> bool:
    """Whether the store has the result, and those of the evaluations that the tables have."""
    if spec is None:  # the grid does not ask for it any more
        return (reader.run_dir(run_id) / "result.json").exists()
    record = reader.record(spec)
    missing = [
        evaluation
        for evaluation, eval_id in zip(spec.evaluations, spec.eval_ids, strict=True)
        if eval_id not in record.facts.evaluations
    ]
    had = any(canonical(evaluation) in evaluations for evaluation in missing)
    return record.facts.has_result and not record.is_anothers and not had
