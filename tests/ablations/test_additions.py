"""Evaluations that a grid needs of runs which another has queued, or trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteGrid
from fake_trainer import write_records

from ablations.local.pool import merge
from ablations.slurm import additions, runs_file
from ablations.slurm.queue import enqueue
from ablations.slurm.submit import sort_runs
from ablations.store import queued
from ablations.store.folder import Store
from ablations.store.job_logs import SUBMISSIONS
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.config.schema import EvalConfig

ON_Z = EvalConfig(protocol="linear", embedding="z", num_labels=1000)


@pytest.fixture
def spec(write_grid: WriteGrid) -> RunSpec:
    return expand(load_grid(str(write_grid())), "demo")[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def more_of(spec: RunSpec) -> RunSpec:
    return replace(spec, grid="second", evaluations=(*spec.evaluations, ON_Z))


def submit(spec: RunSpec, store: Store) -> Path:
    run_dir = store.run_dir(spec.run_id)
    run_dir.mkdir(parents=True, exist_ok=True)
    runs_file.write(store.root / SUBMISSIONS / "s1", [spec])
    assert enqueue(run_dir, "s1", "p", None)
    return run_dir


def test_a_job_is_asked_once_for_what_it_lacks(spec: RunSpec, store: Store) -> None:
    run_dir = submit(spec, store)
    assert additions.ask([spec], store) == 0
    assert additions.added(spec, run_dir) is spec

    assert additions.ask([more_of(spec)], store) == 1
    assert additions.ask([more_of(spec)], store) == 0
    found = additions.added(spec, run_dir)
    assert sorted(found.eval_ids) == sorted(more_of(spec).eval_ids)
    assert additions.added(found, run_dir) is found
    queued.remove(run_dir)
    assert additions.added(spec, run_dir) is spec


def test_what_is_there_is_not_asked_for(spec: RunSpec, store: Store) -> None:
    run_dir = submit(spec, store)
    write_records(spec.config, [ON_Z], run_dir)
    assert additions.ask([more_of(spec)], store) == 0


def test_a_run_that_leaves_the_queue_is_not_put_back(spec: RunSpec, store: Store) -> None:
    run_dir = submit(spec, store)
    queued.remove(run_dir)
    assert additions.ask([more_of(spec)], store) == 0
    assert not additions._leave([ON_Z], run_dir)
    assert list(run_dir.iterdir()) == []


def test_an_evaluation_of_a_trained_run_is_submitted_alone(spec: RunSpec, store: Store) -> None:
    write_records(spec.config, list(spec.evaluations), store.run_dir(spec.run_id))
    assert sort_runs([spec], store).done == [spec]
    (both,) = merge([spec, more_of(spec)])
    assert sort_runs([both], store).todo == [both]
