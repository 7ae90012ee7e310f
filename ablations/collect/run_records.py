"""What the folder of a run tells the results, checked: whatever is wrong with it is noted, and stops nothing."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.collect.signatures import is_fresh, names_of, signature
from ablations.errors import UserError
from ablations.store import queued
from ablations.store.folder import RunFacts, State, Store, state
from ablations.store.job_logs import log_path
from ablations.study.spec import RunSpec
from formats.metrics import CONTRASTIVE_METRICS, EVERY_RUN_METRICS
from formats.tables import SCHEMA_VERSION
from simclr_core.records import read_json

_TAIL_LINES = 20
_TAIL_BYTES = 16_384

Problem = tuple[str, str]
"""A path within the run's folder ("" for itself), and what is wrong there."""


@dataclass
class RunRecord:
    """What results tell of a run, apart from its curve and its provenance."""

    facts: RunFacts = field(default_factory=RunFacts)  # without contents
    is_anothers: bool = False  # it holds another configuration than its name says
    result: Mapping[str, Any] = field(default_factory=dict)  # what tables tell of result.json; empty if not usable
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what tables tell of them, by eval id
    num_threads: int | None = None  # of the last attempt
    problems: list[Problem] = field(default_factory=list)
    curve_problems: list[Problem] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of files that were read; none if that is not to be remembered
    signed: str = ""  # their signature before they were read

    def state(self, spec: RunSpec) -> State:
        """Where the run stands that needs the evaluations of ``spec``."""
        return State.FAILED if self.is_anothers else state(self.facts, spec.eval_ids)

    def core_s(self, spec: RunSpec) -> float:
        """What the finished run took, its seconds times threads; 0 if that was not noted."""
        times = [self.result.get("duration_s"), *(self.evaluations[name]["duration_s"] for name in spec.eval_ids)]
        if self.num_threads is None or not all(_is_number(seconds) for seconds in times):
            return 0.0
        return sum(float(seconds) * self.num_threads for seconds in times)


def read(store: Store, spec: RunSpec) -> tuple[RunRecord, dict[str, Any]]:
    """What a run's folder holds, and the run's line of ``provenance.jsonl``."""
    folder = store.run_dir(spec.run_id)
    names = names_of(folder)
    signed = signature(folder, names)
    problems: list[Problem] = []
    try:
        facts = store.facts(spec.run_id)
    except UserError as error:
        facts = RunFacts()
        problems.append(("", f"cannot be read: {error}"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        facts = RunFacts()
        problems.append(("", f"cannot be read: {type(error).__name__}: {error}"))
    problems += [(name, "cannot be read; counted as missing") for name in facts.torn]
    is_anothers = facts.spec is not None and facts.spec != spec.spec_json()
    if is_anothers:
        problems.append(("spec.json", f"holds another configuration than run {spec.run_id}; move the folder away"))
    if facts.result is not None and facts.spec is None and "spec.json" not in facts.torn:
        problems.append(("spec.json", "is missing, so that nobody knows whose result this is; counted as not done"))
    result = {} if facts.result is None else _checked(facts.result, "result.json", _RESULT, problems)
    scores = {
        name: found
        for name, content in facts.scores.items()
        if (found := _checked(content, f"evals/{name}.json", _EVALUATION, problems))
    }
    attempts = _attempts(folder, problems)
    logs = _logs(store, attempts, folder)
    if names and logs:
        names_of_logs = [f"../{path.relative_to(store.root)}" for path in logs]
        names, signed = names + names_of_logs, f"{signed}\n{signature(folder, names_of_logs)}"
    if is_fresh(signed):
        names = []
    record = RunRecord(
        facts=RunFacts(
            has_result=facts.has_result and bool(result),
            evaluations=frozenset(scores),
            has_error=facts.has_error,
            error_time=facts.error_time,
            queued=facts.queued,
            queued_time=facts.queued_time,
            claimed=facts.claimed,
            last_sign_of_life=facts.last_sign_of_life,
            owner_is_dead=facts.owner_is_dead,
            read_time=facts.read_time,
        ),
        is_anothers=is_anothers,
        result={key: result[key] for key in _KEPT if key in result},
        evaluations={name: {key: content.get(key) for key in _SCORE} for name, content in scores.items()},
        num_threads=_num_threads(attempts),
        problems=problems,
        names=names,
        signed=signed,
    )
    line = {
        "schema_version": SCHEMA_VERSION,
        "run_id": spec.run_id,
        "attempts": attempts,
        "error": _tail(folder / "error.txt"),
        "log": next(filter(None, map(_tail, logs)), ""),
        "result": _scalars(facts.result) if facts.result is not None else None,
    }
    return record, line


_SCORE = ("top1", "top5", "num_labels", "num_test", "duration_s")
_EVALUATION = {"top1": True, "top5": False, "num_labels": True, "num_test": True}
_KEPT = ("outcome", "duration_s", "z_std_images", *EVERY_RUN_METRICS, *CONTRASTIVE_METRICS)
_RESULT = {"z_std_images": True} | dict.fromkeys(EVERY_RUN_METRICS, True) | dict.fromkeys(CONTRASTIVE_METRICS, False)
"""Numbers that the tables take from a file, or null, and whether they must be there."""


def _checked(
    content: Mapping[str, Any], name: str, numbers: Mapping[str, bool], problems: list[Problem]
) -> Mapping[str, Any]:
    """The content if it has what the tables need; empty otherwise, with what is missing noted."""
    wrong = [f"no {key!r}" for key, needed in numbers.items() if needed and key not in content]
    wrong += [
        f"{key} = {reprlib.repr(content[key])}, expected a number"
        for key in numbers
        if content.get(key) is not None and not _is_number(content[key])
    ]
    if numbers is _RESULT and not isinstance(content.get("outcome"), str):
        wrong.append(f"outcome = {reprlib.repr(content.get('outcome'))}, expected a word")
    if wrong:
        problems.append((name, f"{'; '.join(wrong)}; counted as missing"))
    return {} if wrong else content


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalars(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if not isinstance(value, dict | list)}


def _attempts(folder: Path, problems: list[Problem]) -> list[dict[str, Any]]:
    """The attempts of ``provenance.json``; none where it is missing, as for runs by hand, or torn, which is noted."""
    try:
        attempts = read_json(folder / "provenance.json")["attempts"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        attempts = None
    if isinstance(attempts, list) and all(isinstance(attempt, dict) for attempt in attempts):
        return attempts
    problems.append(("provenance.json", "cannot be read; its attempts are left out"))
    return []


def _num_threads(attempts: Sequence[Mapping[str, Any]]) -> int | None:
    found = attempts[-1].get("num_threads") if attempts else None
    return int(found) if isinstance(found, int | float) else None


def _logs(store: Store, attempts: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """What the run's newest job printed: standard error, and standard output for where that is empty."""
    try:
        paths = [log_path(store, attempts, queued.read(folder), ending) for ending in ("err", "out")]
    except (KeyError, TypeError):
        return []
    return [path for path in paths if path is not None]


def _tail(path: Path) -> str:
    """The last lines of a text; "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
