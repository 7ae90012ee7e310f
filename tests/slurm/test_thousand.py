"""An array of a thousand elements: every run once, and a status that stays true. ``benchmarks/status.py`` times it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable

from simclr_core.records import read_json
from slurm.cluster import MAX_ARRAY_SIZE, Cluster, until
from slurm.conftest import Study, look

MakeStudy = Callable[..., Study]
UseTrainer = Callable[[str], None]

NUM_SEEDS = 202
NUM_RUNS = 5 * NUM_SEEDS
DONE_WITHIN_S = 900
LOOK_EVERY_S = 15


def states(study: Study) -> Counter[str]:
    """How many runs status says are in each state."""
    (grid,) = json.loads(look(study, "status", "--json"))["grids"]
    return Counter(run["state"] for run in grid["runs"])


def test_a_thousand_elements(cluster: Cluster, study: MakeStudy, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    many = study(("seeds: [0, 1]", f"seeds: {list(range(NUM_SEEDS))}"))
    assert len(many.specs) == NUM_RUNS > MAX_ARRAY_SIZE > 1000
    begin = time.monotonic()
    assert f"submitted {NUM_RUNS} runs in {NUM_RUNS} tasks as jobs " in many.submit()
    (record,) = many.store.root.glob(".submissions/*/submission.json")
    assert [len(job["run_ids"]) for job in read_json(record)["jobs"]] == [MAX_ARRAY_SIZE, NUM_RUNS - MAX_ARRAY_SIZE]

    seen = [states(many)]
    while seen[-1]["done"] < NUM_RUNS:
        assert time.monotonic() - begin < DONE_WITHIN_S, seen[-1]
        assert set(seen[-1]) <= {"queued", "running", "done"}
        assert seen[-1].total() == NUM_RUNS
        time.sleep(LOOK_EVERY_S)
        seen.append(states(many))
    assert sorted(counts["done"] for counts in seen) == [counts["done"] for counts in seen]
    assert {tuple(many.outcomes(number)) for number in range(NUM_RUNS)} == {("done",)}
    until(lambda: Counter(cluster.jobs().values())["COMPLETED"] >= NUM_RUNS, 30, "all elements are completed")
