"""An array of a thousand elements: every run once, and a status that stays quick and true."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ablations.slurm import scheduler
from ablations.slurm.scheduler import Answer
from ablations.slurm.status import survey
from simclr_core.records import read_json
from slurm.cluster import MAX_ARRAY_SIZE, Cluster, until
from slurm.conftest import Study, look

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

NUM_SEEDS = 202
NUM_RUNS = 5 * NUM_SEEDS
DONE_WITHIN_S = 900
LOOK_EVERY_S = 15


@dataclass
class Looks:
    """What status took, with SLURM's own answers counted apart."""

    asking_s: float = 0.0
    own_s: list[float] = field(default_factory=list)  # of this process alone: the machine is busy with the jobs

    def ask(self, job_ids: Iterable[str]) -> Answer:
        begin = time.perf_counter()
        answer = scheduler.ask(job_ids)
        self.asking_s += time.perf_counter() - begin
        return answer

    def states(self, study: Study) -> Counter[str]:
        begin = time.process_time()
        (grid,) = json.loads(look(study, "status", "--json"))["grids"]
        self.own_s.append(time.process_time() - begin)
        return Counter(run["state"] for run in grid["runs"])


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    measured = Looks()

    def timed(*given: Any) -> Any:
        return survey(*given, measured.ask)

    monkeypatch.setattr("ablations.commands.state.survey", timed)
    return measured


def test_a_thousand_elements(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer, looks: Looks) -> None:
    fake_trainer("quick")
    many = study(("seeds: [0, 1]", f"seeds: {list(range(NUM_SEEDS))}"))
    assert len(many.specs) == NUM_RUNS > MAX_ARRAY_SIZE > 1000
    begin = time.monotonic()
    assert f"submitted {NUM_RUNS} runs in {NUM_RUNS} tasks as jobs " in many.submit()
    submitted_s = time.monotonic() - begin
    (record,) = many.store.root.glob(".submissions/*/submission.json")
    assert [len(job["run_ids"]) for job in read_json(record)["jobs"]] == [MAX_ARRAY_SIZE, NUM_RUNS - MAX_ARRAY_SIZE]

    seen = [looks.states(many)]
    while seen[-1]["done"] < NUM_RUNS:
        assert time.monotonic() - begin < DONE_WITHIN_S, seen[-1]
        assert set(seen[-1]) <= {"queued", "running", "done"}
        assert seen[-1].total() == NUM_RUNS
        time.sleep(LOOK_EVERY_S)
        seen.append(looks.states(many))
    print(  # noqa: T201 - measured, and shown with -s
        f"\n{NUM_RUNS} runs: submitted in {submitted_s:.1f} s, done in {time.monotonic() - begin:.0f} s;"
        f" status takes {min(looks.own_s):.2f} to {max(looks.own_s):.2f} s,"
        f" SLURM's answers {looks.asking_s / len(seen):.2f} s"
    )
    assert sorted(counts["done"] for counts in seen) == [counts["done"] for counts in seen]
    assert {tuple(many.outcomes(number)) for number in range(NUM_RUNS)} == {("done",)}
    until(lambda: Counter(cluster.jobs().values())["COMPLETED"] >= NUM_RUNS, 30, "all elements are completed")
    assert min(looks.own_s) < 2.0
