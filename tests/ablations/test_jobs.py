"""Looking after runs: logs, retry, cancel and prune, with a scheduler that says what a test lets it say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import WriteGrid
from fake_trainer import write_records
from slurm_says import Says
from typer.testing import CliRunner, Result

from ablations import console
from ablations.commands.cli import app
from ablations.errors import UserError
from ablations.scheduler import jobs as scheduler
from ablations.scheduler.jobs import Answer, Job, Printed
from ablations.slurm import cancel, logs, prune, queue, retry
from ablations.slurm.profiles import Profile
from ablations.slurm.source import Code
from ablations.slurm.status import Ask, RunStatus, survey
from ablations.slurm.submissions import read_all
from ablations.slurm.submit import Order, Sorted
from ablations.slurm.submit import submit as submitting
from ablations.store import queued
from ablations.store.folder import STALE_AFTER_S, Owner, State, Store
from ablations.store.queued import RECORD, Queued
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import read_json, write_json

Ablate = Callable[..., Result]


@pytest.fixture
def specs(write_grid: WriteGrid) -> list[RunSpec]:
    return expand(load_grid(str(write_grid())), "demo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def ablate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ablate:
    monkeypatch.chdir(tmp_path)
    for shown in (console.out, console.err):
        monkeypatch.setattr(shown, "_width", 200)
    return lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=False)


def submit(store: Store, spec: RunSpec, job_id: str | None, index: int | None, submission: str = "s1") -> Path:
    """A queue record of ten minutes ago."""
    folder = store.run_dir(spec.run_id)
    when = time.time() - 600
    write_json(folder / RECORD, vars(Queued(submission, job_id, index, "login", "ada", when, "gpu", None)))
    os.utime(folder / RECORD, (when, when))
    return folder


def write_submission(
    store: Store,
    name: str,
    jobs: dict[str, list[list[RunSpec]]],
    asked: Mapping[str, Mapping[str, list[RunSpec]]] = MappingProxyType({}),
) -> Path:
    folder = store.root / ".submissions" / name
    listed = [
        {"job_id": job_id, "run_ids": [[spec.run_id for spec in task] for task in tasks]}
        for job_id, tasks in jobs.items()
    ]
    ids = {
        grid: {submission: [spec.run_id for spec in specs] for submission, specs in by_submission.items()}
        for grid, by_submission in asked.items()
    }
    content = {"id": name, "time": 1.0, "scale": "demo", "profile": {}, "asked": ids, "jobs": listed}
    write_json(folder / "submission.json", content)
    return folder


def claim_as(store: Store, spec: RunSpec, job: str, *, age_s: float) -> None:
    """A claim as a job on another machine leaves it."""
    folder = store.run_dir(spec.run_id)
    owner = Owner("node7", 1, "f" * 32, time.time() - age_s, job)
    write_json(folder / "claim" / "owner.json", vars(owner))
    write_json(folder / "heartbeat.json", {"time": owner.time})
    for name in ("heartbeat.json", "claim"):
        os.utime(folder / name, (owner.time, owner.time))


def asking(client: Says) -> Ask:
    return lambda ids: scheduler.ask(ids, client)


def finish(spec: RunSpec, store: Store) -> Path:
    folder = store.run_dir(spec.run_id)
    write_records(spec.config, list(spec.evaluations), folder)
    return folder


# retry


def surveyed(specs: list[RunSpec], store: Store, client: Says) -> list[RunStatus]:
    return survey(specs, store, time.time(), asking(client)).runs


def test_retry_clears_what_failed_and_what_went_away(specs: list[RunSpec], store: Store) -> None:
    failed, killed, forgotten, silent = specs[:4]
    store.run_dir(failed.run_id).mkdir(parents=True)
    (store.run_dir(failed.run_id) / "error.txt").write_text("ZeroDivisionError\n", encoding="utf-8")
    submit(store, killed, "120", 0)
    claim_as(store, killed, "120_0", age_s=5)  # its last sign of life is new, but SLURM says how it ended
    submit(store, forgotten, "120", 1)
    claim_as(store, silent, "", age_s=STALE_AFTER_S + 60)
    client = Says("", "120_0|OUT_OF_MEMORY|0:125|n1|5|6\n")
    runs = surveyed(specs[:4], store, client)
    assert [run.state for run in runs] == [State.FAILED, State.FAILED, State.STALE, State.STALE]

    cleared = retry.clear(runs, store)

    assert cleared.kept == {}
    assert [run.spec for run in cleared.runs] == specs[:4]
    assert [store.state(spec) for spec in specs[:4]] == [State.PLANNED] * 4
    assert [list(store.run_dir(spec.run_id).iterdir()) for spec in specs[:4]] == [[]] * 4


def test_retry_leaves_what_somebody_may_still_work_on(specs: list[RunSpec], store: Store) -> None:
    hung, again, local = specs[:3]
    submit(store, hung, "120", 0)
    claim_as(store, hung, "120_0", age_s=STALE_AFTER_S + 60)
    submit(store, again, "120", 1)
    submit(store, local, "120", 2)
    client = Says("120_0|RUNNING|None|n1|5|9\n", "120_2|CANCELLED by 0|0:0|n1|5|6\n")
    runs = surveyed(specs[:3], store, client)
    assert [run.state for run in runs] == [State.STALE, State.STALE, State.FAILED]
    submit(store, again, "121", 0, "s2")  # after the survey
    claim_as(store, local, "", age_s=1)

    cleared = retry.clear(runs, store)

    assert cleared.runs == []
    assert cleared.kept == {
        hung.run_id: "job 120_0 is still RUNNING; ablate cancel ends it",
        again.run_id: "it has been submitted again meanwhile",
        local.run_id: "another process works on it",
    }
    assert all((store.run_dir(spec.run_id) / RECORD).exists() for spec in specs[:3])


def test_retry_waits_for_a_scheduler_that_does_not_answer(specs: list[RunSpec], store: Store) -> None:
    """The job of a run whose node went down may be in the queue again."""
    submit(store, specs[0], "120", 0)
    claim_as(store, specs[0], "120_0", age_s=STALE_AFTER_S + 60)
    runs = surveyed(specs[:1], store, Says(None, None))
    assert (runs[0].state, runs[0].why) == (State.STALE, "no sign of life for 6 min; SLURM does not answer")

    cleared = retry.clear(runs, store)
    assert cleared.kept == {specs[0].run_id: "SLURM does not answer, and may still have its job 120_0"}


# cancel


@dataclass
class Cluster:
    """SLURM with jobs in given states, which scancel ends after so many looks at the queue."""

    states: dict[str, str]
    looks: int = 1
    refusal: str = ""
    name: str = "little.demo.s1"  # of the jobs
    user_id: str = "1000"
    cluster: str = "alps"
    cancelled: list[str] = field(default_factory=list)

    def __call__(self, command: Sequence[str]) -> Printed:
        if command[0] == "scancel":
            self.cancelled += command[1:]
            return Printed(1, "", self.refusal) if self.refusal else Printed(0, "", "")
        if command[0] == "sacct":
            return Printed(0, "", "")
        if command[0] == "scontrol":
            return Printed(0, f"ClusterName = {self.cluster}\n", "")
        self.looks -= bool(self.cancelled)
        if self.cancelled and not self.refusal and self.looks < 0:
            return Printed(0, "", "")
        rest = f"None|n1|5|9|{self.user_id}|{self.name}"
        return Printed(0, "".join(f"{name}|{state}|{rest}\n" for name, state in self.states.items()), "")


def plan_of(specs: list[RunSpec], store: Store, cluster: Cluster, grid: str = "little") -> cancel.Cancelling:
    found = survey(specs, store, time.time(), lambda ids: scheduler.ask(ids, cluster))
    return cancel.plan(found.runs, [grid], "demo", store)


def test_cancel_takes_runs_out_of_the_queue_once_their_jobs_are_gone(specs: list[RunSpec], store: Store) -> None:
    waiting, running, unknown = specs[:3]
    for index, spec in enumerate(specs[:3]):
        submit(store, spec, "120", index)
    claim_as(store, running, "120_1", age_s=1)
    cluster = Cluster({"120_0": "PENDING", "120_1": "RUNNING"}, looks=2)
    slept: list[float] = []

    todo = plan_of(specs, store, cluster)
    assert (todo.jobs, todo.forgotten, todo.kept) == (
        {"120_0": [waiting.run_id], "120_1": [running.run_id]},
        [unknown.run_id],
        {},
    )
    done = cancel.cancel(todo, store, cluster, slept.append)

    assert cluster.cancelled == ["120_[0-1]"]
    assert len(slept) == 2
    assert sorted(done.runs) == sorted(spec.run_id for spec in specs[:3])
    assert [store.state(spec) for spec in specs[:3]] == [State.PLANNED] * 3


def test_cancel_leaves_runs_of_other_grids_that_are_under_way(specs: list[RunSpec], store: Store) -> None:
    shared, other, own = specs[:3]
    for index, spec in enumerate(specs[:3]):
        submit(store, spec, "120", index)
    write_submission(store, "s1", {"120": [[shared], [other], [own]]}, {"little": {"s1": [shared, other, own]}})
    write_submission(store, "s2", {}, {"second": {"s1": [shared, other]}})  # it found them in the queue
    cluster = Cluster({f"120_{index}": "PENDING" for index in range(3)})

    todo = plan_of(specs, store, cluster)

    assert todo.jobs == {"120_2": [own.run_id]}
    assert todo.kept == dict.fromkeys((shared.run_id, other.run_id), "second at scale demo asks for it too")

    cancel.cancel(todo, store, cluster, lambda _: None)
    cluster = Cluster({f"120_{index}": "PENDING" for index in range(2)})
    assert plan_of(specs, store, cluster, "second").jobs == {"120_0": [shared.run_id], "120_1": [other.run_id]}


def test_what_a_grid_finds_in_the_queue_is_written_down_once(specs: list[RunSpec], store: Store) -> None:
    submit(store, specs[0], "120", 0)
    finish(specs[1], store)
    order = Order({"second": [spec.run_id for spec in specs[:3]]}, "demo", Profile("p"))
    for _ in range(2):
        assert submitting(order, Sorted(queued=specs[:1]), {}, store, Code(Path("/code"))).job_ids == []

    (wish,) = read_all(store)
    assert (wish.jobs, wish.asked) == ((), {"second": {"s1": [specs[0].run_id]}})
    cancel.cancel(cancel.Cancelling(["second"], "demo"), store, Cluster({}))
    assert [each.asked for each in read_all(store)] == [{}]
    submitting(order, Sorted(queued=specs[:1]), {}, store, Code(Path("/code")))
    assert len(read_all(store)) == 2


def test_a_grid_that_is_through_holds_nothing(specs: list[RunSpec], store: Store) -> None:
    submit(store, specs[0], "120", 0)
    write_submission(store, "s1", {"120": [[specs[0]]]}, {"little": {"s1": [specs[0]]}})
    # no run is queued by it any more
    write_submission(store, "s0", {"110": [[specs[0]]]}, {"second": {"s0": [specs[0]]}})

    todo = plan_of(specs, store, Cluster({"120_0": "PENDING"}))
    assert list(todo.jobs) == ["120_0"]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_brings_other_runs_too_goes_on(specs: list[RunSpec], store: Store, state: str) -> None:
    for spec in specs[:2]:
        submit(store, spec, "120", 0)
    ours = specs[:1]
    todo = plan_of(ours, store, Cluster({"120_0": state}))

    assert todo.jobs == {}
    if state == "PENDING":  # out of the books; the job does not find it when it starts
        assert (todo.forgotten, todo.kept) == ([ours[0].run_id], {})
    else:
        assert todo.kept == {ours[0].run_id: f"its job 120_0 also brings {specs[1].run_id}, which is not cancelled"}


def test_a_job_that_does_not_end_keeps_its_runs(
    specs: list[RunSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(store, specs[0], "120", None)
    monkeypatch.setattr(cancel, "GONE_WITHIN_S", 0.0)
    cluster = Cluster({"120": "COMPLETING"}, looks=9)
    done = cancel.cancel(plan_of(specs, store, cluster), store, cluster, lambda _: None)

    assert cluster.cancelled == ["120"]
    assert (done.runs, list(done.lingering)) == ([], [specs[0].run_id])
    assert queued.read(store.run_dir(specs[0].run_id)) is not None


def test_a_refused_scancel_is_said(specs: list[RunSpec], store: Store) -> None:
    submit(store, specs[0], "120", 3)
    cluster = Cluster({"120_3": "RUNNING"}, refusal="scancel: error: Kill job error on job id 120_3: Access denied")
    done = cancel.cancel(plan_of(specs, store, cluster), store, cluster, lambda _: None)

    assert done.runs == []
    assert "Access denied" in done.lingering[specs[0].run_id]


def owned(store: Store, spec: RunSpec, **told: str) -> None:
    """A queue record, and a submission of user 1000 on cluster alps."""
    submit(store, spec, "120", None)
    path = write_submission(store, "s1", {"120": [[spec]]}, {"little": {"s1": [spec]}}) / "submission.json"
    write_json(path, read_json(path) | {"cluster": "alps", "user_id": "1000"} | told)


@pytest.mark.parametrize(
    ("told", "of_cluster", "why"),
    [
        ({}, {"name": "train-gpt"}, "job 120 is 'train-gpt' of user "),
        ({}, {"name": "little.demo.s2"}, "none of submission s1: not cancelled; ablate retry --stale frees the run"),
        ({"cluster": ""}, {"name": "train-gpt"}, "none of submission s1: not cancelled"),  # of before this was noted
        ({}, {"name": ""}, "job 120 is not that of the user who submitted it: not cancelled"),
        ({}, {"user_id": "1001"}, "job 120 is not that of the user who submitted it: not cancelled"),
        ({}, {"cluster": "jura"}, "job 120 is in the queue of cluster alps, and this is jura: not cancelled"),
    ],
)
def test_a_job_that_is_not_ours_is_not_cancelled(
    specs: list[RunSpec], store: Store, told: dict[str, str], of_cluster: dict[str, str], why: str
) -> None:
    owned(store, specs[0], **told)
    cluster = Cluster({"120": "RUNNING"}, **of_cluster)  # type: ignore[arg-type]
    done = cancel.cancel(plan_of(specs[:1], store, cluster), store, cluster, lambda _: None)

    assert cluster.cancelled == []
    assert (done.runs, list(done.lingering)) == ([], [specs[0].run_id])
    assert why in done.lingering[specs[0].run_id]
    assert queued.read(store.run_dir(specs[0].run_id)) is not None
    assert [each.asked for each in read_all(store)] == [{"little": {"s1": [specs[0].run_id]}}]


@pytest.mark.parametrize("name", ["little.demo.s1", "s1"])
def test_a_job_that_is_ours_is_cancelled(specs: list[RunSpec], store: Store, name: str) -> None:
    """Jobs of before were called by their submission alone."""
    owned(store, specs[0])
    cluster = Cluster({"120": "RUNNING"}, name=name)
    done = cancel.cancel(plan_of(specs[:1], store, cluster), store, cluster, lambda _: None)

    assert (cluster.cancelled, done.runs, done.lingering) == (["120"], [specs[0].run_id], {})


def test_no_job_is_cancelled_whose_name_nobody_tells(specs: list[RunSpec], store: Store) -> None:
    owned(store, specs[0])
    asked: list[str] = []

    def silent(command: Sequence[str]) -> Printed:
        asked.append(command[0])
        return Printed(1, "", "Unable to contact slurm controller\n")

    found = survey(specs[:1], store, time.time(), lambda ids: scheduler.ask(ids, silent))
    done = cancel.cancel(cancel.plan(found.runs, ["little"], "demo", store), store, silent, lambda _: None)

    assert "scancel" not in asked
    assert "Unable to contact slurm controller: not cancelled" in done.lingering[specs[0].run_id].split("; ")[1]


def test_another_clusters_job_is_neither_lost_nor_taken_for_the_one_of_its_number_here(
    specs: list[RunSpec], store: Store
) -> None:
    owned(store, specs[0])
    client = Says("120|RUNNING|None|n1|5|9|1000|train-gpt\n", "", "ClusterName = jura\n")
    runs = surveyed(specs[:1], store, client)
    assert (runs[0].state, runs[0].job) == (State.QUEUED, None)
    assert runs[0].why == "job 120 is in the queue of cluster alps, and this is jura"
    folder = store.run_dir(specs[0].run_id)
    assert queue.sift([folder], lambda _: {}, asking(client)) == ([folder], [])

    claim_as(store, specs[0], "120", age_s=STALE_AFTER_S + 60)
    runs = surveyed(specs[:1], store, client)
    assert runs[0].state is State.STALE
    assert retry.clear(runs, store).kept == {
        specs[0].run_id: "job 120 is in the queue of cluster alps, and this is jura"
    }


def test_a_number_that_was_misread_frees_its_run(specs: list[RunSpec], store: Store) -> None:
    owned(store, specs[0])
    client = Says("120|RUNNING|None|n1|5|9|1000|train-gpt\n", "", "ClusterName = alps\n")
    runs = surveyed(specs[:1], store, client)
    assert runs[0].state is State.STALE
    assert "none of submission s1" in runs[0].why
    folder = store.run_dir(specs[0].run_id)
    assert queue.sift([folder], lambda _: {}, asking(client)) == ([], [folder])
    assert retry.clear(runs, store).kept == {}


def test_a_run_that_is_being_submitted_is_not_cancelled_half(specs: list[RunSpec], store: Store) -> None:
    folder = submit(store, specs[0], None, None)
    os.utime(folder / RECORD)

    assert "try again in a minute" in plan_of(specs, store, Cluster({})).kept[specs[0].run_id]


def test_ranges() -> None:
    assert cancel.ranges([9, 1, 4, 5, 6, 8]) == "1,4-6,8-9"


# prune


def test_prune_takes_only_what_no_grid_needs(specs: list[RunSpec], store: Store) -> None:
    done, lacking, working = specs[:3]
    for spec in specs[:3]:
        (finish(spec, store) / "checkpoint.pt").write_bytes(b"x" * 2000)
    claim_as(store, working, "", age_s=1)
    needs_more = [replace(lacking, grid="second", evaluations=specs[0].evaluations)]
    (store.run_dir(lacking.run_id) / "evals" / f"{lacking.eval_ids[0]}.json").unlink()
    old = store.run_dir(done.run_id) / ".stale-1"
    old.mkdir()
    os.utime(old, (1, 1))
    (store.run_dir(done.run_id) / ".result.json.abc").write_text("new", encoding="utf-8")
    stranger = store.root / "somebody-else"
    stranger.mkdir()

    found = prune.plan(store, [*specs, *needs_more], None)

    assert {(item.path.name, item.kind, item.size) for item in found.items} == {
        ("checkpoint.pt", "checkpoint", 2000),
        (".stale-1", "temporary file", 0),
    }
    assert {item.path.parent for item in found.items} == {store.run_dir(done.run_id)}
    assert found.notes == ["1 folders of no known grid stay as they are, such as somebody-else"]
    prune.delete(found.items)
    assert store.state(done) is State.DONE
    assert not (store.run_dir(done.run_id) / "checkpoint.pt").exists()
    assert (store.run_dir(lacking.run_id) / "checkpoint.pt").exists()


def test_a_checkpoint_stays_for_the_evaluation_of_another_grid(specs: list[RunSpec], store: Store) -> None:
    spec = replace(specs[0], evaluations=specs[0].evaluations[:1])
    (finish(spec, store) / "checkpoint.pt").write_bytes(b"x")
    more = replace(spec, grid="second", evaluations=specs[0].evaluations)

    assert prune.plan(store, [spec, more], {spec.run_id}).items == []
    assert len(prune.plan(store, [spec], {spec.run_id}).items) == 1


@pytest.mark.parametrize(
    ("answer", "pruned"),
    [
        (Answer({"120_0": Job("COMPLETED")}, queue=True, accounting=True), True),
        (Answer({}, queue=True), True),
        (Answer({"120_1": Job("COMPLETING")}, queue=True), False),
        (Answer(silence=("there is no squeue here",)), False),
        (Answer({}, queue=True, cluster="jura"), False),
        (Answer({}, queue=True, cluster="alps"), True),
    ],
)
def test_logs_go_once_every_run_and_job_has_ended(
    specs: list[RunSpec], store: Store, answer: Answer, *, pruned: bool
) -> None:
    finish(specs[0], store)
    folder = write_submission(store, "s1", {"120": [[specs[0]]]})
    write_json(folder / "submission.json", read_json(folder / "submission.json") | {"cluster": "alps"})
    (folder / "120_0_0_log.out").write_text("done\n", encoding="utf-8")
    unfinished = write_submission(store, "s2", {"121": [[specs[0], specs[1]]]})
    (unfinished / "121_0_log.out").write_text("...\n", encoding="utf-8")

    found = prune.plan(store, specs, None, lambda _: answer)

    assert [item.path.name for item in found.items] == (["120_0_0_log.out"] if pruned else [])
    assert bool(found.notes) == (not answer.queue or answer.cluster == "jura")


def test_sizes() -> None:
    sizes = (512, 1536, 3 * 1024**2, 5 * 1024**3, 2048 * 1024**3)
    assert [prune.size_text(size) for size in sizes] == ["512 B", "1.5 KiB", "3.0 MiB", "5.0 GiB", "2048.0 GiB"]


# logs


def test_a_run_is_found_by_id_label_or_title(specs: list[RunSpec], store: Store) -> None:
    for spec in specs[:3]:
        store.run_dir(spec.run_id).mkdir(parents=True)
    write_submission(store, "s1", {})
    first, second, third = specs[:3]
    assert (first.label, second.label) == ("first=crop, second=crop",) * 2

    def found(text: str) -> str:
        return logs.find(store, text, lambda: specs)

    assert found(first.run_id) == first.run_id
    assert found(first.run_id[:-2]) == first.run_id
    assert found(third.label) == third.run_id
    assert found(f"{second.label} seed 1") == second.run_id
    assert found(f"little {second.label} seed 1") == second.run_id
    with pytest.raises(UserError, match=r"2 runs: .*\(seed 0\).*\(seed 1\); give the id of one, or add: seed N"):
        found(first.label)
    with pytest.raises(UserError, match=r"no run or cell 'first=crop, second=colr' \(did you mean"):
        found("first=crop, second=colr")
    with pytest.raises(UserError, match="runs start with 'sim"):
        found("sim")


def test_logs_are_those_of_the_newest_job(specs: list[RunSpec], store: Store) -> None:
    spec = specs[0]
    folder = store.run_dir(spec.run_id)
    before = {"submission": "s1", "job_id": "120", "array_index": 4, "node": "n1", "restart_count": 0}
    write_json(folder / "provenance.json", {"attempts": [{**before, "outcome": "failed"}]})
    assert logs.output(store, spec.run_id, "out").path == store.root / ".submissions/s1/120_4_0_log.out"

    submit(store, spec, "130", None, "s2")
    assert logs.output(store, spec.run_id, "err").path == store.root / ".submissions/s2/130_0_log.err"


def test_a_local_run_has_no_log(specs: list[RunSpec], store: Store) -> None:
    write_json(store.run_dir(specs[0].run_id) / "provenance.json", {"attempts": [{"outcome": "done"}]})

    assert logs.output(store, specs[0].run_id, "out").path is None


def test_following_ends_with_the_run_and_loses_no_word(specs: list[RunSpec], store: Store, tmp_path: Path) -> None:
    folder = submit(store, specs[0], "120", 0)
    log = tmp_path / "120_0_0_log.out"
    client = Says("120_0|RUNNING|None|n1|5|9\n", "")
    moments = iter(["", "one\n", "two\n", "end"])

    def sleep(_: float) -> None:
        text = next(moments)
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
        if text == "end":
            queued.remove(folder)

    assert "".join(logs.follow(store, specs[0].run_id, log, asking(client), sleep)) == "one\ntwo\nend"
    assert next(moments, None) is None
    assert len(client.asked) == 3  # each client once, however often the file was looked at


# the commands


def test_status_of_a_grid_on_a_cluster(
    ablate: Ablate, specs: list[RunSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, spec in enumerate(specs[:5]):
        submit(store, spec, "120", index)
    finish(specs[0], store)
    claim_as(store, specs[1], "120_1", age_s=2)
    beat = {"time": time.time(), "phase": "pretrain", "step": 3, "num_steps": 7, "images_per_s": 1234.5}
    write_json(store.run_dir(specs[1].run_id) / "heartbeat.json", beat)
    client = Says("120_1|RUNNING|None|n7|5|9\n120_2|PENDING|Priority||N/A|N/A\n", "120_3|TIMEOUT|0:0|n1|5|6\n")
    monkeypatch.setattr("ablations.commands.status.survey", lambda *given: survey(*given, asking(client)))

    done = ablate("status", "little.yaml", "--scale", "demo", "--check")

    assert done.exit_code == 1
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "little demo 5 1 1 1 1 1 about" in lines[1]
    assert any(line.startswith(specs[1].run_id) and " 3/7 1234 " in line and " n7 120_1" in line for line in lines)
    assert "queued: 1 Priority" in lines
    assert any(line.startswith(f"time limit 1 {specs[3].run_id}") for line in lines)
    assert any(line.startswith(specs[4].run_id) and "SLURM knows no job 120_4" in line for line in lines)
    assert f"what it printed: ablate logs {specs[3].run_id}" in lines
    assert "to try again: ablate retry little --scale demo" in lines


def test_ids_stay_whole_in_a_narrow_terminal(
    ablate: Ablate, specs: list[RunSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 80)
    failed, running, silent = specs[:3]
    store.run_dir(failed.run_id).mkdir(parents=True)
    (store.run_dir(failed.run_id) / "error.txt").write_text(f"ZeroDivisionError: {'why ' * 20}\n", encoding="utf-8")
    claim_as(store, running, "", age_s=2)
    beat = {"time": time.time(), "phase": "pretrain", "step": 172, "num_steps": 300, "images_per_s": 1234.5}
    write_json(store.run_dir(running.run_id) / "heartbeat.json", beat)
    claim_as(store, silent, "", age_s=STALE_AFTER_S + 60)
    shown = ablate("status", "little.yaml", "--scale", "demo").stdout.splitlines()

    assert [sum(spec.run_id in line for line in shown) for spec in (failed, running, silent)] == [2, 1, 1]
    assert not [line for line in shown if len(line) > 80]
    (heading,) = [line for line in shown if line.startswith("running")]
    assert heading.split() == ["running", "cell", "seed", "step", "images/s", "left"]  # the others say nothing


def test_status_as_json_and_without_grids(ablate: Ablate, tmp_path: Path, write_grid: WriteGrid) -> None:
    import json

    Path("runs").mkdir()
    assert "no run of any grid yet" in ablate("status").output
    (tmp_path / "grids").mkdir()
    path = write_grid()
    path.rename(tmp_path / "grids" / path.name)
    specs = expand(load_grid("little"), "demo")
    finish(specs[0], Store(Path("runs")))

    (grid,) = json.loads(ablate("status", "--json").output)["grids"]
    assert (grid["grid"], grid["scale"], grid["counts"]["done"], grid["counts"]["planned"]) == ("little", "demo", 1, 9)
    assert grid["runs"][0]["state"] == "done"
    assert ablate("status", "--check").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("status", "litle"), "no grid 'litle'"),
        (("status", "--scale", "dmo"), "no grid has a scale 'dmo'; expected one of"),
        (("logs", "nothing"), "no run or cell 'nothing'"),
        (("retry", "litle"), "no grid 'litle'"),
        (("cancel", "litle", "--scale", "demo"), "no grid 'litle'"),
        (("prune", "litle"), "no grid 'litle'"),
    ],
)
def test_wrong_words_give_exit_code_2(ablate: Ablate, arguments: tuple[str, ...], problem: str) -> None:
    Path("runs").mkdir()
    done = ablate(*arguments)

    assert done.exit_code == 2
    assert problem in done.stderr


def test_retry_and_prune_and_logs_of_local_runs(ablate: Ablate, specs: list[RunSpec], store: Store) -> None:
    finish(specs[0], store)
    (store.run_dir(specs[0].run_id) / "checkpoint.pt").write_bytes(b"x" * 4096)
    store.run_dir(specs[1].run_id).mkdir()
    (store.run_dir(specs[1].run_id) / "error.txt").write_text("ZeroDivisionError: why\n", encoding="utf-8")
    grid = ("little.yaml", "--scale", "demo")

    assert "ZeroDivisionError: why" in ablate("logs", specs[1].run_id).output
    assert "no run in runs is stale" in ablate("retry", *grid, "--stale").output
    retried = ablate("retry", *grid)
    assert retried.output.splitlines()[0] == "1 runs are planned again: 1 ZeroDivisionError"
    assert "next: ablate run little --scale demo " in retried.output
    assert not (store.run_dir(specs[1].run_id) / "error.txt").exists()

    shown = ablate("prune", *grid)
    assert "--yes deletes these 4.0 KiB" in shown.output
    assert (store.run_dir(specs[0].run_id) / "checkpoint.pt").exists()
    assert "deleted 4.0 KiB" in ablate("prune", *grid, "--yes").output
    assert not (store.run_dir(specs[0].run_id) / "checkpoint.pt").exists()
    assert "nothing to delete" in ablate("prune", *grid).output


def test_cancel_without_anything_in_the_queue(ablate: Ablate, specs: list[RunSpec]) -> None:
    assert specs
    Path("runs").mkdir()
    done = ablate("cancel", "little.yaml", "--scale", "demo")

    assert (done.exit_code, done.output) == (
        0,
        "nothing to cancel: no run of little at scale demo is in SLURM's queue\n",
    )
