"""What accounting adds: how jobs ended that the queue has forgotten. And what its absence takes away, and does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from slurm.cluster import REMEMBERED_S, Cluster, until
from slurm.conftest import Study, look, states, whole_status

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

GRACE_S = 5.0


@pytest.fixture
def cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Whose controller forgets a job seconds after its end, where others do after minutes; status is as impatient."""
    cluster.remember(2)
    monkeypatch.setattr("ablations.slurm.status.GRACE_S", GRACE_S)
    yield cluster
    cluster.remember(REMEMBERED_S)


def by_job(study: Study) -> dict[str, dict[str, object]]:
    """The runs of a study by their job, as status tells them to programs."""
    (grid,) = whole_status(study)["grids"]
    return {str(run["job"]): run for run in grid["runs"] if run["job"]}


def steps_of(number: int) -> tuple[tuple[str, str], ...]:
    """The fake trainer ``steps`` makes as many steps, ten a second."""
    return (
        ("views.kind: pair", f"views.kind: pair\n  training.epochs: {number}"),
        ("{training.epochs: 0}", f"{{training.epochs: {number + 1}}}"),
    )


def test_a_job_that_is_completed_without_a_result_has_failed(cluster: Cluster, study: MakeStudy) -> None:
    little = study()
    little.submit(setup='["exit 0"]')
    until(lambda: not cluster.jobs(), 60, "the queue has forgotten all jobs", cluster.jobs)
    until(lambda: states(little) == {"failed": 10}, 30, "all have failed", lambda: look(little))

    found = by_job(little)
    assert {run["scheduler_state"] for run in found.values()} == {"COMPLETED"}
    assert {run["cause"] for run in found.values()} == {"no result"}
    assert {run["why"] for run in found.values()} == {"SLURM calls its job COMPLETED, and there is no result"}


def test_elements_that_are_cancelled_and_forgotten(
    cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer
) -> None:
    fake_trainer("steps")
    little = study(*steps_of(600))
    little.submit("--max-parallel", "2")
    until(lambda: len(list(little.store.root.glob("*/made.jsonl"))) == 2, 60, "two are under way")
    jobs = by_job(little)
    running = next(job for job, run in jobs.items() if run["state"] == "running")
    waiting = next(job for job, run in jobs.items() if run["state"] == "queued")
    cluster.tell("scancel", running, waiting)
    until(lambda: not {running, waiting} & set(cluster.jobs()), 60, "the queue has forgotten both", cluster.jobs)
    until(lambda: by_job(little)[running]["scheduler_state"], 30, "sacct knows the one that ran")

    found = by_job(little)
    assert (found[running]["state"], found[running]["cause"]) == ("failed", "cancelled")
    # no record is made of an element that never ran, so that nobody can say more
    assert found[waiting]["state"] == "stale"
    assert "cancelled while it waited" in str(found[waiting]["why"])
    assert states(little)["running"] in (1, 2)
    look(little, "cancel")


def test_accounting_that_is_down_is_said_and_changes_no_state(
    cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer
) -> None:
    fake_trainer("steps")
    little = study(*steps_of(40))
    little.submit("--max-parallel", "5")
    until(lambda: list(little.store.root.glob("*/made.jsonl")), 60, "one is under way")
    cluster.stop_accounting()
    cancelled = next(job for job, run in by_job(little).items() if run["state"] == "running")
    cluster.tell("scancel", cancelled)

    deadline = time.monotonic() + 120
    while states(little)["done"] < 9:
        assert time.monotonic() < deadline, look(little)
        begin = time.monotonic()
        said = whole_status(little)
        assert time.monotonic() - begin < 10
        assert [line.partition(":")[0] for line in said["scheduler_silence"]] == ["sacct failed"]
        lost = [run for run in said["grids"][0]["runs"] if run["state"] in ("failed", "stale")]
        assert [run["job"] for run in lost] in ([], [cancelled]), lost
        time.sleep(0.5)
    until(lambda: not cluster.jobs(), 60, "the queue has forgotten all jobs", cluster.jobs)
    until(lambda: states(little) == {"done": 9, "stale": 1}, 30, "how that job ended is not known")
    assert "SLURM: sacct failed: " in look(little)
    assert "without accounting nobody knows how" in str(by_job(little)[cancelled]["why"])

    cluster.start_accounting()
    until(lambda: states(little) == {"done": 9, "failed": 1}, 90, "sacct knows", lambda: look(little))
    run = by_job(little)[cancelled]
    assert (run["scheduler_state"], run["cause"]) == ("CANCELLED", "cancelled")
    assert "sacct failed" not in look(little)
