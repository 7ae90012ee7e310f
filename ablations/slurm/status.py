"""Where runs stand: what their files say, joined with what the scheduler says. Loads no torch and asks SLURM once.

The files count first: a result is a result whatever became of its job. Then the scheduler, about jobs that wait, run
or have ended; then the heartbeat, about a process that went away without a word.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablations.errors import UserError
from ablations.scheduler.jobs import GRACE_S, Answer, Job, ask
from ablations.slurm import submissions
from ablations.slurm.causes import Cause, cause_of
from ablations.store import provenance, queued
from ablations.store.folder import STALE_AFTER_S, RunFacts, State, Store, is_done, state
from ablations.store.job_logs import log_tail
from ablations.store.queued import Queued
from ablations.study.spec import RunSpec

SILENT = "SLURM does not answer"

Ask = Callable[[Iterable[str]], Answer]


@dataclass(frozen=True)
class RunFiles:
    """What the folder of a run says, beyond its result."""

    facts: RunFacts
    record: Queued | None = None
    attempts: tuple[Mapping[str, Any], ...] = ()  # of provenance.json

    @property
    def is_claimed_by_job(self) -> bool:
        """Whether the claim is that of the job which the run is queued under."""
        return bool(self.record and self.record.job_name and self.facts.claim_job == self.record.job_name)


@dataclass(frozen=True)
class FoundState:
    """The state of a run, and why where the state does not say it all."""

    state: State
    why: str = ""


@dataclass(frozen=True)
class RunStatus:
    """One run that a grid asks for, as it stands."""

    spec: RunSpec
    state: State
    why: str
    files: RunFiles
    job: Job | None = None
    cause: Cause | None = None  # of a failure
    answer: Answer = field(default_factory=Answer)  # what SLURM says of its job

    @property
    def left_s(self) -> float | None:
        """Seconds of pre-training left, by the pace that the run last told; None where that is unknown."""
        beat = self.files.facts.heartbeat
        if self.state is not State.RUNNING or beat.get("phase") != "pretrain" or not beat.get("images_per_s"):
            return None
        images_per_step = self.spec.config.method.num_views * self.spec.config.training.global_batch_size
        return float((beat["num_steps"] - beat["step"]) * images_per_step / beat["images_per_s"])

    @property
    def node(self) -> str:
        """Where it runs, or last ran."""
        newest = self.files.attempts[-1] if self.files.attempts else {}
        return (self.job.node if self.job else "") or str(newest.get("node") or newest.get("host") or "")


@dataclass
class Survey:
    """The runs of grids, and whether the scheduler had a say."""

    runs: list[RunStatus] = field(default_factory=list)
    answer: Answer = field(default_factory=Answer)

    def counts(self) -> Counter[State]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)


def find_state(run: RunFiles, eval_ids: Sequence[str], answer: Answer, now: float, *, busy: bool = False) -> FoundState:
    """The state of a run that needs these evaluations, from its files, the scheduler's answer and the time.

    ``busy``: another run of the same job is being worked on, so that this one waits for its turn.
    """
    facts = run.facts
    if is_done(facts, eval_ids):
        return FoundState(State.DONE)
    others = facts.is_alive and not run.is_claimed_by_job  # at work whatever becomes of the job
    if others or not facts.queued:
        return _of_no_queue(facts, eval_ids, answer)
    if run.record is None or not run.record.job_name:
        return _without_job(run, eval_ids, answer)
    if not answer.queue and not answer.accounting:
        return _by_files(facts, eval_ids, answer.not_ours or SILENT)
    job = answer.job(run.record.job_name)
    if job is None:
        return _unknown(facts, run.record, eval_ids, answer)
    return _known(facts, run.record, job, answer, now, busy)


def _of_no_queue(facts: RunFacts, eval_ids: Sequence[str], answer: Answer) -> FoundState:
    """A run that no submission brings, though its process may belong to a job: ``ablate run`` in a script."""
    found = _by_files(facts, eval_ids)
    job = answer.job(facts.claim_job) if facts.claim_job else None
    if found.state is not State.STALE or not facts.claim_job:
        return found
    if not answer.queue:
        return _by_files(facts, eval_ids, SILENT)
    if job and not job.ended:
        return FoundState(State.RUNNING, f"{found.why}, but SLURM still has its job {facts.claim_job}, {job.state}")
    return found


def _without_job(run: RunFiles, eval_ids: Sequence[str], answer: Answer) -> FoundState:
    if run.facts.claimed or run.facts.has_failed:
        return _of_no_queue(run.facts, eval_ids, answer)
    if run.facts.read_time - run.facts.queued_time > STALE_AFTER_S:
        return FoundState(State.STALE, "its submission ended before it got a job")
    return FoundState(State.QUEUED, "is being submitted" if run.record else "its queue record cannot be read")


def _by_files(facts: RunFacts, eval_ids: Sequence[str], why: str = "") -> FoundState:
    found = state(facts, eval_ids)
    if found is State.STALE:
        gone = "its process is gone" if facts.owner_is_dead else _silent(facts.silent_s)
        why = f"{gone}; {why}" if why else gone
    return FoundState(found, why)


def _unknown(facts: RunFacts, record: Queued, eval_ids: Sequence[str], answer: Answer) -> FoundState:
    if facts.has_failed:
        return FoundState(State.FAILED)
    if facts.read_time - facts.queued_time <= GRACE_S:
        unlisted = "SLURM does not list it, but it was submitted less than a minute ago"
        return FoundState(State.QUEUED, answer.not_ours or unlisted)
    if not answer.queue:
        return _by_files(facts, eval_ids, "the queue does not answer, and accounting does not know the job")
    if answer.not_ours:
        return FoundState(State.STALE, answer.not_ours)
    if answer.accounting:
        return FoundState(
            State.STALE, f"SLURM knows no job {record.job_name}: cancelled while it waited, or forgotten since"
        )
    return FoundState(State.STALE, f"job {record.job_name} has left the queue; without accounting nobody knows how")


def _known(facts: RunFacts, record: Queued, job: Job, answer: Answer, now: float, busy: bool) -> FoundState:
    if job.waits:
        return FoundState(State.QUEUED, job.reason or job.state)
    return _running(facts, record, job, now, busy) if job.runs else _ended(facts, job, answer, now)


def _running(facts: RunFacts, record: Queued, job: Job, now: float, busy: bool) -> FoundState:
    if job.state in ("SUSPENDED", "STOPPED"):
        return FoundState(State.RUNNING, f"SLURM has it {job.state.lower()}")
    if facts.claimed:
        silence = min(facts.silent_s, now - (job.start or 0.0))  # the claim may be of the job's last start
        if facts.owner_is_dead is False or silence <= STALE_AFTER_S:
            return FoundState(State.RUNNING)
        return FoundState(State.STALE, f"SLURM calls job {record.job_name} {job.state}, but {_silent(silence)}")
    if facts.has_failed:  # a run that is given up leaves the queue with its error
        return FoundState(State.QUEUED, f"its process died; job {record.job_name} tries again")
    if busy:
        return FoundState(State.QUEUED, f"waits for its turn in job {record.job_name}")
    return FoundState(State.RUNNING, f"job {record.job_name} is {job.state}; the run has not begun")


def _ended(facts: RunFacts, job: Job, answer: Answer, now: float) -> FoundState:
    if facts.has_failed:
        return FoundState(State.FAILED)
    if answer.may_come_back(job, now):
        return FoundState(State.QUEUED, f"{job.state}; SLURM may put it back into the queue")
    if job.state == "COMPLETED" and now - (job.end or 0.0) <= GRACE_S:
        return FoundState(State.RUNNING, "its job has just ended; the last files are awaited")
    return FoundState(State.FAILED, f"SLURM calls its job {job.state}, and there is no result")


def _silent(seconds: float) -> str:
    return f"no sign of life for {seconds / 60:.0f} min"


def survey(specs: Iterable[RunSpec], store: Store, now: float, ask: Ask = ask) -> Survey:
    """Every run as it stands.

    The scheduler is asked before the files are read, so that files are never behind it; and once more if these have
    silent claims of jobs that no submission has made.
    """
    wanted = list(specs)
    names = {path.name for path in store.root.iterdir()} if store.root.is_dir() else set()
    records = {name: record for name in names if (record := queued.read(store.run_dir(name)))}
    asked = {record.job_id for spec in wanted if (record := records.get(spec.run_id)) and record.job_id}
    whole = ask(asked) if asked else Answer()
    made = functools.cache(functools.partial(submissions.read, store))
    jobs = Counter(record.job_name for record in records.values())
    shared = {name: record for name, record in records.items() if jobs[record.job_name] > 1}
    busy = {record.job_name for name, record in shared.items() if (store.run_dir(name) / "claim").is_dir()}
    read = {
        run_id: _read(store, run_id) if run_id in names else RunFiles(RunFacts())
        for run_id in dict.fromkeys(spec.run_id for spec in wanted)
    }
    if claimants := _silent_jobs(read.values()) - {record.job_name for record in records.values()}:
        others = ask(claimants)
        whole = whole.joined(others) if asked else others
    eval_ids: dict[int, Sequence[str]] = {}  # by identity: the runs of a grid share their evaluations
    found = Survey(answer=whole)
    for spec in wanted:
        run_id = spec.run_id
        files = read[run_id]
        record = files.record
        answer = whole
        if record and record.job_name:
            answer = submissions.concerning(whole, record.job_name, record.submission, made(record.submission))
        if id(spec.evaluations) not in eval_ids:
            eval_ids[id(spec.evaluations)] = spec.eval_ids
        verdict = find_state(
            files, eval_ids[id(spec.evaluations)], answer, now, busy=bool(record and record.job_name in busy)
        )
        if run_id in names:
            try:
                store.check_spec(spec, files.facts)
            except UserError as error:
                found.runs.append(
                    RunStatus(
                        spec, State.FAILED, "", files, cause=Cause("another run's folder", str(error)), answer=answer
                    )
                )
                continue
        job = answer.job(record.job_name) if record and record.job_name else None
        cause = None
        if verdict.state is State.FAILED:
            cause = cause_of(job, _error(store, files, run_id), log_tail(store, files.attempts, record))
        found.runs.append(RunStatus(spec, verdict.state, verdict.why, files, job, cause, answer))
    return found


def _silent_jobs(runs: Iterable[RunFiles]) -> set[str]:
    """The jobs of claims from which no sign of life comes."""
    return {run.facts.claim_job for run in runs if run.facts.claim_job and not run.facts.is_alive}


def _error(store: Store, files: RunFiles, run_id: str) -> str:
    """The content of error.txt, unless it is from before the run was submitted again."""
    if not files.facts.has_failed:
        return ""
    try:
        return (store.run_dir(run_id) / "error.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read(store: Store, run_id: str) -> RunFiles:
    """Facts first: what is written later than they were read is newer than they say, never older."""
    facts = store.facts(run_id)
    if facts.has_result and not (facts.queued or facts.claimed or facts.has_error):
        return RunFiles(facts)
    folder = store.run_dir(run_id)
    return RunFiles(facts, queued.read(folder) if facts.queued else None, tuple(provenance.read(folder)))
