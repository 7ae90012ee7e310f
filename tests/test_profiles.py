"""Cluster profiles: where they are found, what they may say, and what is told of those that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablations.errors import UserError
from ablations.slurm.profiles import PACKAGED, load_profile

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write ``mine.yaml``; its path."""

    def to_file(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def test_the_example_is_right_and_every_line_of_it_is_a_key() -> None:
    profile = load_profile(str(PACKAGED / "example-gpu.yaml"))
    assert (profile.partition, profile.gpus_per_node, profile.cpus, profile.mem_gb) == ("gpu", 1, 8, 48)
    assert profile.setup == ("module load cuda", 'source "$HOME/venvs/simclr-ablations/bin/activate"')


def test_the_example_with_all_that_it_leaves_out(write: Write) -> None:
    lines = (PACKAGED / "example-gpu.yaml").read_text(encoding="utf-8").splitlines()
    uncommented = [line.removeprefix("# ") if line.startswith("# ") and ":" in line else line for line in lines[4:]]
    text = "\n".join(line.replace("#   ", "  ") for line in uncommented if not line.startswith("Several"))
    profile = load_profile(str(write(text)))
    assert (profile.nodes, profile.tasks_per_node, profile.num_processes) == (2, 4, 8)
    assert profile.extra == {"exclude": "node[07-08]", "mail-type": "FAIL"}
    assert profile.container == "apptainer exec --nv /scratch/my-group/simclr-ablations.sif"


def test_an_empty_profile_leaves_all_to_the_cluster(write: Write) -> None:
    profile = load_profile(str(write("{}")))
    assert (profile.name, profile.cpus, profile.gpus_per_node, profile.num_processes) == ("mine", 1, 0, 1)
    assert profile.content == {}


def test_all_that_is_wrong_is_told_at_once(write: Write) -> None:
    path = write(
        "partitoin: gpu\ncpus: 0\ngpus_per_node: -1\nmem_gb: much\nnodes: true\nsetup: module load\n"
        "env: [A]\nextra: {array: 0-3, cpus_per_task: 4, time: 10, exclude: [n1]}\n"
    )
    with pytest.raises(UserError) as caught:
        load_profile(str(path))
    problems = [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]
    assert problems[0].startswith("partitoin: no such key (did you mean 'partition'?); known are partition, account,")
    assert problems[1:] == [
        "cpus = 0: expected a whole number from 1 on",
        "gpus_per_node = -1: expected a whole number from 0 on",
        "mem_gb = 'much': expected a number above 0",
        "nodes = True: expected a whole number from 1 on",
        "setup = 'module load': expected a list of shell lines",
        "env = ['A']: expected a mapping",
        "extra.exclude = ['n1']: expected a text or a number",
        "extra.array: is set by every submission",
        "extra.cpus-per-task: is the profile's own key cpus",
        "extra.time: is the profile's own key time_min",
    ]


def test_profiles_are_found_in_the_folder_then_among_the_users_then_the_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "config" / "simclr-ablations" / "clusters"
    here = tmp_path / "work" / "clusters"
    for folder, cpus in ((own, 2), (here, 3)):
        folder.mkdir(parents=True)
        (folder / "big.yaml").write_text(f"cpus: {cpus}\n", encoding="utf-8")
    (own / "small.yaml").write_text("cpus: 1\n", encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path / "work")

    assert (load_profile("big").cpus, load_profile("small").cpus) == (3, 1)
    assert load_profile("example-gpu").gpus_per_node == 1
    with pytest.raises(UserError, match=r"'smal': no such profile; expected one of .*did you mean 'small'"):
        load_profile("smal")
    with pytest.raises(UserError, match="no such file"):
        load_profile("elsewhere/big.yaml")
