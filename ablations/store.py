"""The folder of runs: what state each is in, and who may work on it.

State is derived, never stored. A run's folder ``<store>/<run_id>/`` holds what the trainer writes (``spec.json``,
``result.json``, ``evals/``), and from here ``claim/`` with its owner, ``heartbeat.json`` and ``error.txt``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.spec import RunSpec
from simclr_core.records import read_json, write_json

STALE_AFTER_S = 300.0
"""A run under way writes its heartbeat far more often; one this old belongs to a machine that went away."""


class State(StrEnum):
    """Where a run stands."""

    PLANNED = "planned"  # nothing yet, or some of its evaluations are missing
    RUNNING = "running"
    DONE = "done"  # result and all its evaluations; a collapse or a divergence is a result
    FAILED = "failed"  # error.txt says why; tried again by the next launch
    STALE = "stale"  # claimed by a process that is gone; taken over by the next launch


@dataclass(frozen=True)
class Owner:
    """Who claimed a run."""

    host: str
    pid: int
    token: str
    time: float  # unix seconds


@dataclass(frozen=True)
class RunFacts:
    """What the state of a run is derived from."""

    has_result: bool = False  # and a specification that tells whose it is
    evaluations: frozenset[str] = frozenset()  # eval ids whose files are there and whole
    has_error: bool = False
    claimed: bool = False
    claim_id: str = "unknown"
    last_sign_of_life: float = 0.0  # unix seconds: of the claim or of its heartbeat
    owner_is_dead: bool = False  # known only on the owner's own host
    torn: tuple[str, ...] = ()  # JSON files that are there but cannot be read; they count as missing


def state(facts: RunFacts, eval_ids: Sequence[str], now: float) -> State:
    """The state of a run that needs these evaluations, at the time ``now`` in unix seconds."""
    if facts.has_result and facts.evaluations.issuperset(eval_ids):
        return State.DONE
    if facts.claimed:
        return State.STALE if _is_stale(facts, now) else State.RUNNING
    return State.FAILED if facts.has_error else State.PLANNED


def _is_stale(facts: RunFacts, now: float) -> bool:
    return facts.claimed and (facts.owner_is_dead or now - facts.last_sign_of_life > STALE_AFTER_S)


class Store:
    """A folder of runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run_dir(self, run_id: str) -> Path:
        """The folder of a run, whether it is there or not."""
        return self.root / run_id

    def facts(self, run_id: str) -> RunFacts:
        """What the folder of a run holds, read now."""
        folder = self.run_dir(run_id)
        if not folder.is_dir():
            return RunFacts()
        torn: list[str] = []
        evaluations = [p.stem for p in sorted((folder / "evals").glob("*.json")) if _whole(p, folder, torn) is not None]
        result = _whole(folder / "result.json", folder, torn)
        spec = _whole(folder / "spec.json", folder, torn)
        heartbeat = _whole(folder / "heartbeat.json", folder, torn)
        claimed, owner = _claim(folder)
        life = max(_claim_time(folder, owner), float(heartbeat["time"]) if heartbeat else 0.0)
        return RunFacts(
            has_result=result is not None and spec is not None,
            evaluations=frozenset(evaluations),
            has_error=(folder / "error.txt").exists(),
            claimed=claimed,
            claim_id=owner.token if owner else "unknown",
            last_sign_of_life=life,
            owner_is_dead=owner is not None and _is_dead(owner),
            torn=tuple(torn),
        )

    def state(self, spec: RunSpec, now: float | None = None) -> State:
        """The state of a run; raises UserError if its folder belongs to another configuration."""
        facts = self.facts(spec.run_id)
        self.check_spec(spec)
        return state(facts, spec.eval_ids, time.time() if now is None else now)

    def check_spec(self, spec: RunSpec) -> None:
        """Compare the folder's ``spec.json`` in full; raises UserError naming the run where it is another's."""
        path = self.run_dir(spec.run_id) / "spec.json"
        try:
            found = read_json(path)
        except (OSError, ValueError):
            return
        if isinstance(found, dict) and found != spec.spec_json():
            raise UserError([f"{path}: holds another configuration than run {spec.run_id}; move the folder away"])

    def claim(self, run_id: str) -> Owner | None:
        """Take a run for this process; None if another holds it.

        The claim appears whole or not at all: a prepared folder is renamed into place, which fails where one is. A
        stale claim is first renamed to a name made from its own token; only one of several takers can do that.
        """
        folder = self.run_dir(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        facts = self.facts(run_id)
        if _is_stale(facts, time.time()):
            try:
                (folder / "claim").rename(folder / f".stale-{facts.claim_id}")
            except OSError:
                return None
        owner = Owner(socket.gethostname(), os.getpid(), uuid.uuid4().hex, time.time())
        prepared = folder / f".claim-{owner.token}"
        write_json(prepared / "owner.json", vars(owner))
        try:
            prepared.rename(folder / "claim")
        except OSError:
            shutil.rmtree(prepared)
            return None
        return owner

    def release(self, run_id: str, owner: Owner) -> None:
        """Give a run back, with what stale claims left; nothing happens if it has been taken over meanwhile."""
        folder = self.run_dir(run_id)
        _, current = _claim(folder)
        if current is None or current.token != owner.token:
            return
        for stale in folder.glob(".stale-*"):
            shutil.rmtree(stale, ignore_errors=True)
        (folder / "heartbeat.json").unlink(missing_ok=True)
        gone = folder / f".released-{owner.token}"
        (folder / "claim").rename(gone)
        shutil.rmtree(gone)

    def release_dead(self, run_id: str, pid: int) -> None:
        """Give back what a process of this host, known to have ended, still claims."""
        _, owner = _claim(self.run_dir(run_id))
        if owner and owner.pid == pid and owner.host == socket.gethostname():
            self.release(run_id, owner)

    def set_torn_aside(self, run_id: str) -> tuple[str, ...]:
        """Rename files that cannot be read, so that they are made anew; their names. For the claim's owner."""
        torn = self.facts(run_id).torn
        for name in torn:
            path = self.run_dir(run_id) / name
            path.rename(path.with_name(f"{path.name}.torn"))
        return torn


def _whole(path: Path, folder: Path, torn: list[str]) -> Any:
    """The content of a JSON file; None if it is not there, or torn, which is noted."""
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError):
        content = None
    if isinstance(content, dict):
        return content
    torn.append(str(path.relative_to(folder)))
    return None


def _claim(folder: Path) -> tuple[bool, Owner | None]:
    """Whether a run is claimed, and by whom if that can be read."""
    path = folder / "claim"
    try:
        return True, Owner(**read_json(path / "owner.json"))
    except (OSError, ValueError, TypeError):
        return path.is_dir(), None


def _claim_time(folder: Path, owner: Owner | None) -> float:
    if owner:
        return owner.time
    try:
        return (folder / "claim").stat().st_mtime
    except OSError:
        return 0.0


def _is_dead(owner: Owner) -> bool:
    if owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
