"""A cluster for all tests here, and what it takes to submit a small grid to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ablations.commands.cli import app
from ablations.local.pool import merge
from ablations.store.folder import Store
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec
from simclr_core.records import read_json
from slurm.cluster import Cluster, obstacle, until

TESTS = Path(__file__).parents[1]
WriteGrid = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[Cluster]:
    """A cluster in memory, with its variables in the environment."""
    if problem := obstacle():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
    shm = Path("/dev/shm")  # noqa: S108 - the controller writes its state without end
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir=shm if os.access(shm, os.W_OK) else None))
    before = dict(os.environ)
    cluster: Cluster | None = None
    # a time limit on the tests ends them so; pytest alone would leave the jobs behind
    handler = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
    try:
        cluster = Cluster(root)
        path = os.pathsep.join([str(TESTS / "support"), str(TESTS / "studies"), str(TESTS), str(TESTS.parent)])
        os.environ.update(cluster.environment, PYTHONPATH=path, OMP_NUM_THREADS="1")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a thousand tasks compile nothing anew, here as on a cluster
        yield cluster
    finally:
        os.environ.clear()
        os.environ.update(before)
        if cluster:
            cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
        signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, empty and whole before and after."""
    yield whole_cluster
    whole_cluster.clean()


class Study:
    """A grid, its store, and what was submitted of it."""

    def __init__(self, grid: Path, scale: str, folder: Path) -> None:
        self.grid, self.scale, self.folder = grid, scale, folder
        self.store = Store(folder / "runs")
        self.specs: list[RunSpec] = merge(expand(load_grid(str(grid)), scale))

    def arguments(self, *options: str, **profile: object) -> list[str]:
        """The words of ``ablate submit``, with a profile of these keys."""
        path = self.folder / "profile.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in profile.items()) or "{}", encoding="utf-8")
        words = ["submit", str(self.grid), "--scale", self.scale, "--profile", str(path)]
        return [*words, "--store", str(self.store.root), "--allow-dirty", *options]

    def submit(self, *options: str, **profile: object) -> str:
        """Submit, in this process; what was printed."""
        done = CliRunner().invoke(app, self.arguments(*options, **profile))
        assert done.exit_code == 0, done.output
        return done.output

    def run_dir(self, number: int = 0) -> Path:
        """The folder of one of the runs."""
        return self.store.run_dir(self.specs[number].run_id)

    def states(self) -> list[str]:
        return [str(self.store.state(spec)) for spec in self.specs]

    def all_done(self) -> bool:
        return set(self.states()) == {"done"}

    def wait(self, seconds: float) -> None:
        """Until all runs are done and out of the queue."""
        until(self.all_done, seconds, "all runs are done", lambda: f"now {self.states()}\n{self.logs()}")
        until(lambda: not list(self.store.root.glob("*/queued")), 10, "all runs have left the queue")

    def outcomes(self, number: int = 0) -> list[str]:
        """How the attempts at a run ended."""
        return [attempt["outcome"] for attempt in read_json(self.run_dir(number) / "provenance.json")["attempts"]]

    def job_of(self, number: int = 0) -> str:
        """The job of a queued run, as SLURM calls it."""
        record = read_json(self.run_dir(number) / "queued" / "job.json")
        return record["job_id"] if record["array_index"] is None else f"{record['job_id']}_{record['array_index']}"

    def logs(self) -> str:
        """The ends of some of the jobs' logs."""
        paths = sorted(self.store.root.glob(".submissions/*/*_log.*"))[:6]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)


def look(study: Study, command: str = "status", *options: str) -> str:
    """What a command says of a study."""
    words = [command, str(study.grid), "--scale", study.scale, "--store", str(study.store.root), *options]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def whole_status(study: Study) -> dict[str, Any]:
    """What status tells programs."""
    said: dict[str, Any] = json.loads(look(study, "status", "--json"))
    return said


def runs_of(study: Study) -> list[dict[str, Any]]:
    """The runs of a study, as status tells them to programs."""
    (grid,) = whole_status(study)["grids"]
    return list(grid["runs"])


def states(study: Study) -> Counter[str]:
    """How many runs are in each state, as status has it."""
    return Counter(run["state"] for run in runs_of(study))


@pytest.fixture
def study(write_grid: WriteGrid, tmp_path: Path) -> Callable[..., Study]:
    """Make a study of the little grid, with texts of its file replaced."""

    def make(*replacements: tuple[str, str], scale: str = "demo") -> Study:
        return Study(write_grid(*replacements), scale, tmp_path)

    return make
