"""The shape of the benchmarks' results."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd
import pytest

from ablations.readme.generated import replaced
from benchmarks.__main__ import BENCHMARKS, DOCUMENTS
from benchmarks.clusters import Cluster, batch_norm_channels, step, sustained_flops
from benchmarks.made_runs import NUM_LINES
from benchmarks.processes import PEAK, inside, whole
from benchmarks.report import Made
from benchmarks.tables import Apart, Table, in_turns, speed_ratio
from reports.inputs import load_results
from simclr_core.config.recipes import recipe


def test_a_table_shows_words_and_numbers() -> None:
    table = Table("Speeds", ("what", "images a second", "ratio"), [("ours", 1234.5, 1.0), ("theirs", 99.94, 12.345)])

    assert table.markdown().splitlines() == [
        "**Speeds**",
        "",
        "| what | images a second | ratio |",
        "| --- | ---: | ---: |",
        "| ours | 1,234 | 1 |",
        "| theirs | 99.9 | 12.3 |",
    ]


def test_tasks_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    timings = in_turns({name: functools.partial(calls.append, name) for name in "ab"}, rounds=2)

    assert calls == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in timings.items()} == {"a": 2, "b": 2}
    assert speed_ratio({"ours": [1.0, 2.0, 1.0], "other": [2.0, 3.0, 9.0]}, "ours", "other") == 2


def make_counter() -> functools.partial[int]:
    numbers = iter(range(10))
    return functools.partial(next, numbers)


def test_a_task_apart_keeps_its_state_and_returns() -> None:
    task = Apart(make_counter)

    assert [task(), task(), task()] == [0, 1, 2]
    task.close()
    assert task._process.exitcode == 0


def test_the_peak_memory_of_a_process_is_its_own() -> None:
    """``ru_maxrss`` of a child begins at the size of its parent, whatever the child does."""
    ballast = b"1" * (300 << 20)
    small, large = whole("pass"), whole("ballast = b'1' * (200 << 20)")

    assert len(ballast) == 300 << 20
    assert 2 < small.peak_mib < 100
    assert 200 < large.peak_mib < 300
    assert 2 < inside(f"print(1, 2)\n{PEAK}", "")[2] < 100
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        whole("1 / 0")


def test_made_runs_are_collected_and_reported(tmp_path: Path) -> None:
    """All commands of that benchmark, in one grid with one seed."""
    made = Made(tmp_path, num_grids=1, num_seeds=1)
    collected = made.collect()
    spread = pd.read_csv(made.results / "curves.csv").groupby("run_id").size()

    assert "98 of 100 runs" in collected.output
    assert set(spread) == {NUM_LINES}
    assert len(spread) == 98
    assert [len(result.verdicts) for result in load_results(made.results)] == [2]
    before = (made.results / "runs.csv").read_bytes()
    made.change()
    made.collect()
    assert (made.results / "runs.csv").read_bytes().count(b",12.5,") == before.count(b",12.5,") + 1


def test_every_benchmark_has_its_place_in_its_document() -> None:
    for name, document in BENCHMARKS.items():
        text = (DOCUMENTS / document).read_text(encoding="utf-8")
        assert replaced(text, name, "bench", "anew").count("\nanew\n") == 1


# What a cluster would take


def test_latency_is_that_of_a_public_measurement() -> None:
    """NVIDIA/nccl, issue 652: 62 to 65 microseconds for small sums over 256 A100 in 32 nodes."""
    assert 1e6 * Cluster(256, 86.0).all_reduce_s(8) == pytest.approx(63, rel=0.1)


def test_large_messages_take_their_bytes_over_the_bandwidth() -> None:
    """A ring passes 2 (n - 1) / n of the bytes for a sum, (n - 1) / n for a gather."""
    assert Cluster(8, 86.0).all_reduce_s(232e9) == pytest.approx(2 * 7 / 8, rel=1e-4)
    assert Cluster(16, 24.0).all_reduce_s(24e9) == pytest.approx(2 * 15 / 16, rel=1e-4)
    assert Cluster(512, 86.0).all_gather_s(86e9) == pytest.approx(511 / 512, rel=1e-3)


def test_a_step_on_a_cluster() -> None:
    """ResNet-50: 53 convolutions have BN, and the heads' layers; two views; SimSiam passes them one by one."""
    simclr, simsiam = recipe("simclr_imagenet"), recipe("simsiam_imagenet")
    channels = {"simclr": batch_norm_channels(simclr), "simsiam": batch_norm_channels(simsiam)}

    assert len(channels["simclr"]) == 53 + 2
    assert len(channels["simsiam"]) == 53 + 3 + 1
    one, two = (step(simclr, channels["simclr"], Cluster(n, 86.0)) for n in (8, 16))
    assert one.compute == pytest.approx(2 * two.compute)
    assert one.compute == pytest.approx(2 * 4096 / 8 / 2470, rel=2e-3)  # heads are 0.1 %
    assert one.gradients == pytest.approx(2 * 7 / 8 * 4 * 27.97e6 / 232e9, rel=0.02)
    assert one.keys > 0
    of_simsiam = step(simsiam, channels["simsiam"], Cluster(8, 86.0))
    assert of_simsiam.keys == 0
    assert of_simsiam.batch_norm == pytest.approx(2 * 57 / 55 * one.batch_norm, rel=0.02)
    simsiam.training.batch_norm = "per_device"
    assert step(simsiam, channels["simsiam"], Cluster(8, 86.0)).batch_norm == 0
    assert sustained_flops() / 1e12 == pytest.approx(2470 * 6 * 4.09e-3, rel=0.005)
