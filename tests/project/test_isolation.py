"""No test reads or writes the home of the user who runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HOME_FOLDERS
from toy import toy_config, write_toy

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.data.datasets import load_dataset

ROOT = Path(__file__).parents[2]
KEEPS = "project/test_isolation.py::test_images_are_kept_in_the_home_of_the_test"
SLICE = (
    "ablations/test_profiles.py",
    "reports/test_charts.py",
    "ablations/test_store.py",
    "ablations/test_yaml_files.py",
    KEEPS,
)
"""The user's profiles, Matplotlib, git, plain files, and the cache of images."""


def load_toy(runtime: RuntimeConfig) -> None:
    """Load the data set ``toy`` with the cache that a user has who names none."""
    runtime = replace(runtime, cache_dir="")
    load_dataset(toy_config().data, runtime.data_path, runtime.cache_path)


def test_images_are_kept_in_the_home_of_the_test(toy_runtime: RuntimeConfig, home: Path) -> None:
    load_toy(toy_runtime)

    assert list((home / ".cache" / "simclr-ablations").iterdir())


def user_runs(*tests: str, home: Path) -> int:
    """How many tests pass, none failing, for a user with this home, whose folders are named by variables too."""
    environment = os.environ | {"HOME": str(home), "MPLCONFIGDIR": str(home / "matplotlib")}
    environment |= {name: str(home / name) for name in HOME_FOLDERS}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    summary = re.search(r"(\d+) passed", done.stdout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert summary
    return int(summary[1])


def test_the_tests_need_no_home() -> None:
    """Below a file there can be no folder, for root neither, whom no permission stops."""
    assert user_runs(*SLICE, home=Path(os.devnull, "home")) > len(SLICE)


def test_the_tests_leave_a_user_s_own_data_set_of_the_same_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = write_toy(tmp_path / "data")
    next(Path(runtime.data_dir, "toy", "train").rglob("0.png")).write_bytes(
        next(Path(runtime.data_dir, "toy", "test").rglob("1.png")).read_bytes()
    )
    user = tmp_path / "user"
    monkeypatch.setenv("XDG_CACHE_HOME", str(user / "XDG_CACHE_HOME"))
    load_toy(runtime)
    before = {path: path.read_bytes() for path in user.rglob("*") if path.is_file()}

    assert before
    assert user_runs(KEEPS, home=user) == 1
    assert {path: path.read_bytes() for path in user.rglob("*") if path.is_file()} == before
