"""The run folders: the state of each run, and which process may work on it.

A state is derived from files, never stored. The folder ``<store>/<run_id>/`` of a run holds the trainer's files
(``spec.json``, ``result.json``, ``evals/``), this module's files (``claim/`` with its owner, ``heartbeat.json``,
``error.txt``), and ``queued/``, which a submission writes. ``ablations.slurm.status`` combines these files with SLURM's
states.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.scheduler.holders import holders
from ablations.scheduler.place import slurm_place
from ablations.store import queued, sharing
from ablations.store.file_clock import FileClock
from ablations.store.processes import is_gone, this_process
from ablations.study.spec import RunSpec
from formats.names import nearest
from simclr_core.records import read_json, write_json

STALE_AFTER_S = 300.0
"""A running run writes its heartbeat far more often; after so many seconds its machine is usually gone."""


class State(StrEnum):
    """The state of a run."""

    PLANNED = "planned"  # nothing yet, or some of its evaluations are missing
    QUEUED = "queued"  # submitted to a scheduler, which has not started it yet, or again
    RUNNING = "running"
    DONE = "done"  # result and all its evaluations; a collapse or a divergence is a result
    FAILED = "failed"  # error.txt says why; tried again by the next launch
    STALE = "stale"  # claimed by a process that is gone; taken over by the next launch, unless SLURM has its job


@dataclass(frozen=True)
class Owner:
    """The process that claimed a run."""

    host: str
    pid: int
    token: str
    time: float  # unix seconds, by the owner's clock
    job: str = ""  # of SLURM, as in "120_5"; "" outside
    restart: int = 0  # how often SLURM has put that job back into the queue
    cluster: str = ""  # whose job it is
    namespace: str = ""  # of the process number
    started: str = ""  # when the process was


_OWNER = tuple(each.name for each in fields(Owner))


@dataclass(frozen=True)
class RunFacts:
    """The facts from which the state of a run is derived; times are unix seconds by the clock of the files."""

    has_result: bool = False  # and a specification that tells whose it is
    evaluations: frozenset[str] = frozenset()  # eval ids whose files are there and whole
    has_error: bool = False
    error_time: float = 0.0  # when error.txt was written
    queued: bool = False  # there is a queue record
    queued_time: float = 0.0  # when it was written
    claimed: bool = False
    claim_id: str = "unknown"
    claim_job: str = ""  # the SLURM job that claimed it, as in "120_5"
    claim_cluster: str = ""  # and whose job that is, if known
    last_sign_of_life: float = 0.0  # when the claim or its heartbeat was written
    owner_is_dead: bool | None = None  # None: on another host nobody knows
    read_time: float = 0.0  # when all this was read, if the run is claimed or queued
    torn: tuple[str, ...] = ()  # JSON files that are there but cannot be read; they count as missing
    heartbeat: Mapping[str, Any] = field(default_factory=dict)  # content of heartbeat.json
    spec: Mapping[str, Any] | None = None  # content of spec.json
    result: Mapping[str, Any] | None = None  # content of result.json
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # contents of evals/*.json, by eval id

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return self.read_time - self.last_sign_of_life

    @property
    def is_alive(self) -> bool:
        """Whether a process works on the run: the process exists, or it has written a sign of life recently."""
        if self.owner_is_dead is None:
            return self.claimed and self.silent_s <= STALE_AFTER_S
        return self.claimed and not self.owner_is_dead

    @property
    def has_failed(self) -> bool:
        """Whether the run failed with an error and was not submitted again since."""
        return self.has_error and not (self.queued and self.queued_time > self.error_time)


def state(facts: RunFacts, eval_ids: Sequence[str]) -> State:
    """Return the state of a run that needs these evaluations, from its files alone."""
    if is_done(facts, eval_ids):
        return State.DONE
    if facts.claimed:
        return State.RUNNING if facts.is_alive else State.STALE
    if facts.has_failed:
        return State.FAILED
    return State.QUEUED if facts.queued else State.PLANNED


def is_done(facts: RunFacts, eval_ids: Sequence[str]) -> bool:
    """Whether the result and all these evaluations exist."""
    return facts.has_result and facts.evaluations.issuperset(eval_ids)


def problems_of(root: Path, *, may_be_new: bool = False) -> list[str]:
    """Return what is wrong with a path for a store: one line, or none."""
    there = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if not there.is_dir():
        name = "" if there == root else f"{there} "
        return [f"--store {root}: {name}{'leads nowhere' if there.is_symlink() else 'is a file'}; expected a folder"]
    if there == root or may_be_new:
        return []
    missing = there / root.relative_to(there).parts[0]
    near = nearest(missing.name, [path.name for path in there.iterdir() if path.is_dir()])
    name = "" if missing == root else f", there is no {missing}"
    return [f"--store {root}: no such folder{name}{near}; ablate run and ablate submit make one"]


class Store:
    """A folder of runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FileClock(root)

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run, which may not exist."""
        return self.root / run_id

    def facts(self, run_id: str) -> RunFacts:
        """Read what the folder of a run holds; raises UserError if this user may not read it."""
        folder = self.run_dir(run_id)
        try:
            return self._facts(folder)
        except PermissionError as error:
            raise UserError([sharing.denied([Path(error.filename or folder)], "read")]) from None

    def _facts(self, folder: Path) -> RunFacts:
        """Read only the files that the folder's listing contains, because stores are often on remote file systems."""
        try:
            names = set(os.listdir(folder))  # noqa: PTH208 - a thousand runs are listed at a time
        except (FileNotFoundError, NotADirectoryError):
            return RunFacts()
        claimed, owner = _claim(folder) if "claim" in names else (False, None)
        if "claim" in names and not claimed:  # given back since the listing, which may lack what was written last
            return self._facts(folder)
        torn: list[str] = []
        result, spec, heartbeat = (
            _whole(folder / name, folder, torn) if name in names else None
            for name in ("result.json", "spec.json", "heartbeat.json")
        )
        paths = sorted((folder / "evals").glob("[!.]*.json")) if "evals" in names else []
        scores = {path.stem: content for path in paths if (content := _whole(path, folder, torn)) is not None}
        signs = (_modified(folder / name) or 0.0 for name in ("claim", "heartbeat.json"))
        error_time = _modified(folder / "error.txt") if "error.txt" in names else None
        queued_time = _modified(folder / queued.RECORD) if queued.RECORD.parts[0] in names else None
        return RunFacts(
            has_result=result is not None and spec is not None,
            evaluations=frozenset(scores),
            has_error=error_time is not None,
            error_time=error_time or 0.0,
            queued=queued_time is not None,
            queued_time=queued_time or 0.0,
            claimed=claimed,
            claim_id=owner.token if owner else "unknown",
            claim_job=owner.job if owner else "",
            claim_cluster=owner.cluster if owner else "",
            last_sign_of_life=max(signs) if claimed else 0.0,
            owner_is_dead=_is_dead(owner) if owner else None,
            read_time=self.clock.now() if claimed or queued_time is not None else 0.0,
            torn=tuple(torn),
            heartbeat=heartbeat or {},
            spec=spec,
            result=result,
            scores=scores,
        )

    def state(self, spec: RunSpec) -> State:
        """Return the state of a run; raises UserError if its folder belongs to another configuration."""
        facts = self.facts(spec.run_id)
        self.check_spec(spec, facts)
        return state(facts, spec.eval_ids)

    def check_spec(self, spec: RunSpec, facts: RunFacts) -> None:
        """Compare the folder's ``spec.json`` in full; raises UserError naming the run if it belongs to another one."""
        if facts.spec is not None and facts.spec != spec.spec_json():
            path = self.run_dir(spec.run_id) / "spec.json"
            raise UserError([f"{path}: holds another configuration than run {spec.run_id}; move the folder away"])

    def claim(self, run_id: str) -> Owner | None:
        """Claim a run for this process; None if another process holds it. Raises UserError if this user may not write.

        The claim appears whole or not at all: a prepared folder is renamed into place, which fails if a claim exists. A
        stale claim is first renamed to a name made from its own token; only one of several processes succeeds. A claim
        of a SLURM job that SLURM still lists, or may list, is not stale, however old its last sign of life is.
        """
        folder = self.run_dir(run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return self._claim(folder, self._facts(folder))
        except PermissionError as error:
            raise UserError([sharing.denied([Path(error.filename or folder)], "change")]) from None

    def _claim(self, folder: Path, facts: RunFacts) -> Owner | None:
        if facts.claimed:
            if facts.is_alive or holders({folder.name: facts}):
                return None
            if not _renamed(folder / "claim", folder / f".stale-{facts.claim_id}"):
                return None
        here = slurm_place()
        job, restart = (here.job_name, here.restart_count) if here else ("", 0)
        cluster = os.environ.get("SLURM_CLUSTER_NAME", "") if here else ""
        token = uuid.uuid4().hex
        owner = Owner(**this_process(), token=token, time=time.time(), job=job, restart=restart, cluster=cluster)
        prepared = folder / f".claim-{owner.token}"
        write_json(prepared / "owner.json", vars(owner))
        if not _renamed(prepared, folder / "claim"):
            shutil.rmtree(prepared)
            return None
        return owner

    def release(self, run_id: str, owner: Owner) -> None:
        """Release a run and remove the remains of stale claims, unless another process has taken the run over."""
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
        """Release a run that a process of this host, known to have ended, still claims."""
        _, owner = _claim(self.run_dir(run_id))
        if owner and owner.pid == pid and owner.host == socket.gethostname():
            self.release(run_id, owner)

    def release_ended(self, run_id: str, job: str) -> None:
        """Release a run that a SLURM job, known to have ended, still claims."""
        _, owner = _claim(self.run_dir(run_id))
        if owner and owner.job == job:
            self.release(run_id, owner)

    def set_torn_aside(self, run_id: str) -> tuple[str, ...]:
        """Rename unreadable files, so that they are made again, and return their names. For the owner of the claim."""
        torn = self.facts(run_id).torn
        for name in torn:
            path = self.run_dir(run_id) / name
            path.rename(path.with_name(f"{path.name}.torn"))
        return torn


def _renamed(path: Path, to: Path) -> bool:
    """Rename a path; False if another process was faster: the source is gone, or the target exists."""
    try:
        path.rename(to)
    except PermissionError:
        raise
    except OSError:
        return False
    return True


def _whole(path: Path, folder: Path, torn: list[str]) -> Any:
    """Return the content of a JSON file; None if it is missing, or damaged, which is recorded in ``torn``."""
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError, IsADirectoryError):
        content = None
    if isinstance(content, dict):
        return content
    torn.append(str(path.relative_to(folder)))
    return None


def _claim(folder: Path) -> tuple[bool, Owner | None]:
    """Return whether a run is claimed, and the owner if it can be read."""
    path = folder / "claim"
    try:
        content = read_json(path / "owner.json")
        return True, Owner(**{name: content[name] for name in _OWNER if name in content})
    except (OSError, ValueError, TypeError):
        return path.is_dir(), None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _is_dead(owner: Owner) -> bool | None:
    here = slurm_place()
    if here and owner.job == here.job_name and owner.restart < here.restart_count:
        return True  # SLURM ends what a job has started before it starts the job again
    return is_gone(vars(owner))
