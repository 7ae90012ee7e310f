"""What a run printed: the log of its job, and following it while it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.errors import UserError
from ablations.scheduler.jobs import Answer, ask
from ablations.slurm.status import Ask, RunFiles, find_state
from ablations.slurm.submissions import concerning, read
from ablations.store import provenance, queued
from ablations.store.find import find_run
from ablations.store.folder import State, Store
from ablations.store.job_logs import log_path
from ablations.study.spec import RunSpec
from formats.names import nearest

ASK_EVERY_S = 15.0
LOOK_EVERY_S = 1.0

_NEVER = ("no such evaluation",)
"""Whether a run is under way does not depend on what its grid wants of it."""


@dataclass(frozen=True)
class Output:
    """Where a run's output is."""

    run_id: str
    path: Path | None  # of its newest job's log; None for a run of no job
    error: Path | None  # its error.txt, if it failed


def find(store: Store, text: str, specs: Callable[[], Sequence[RunSpec]]) -> str:
    """The run with an id that starts so, or the one of a cell: ``LABEL``, ``LABEL seed N`` or ``GRID LABEL seed N``.

    ``specs`` gives the runs to search by label. Raises UserError if there is none, or more than one.
    """
    try:
        return find_run(store.root, text).name
    except UserError as error:
        if " runs start with " in error.problems[0]:
            raise
        known = {spec.run_id: spec for spec in specs() if store.run_dir(spec.run_id).is_dir()}
        found = [run_id for run_id, spec in known.items() if text in _titles(spec)]
        if len(found) == 1:
            return found[0]
        if not found:
            near = nearest(text, [*known, *dict.fromkeys(spec.label for spec in known.values())])
            raise UserError([f"{store.root}: no run or cell {text!r}{near}"]) from None
        seeds = ", ".join(f"{run_id} (seed {known[run_id].seed})" for run_id in found[:5])
        raise UserError([f"{text!r}: {len(found)} runs: {seeds}; give the id of one, or add: seed N"]) from None


def _titles(spec: RunSpec) -> tuple[str, str, str]:
    with_seed = f"{spec.label} seed {spec.seed}"
    return (spec.label, with_seed, f"{spec.grid} {with_seed}")


def output(store: Store, run_id: str, ending: str) -> Output:
    """Where a run's output is, ``ending`` being out or err."""
    files = _files(store, run_id)
    error = store.run_dir(run_id) / "error.txt"
    return Output(
        run_id, log_path(store, files.attempts, files.record, ending), error if files.facts.has_failed else None
    )


def last_lines(path: Path, count: int) -> str:
    """The end of a text file; ``count`` 0 is all of it."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return "".join(lines[-count:])


def follow(
    store: Store, run_id: str, path: Path, ask: Ask = ask, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """What a file holds and gets, until its run has ended. The file need not be there yet."""
    place, asked, answer = 0, 0.0, Answer()
    while True:
        files = _files(store, run_id)
        if files.record and files.record.job_id and (not asked or time.monotonic() - asked > ASK_EVERY_S):
            answer, asked = ask([files.record.job_id]), time.monotonic()
            made = read(store, files.record.submission)
            answer = concerning(answer, files.record.job_name, files.record.submission, made)
        # looked at before the file is read, so that the last words are not lost
        is_live = find_state(files, _NEVER, answer, time.time()).state in (State.QUEUED, State.RUNNING)
        if path.exists():
            with path.open("rb") as file:
                file.seek(place)
                content = file.read()
            place += len(content)
            if content:
                yield content.decode(errors="replace")
        if not is_live:
            return
        sleep(LOOK_EVERY_S)


def _files(store: Store, run_id: str) -> RunFiles:
    folder = store.run_dir(run_id)
    return RunFiles(store.facts(run_id), queued.read(folder), tuple(provenance.read(folder)))
