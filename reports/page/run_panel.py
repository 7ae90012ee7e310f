"""What a page says of one run: where it stands, what it ran on, what it left, how to repeat it. Texts, not yet HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formats.levels import level_text
from reports.paths import safe_name

_STANDING = {
    "trained": "Trained to its end.",
    "untrained": "Not trained, as this reference asks: the network as it was initialised, evaluated.",
    "collapsed": "Collapsed: z no longer differs between images (z_std_ratio near 0). That is a result, not an error.",
    "diverged": "Diverged: its numbers were no longer finite, and the training ended there. That is a result, "
    "not an error.",
    "done": "Done.",
    "planned": "Planned: no process has started it yet, or an evaluation is missing.",
    "queued": "Queued: a SLURM job brings it and has not started.",
    "running": "Running when the results were collected.",
    "failed": "Failed; the next launch tries it again.",
    "stale": "Stale: the process that worked on it is gone, and the next launch takes it over.",
}
_SHOWN_ELSEWHERE = ("schema_version", "run_id", "outcome")


@dataclass(frozen=True)
class Attempt:
    """One execution of a run, as texts; ``command`` only where it is not the one that repeats the run today."""

    number: str
    outcome: str
    start: str
    end: str
    duration: str
    host: str
    device: str
    threads: str
    commit: str
    dirty: bool
    command: str


@dataclass(frozen=True)
class Panel:
    """A run. ``kind``: its outcome if it is done, else its state. ``facts``: (what, text) of code and versions.

    ``collected`` says whether anything is known of where it came from; ``result``: the numbers it left, by name.
    """

    run_id: str
    seed: int
    state: str
    outcome: str
    kind: str
    standing: str
    command: str
    collected: bool
    attempts: list[Attempt]
    commit: str
    dirty: bool | None
    facts: list[tuple[str, str]]
    result: list[tuple[str, str]]
    error: str
    log: str
    steps: float
    duration_s: float
    host: str


def panel(run: Mapping[str, Any], collected: Mapping[str, Any] | None) -> Panel:
    """The panel of a grid's run; ``collected`` is its entry in ``GridResult.provenance``, if there is one.

    Raises InputError for a run id that could lead elsewhere.
    """
    run_id = safe_name(run["run_id"], "the id of a run")
    known = collected or {}
    attempts = known.get("attempts", [])
    command = str(run["command"])
    last = attempts[-1] if attempts else {}
    source = _mapping(last.get("source"))
    result = _mapping(known.get("result"))
    kind = str(run["outcome"] or "done") if run["state"] == "done" else str(run["state"])
    return Panel(
        run_id=run_id,
        seed=int(run["seed"]),
        state=str(run["state"]),
        outcome=_text(run["outcome"]),
        kind=kind,
        standing=_STANDING.get(kind, kind),
        command=command,
        collected=collected is not None,
        attempts=[_attempt(index, each, command) for index, each in enumerate(attempts, start=1)],
        commit=_text(source.get("commit")),
        dirty=source.get("dirty"),
        facts=_facts(source, _mapping(last.get("versions"))),
        result=[(str(key), _text(value)) for key, value in result.items() if key not in _SHOWN_ELSEWHERE],
        error=str(known.get("error", "")).strip("\n"),
        log=str(known.get("log", "")).strip("\n"),
        steps=_number(result.get("num_steps")),
        duration_s=_spent(attempts),
        host=", ".join(dict.fromkeys(_text(each.get("host")) for each in attempts)) or "–",
    )


def _attempt(index: int, attempt: Mapping[str, Any], command: str) -> Attempt:
    source = _mapping(attempt.get("source"))
    ran = str(attempt.get("command") or command)
    return Attempt(
        number=_text(attempt.get("attempt", index)),
        outcome=_text(attempt.get("outcome")),
        start=_time(attempt.get("start")),
        end=_time(attempt.get("end")),
        duration=duration_text(_number(attempt.get("duration_s"))),
        host=_host(attempt),
        device=_text(attempt.get("gpu") or attempt.get("cpu")),
        threads=_text(attempt.get("num_threads")),
        commit=_text(source.get("commit"))[:12],
        dirty=source.get("dirty") is True,
        command="" if ran == command else ran,
    )


def _host(attempt: Mapping[str, Any]) -> str:
    host = _text(attempt.get("host"))
    if not attempt.get("job_id"):
        return host
    element = attempt.get("array_index")
    return f"{host}, SLURM job {attempt['job_id']}" + ("" if element is None else f"_{element}")


def _facts(source: Mapping[str, Any], versions: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("Installed version", source.get("version")), ("SHA-256 of the trainer’s files", source.get("sha256"))]
    facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return [(name, str(value)) for name, value in facts if value]


def _spent(attempts: Sequence[Mapping[str, Any]]) -> float:
    """The seconds of all attempts that ended, which the run took altogether; NaN if none has."""
    known = [seconds for attempt in attempts if math.isfinite(seconds := _number(attempt.get("duration_s")))]
    return sum(known) if known else math.nan


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _time(value: Any) -> str:
    """``2026-11-22 03:23:25 UTC`` for the ISO time that a job writes."""
    text = _text(value)
    return f"{text[:-1].replace('T', ' ')} UTC" if text.endswith("Z") else text


def _text(value: Any) -> str:
    """A value for reading; a dash where there is none."""
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    return level_text(value) if isinstance(value, bool | int) else str(value)


def duration_text(seconds: float) -> str:
    """Seconds in a unit that a person would choose; a dash for NaN."""
    if math.isnan(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
