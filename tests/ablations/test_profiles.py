"""Cluster profiles: where they are found, what they may say, and what is told of those that are wrong."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import WriteGrid
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from ablations.errors import UserError
from ablations.slurm.profiles import PACKAGED, load_profile
from ablations.slurm.resources import Batch
from ablations.slurm.sbatch import script
from ablations.slurm.source import Code
from ablations.study.expand import expand, load_grid
from ablations.study.spec import RunSpec

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
        "gpus_per_node = -1: expected a whole number from 0 on, or type and number as in a100:2",
        "mem_gb = much: expected a number above 0",
        "nodes = true: expected a whole number from 1 on",
        "setup = module load: expected a list of shell lines",
        "env = [A]: expected a mapping",
        "extra.array: is set by every submission",
        "extra.cpus-per-task: is the profile's own key cpus",
        "extra.time: is the profile's own key time_min",
        "extra.exclude = [n1]: expected a text or a number",
    ]


LOOK_TYPED = """\
partition: 010
account: on
env:
  NCCL_IB_DISABLE: yes
  HF_HUB_OFFLINE: off
  SHOW: y
  PY: 3.10
  OMP_WAIT_POLICY: 0777
  WALL: 12:30:00
  HEX: 0x1F
  NOTHING: "a b'c"
  BIG: 1_000
  TINY: 1e-3
  no: true
  'TRUE': True
extra:
  begin: 16:00
  exclusive: no
  nice: 100
  comment: 2026-11-27
  time-min: 1:30:00
  mcs-label: 'true'
  hold: true
"""


def test_what_goes_to_the_shell_or_to_sbatch_is_the_text_that_stands_in_the_file(write: Write) -> None:
    profile = load_profile(str(write(LOOK_TYPED)))
    assert (profile.partition, profile.account) == ("010", "on")
    assert profile.env == {
        "NCCL_IB_DISABLE": "yes",
        "HF_HUB_OFFLINE": "off",
        "SHOW": "y",
        "PY": "3.10",
        "OMP_WAIT_POLICY": "0777",
        "WALL": "12:30:00",
        "HEX": "0x1F",
        "NOTHING": "a b'c",
        "BIG": "1_000",
        "TINY": "1e-3",
        "no": "true",
        "TRUE": "True",
    }
    assert profile.extra == {
        "begin": "16:00",
        "exclusive": "no",
        "nice": "100",
        "comment": "2026-11-27",
        "time-min": "1:30:00",
        "mcs-label": "true",
        "hold": True,  # an option without a value
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("time_min: 12:30:00", "time_min = 12:30:00: expected whole minutes from 1 on"),
        ("cpus: 010", "cpus = 010: expected a whole number from 1 on"),
        ("cpus: 1_000", "cpus = 1_000: expected a whole number from 1 on"),
        ("mem_gb: .inf", "mem_gb = .inf: expected a number above 0"),
        ("mem_gb: 0.0", "mem_gb = 0.0: expected a number above 0"),
        (
            "gpus_per_node: a100",
            "gpus_per_node = a100: expected a whole number from 0 on, or type and number as in a100",
        ),
        ("account:", "account = nothing: expected a text without backslashes and control characters"),
        ("env: {A: }", "env.A = nothing: expected a text or a number"),
        ("env: {A: ~}", "env.A = nothing: expected a text or a number"),
        ("env: {A-B: 1}", "env.A-B: no name of a variable; expected letters, digits and underscores"),
        ("env: {A: !!binary AAAA}", "env.A = b'\\x00\\x00\\x00': expected a text or a number"),
        (r'env: {A: "\0"}', r"env.A = '\x00': no variable can hold a character 0"),
        (
            "extra: {oversubscribe: false}",
            'extra.oversubscribe = false: leave the option out, or write "false" for this',
        ),
        (r"extra: {comment: a\b}", r"extra.comment = a\b: expected a text without backslashes and control characters"),
        ('extra: {comment: "a\\nb"}', r"extra.comment = 'a\nb': expected a text without backslashes and control"),
        ("extra: {--hold: true}", "extra.--hold: no option of sbatch; expected its long name without dashes before it"),
        ("env: {1: a, '1': b}", "line 1: the key '1' stands twice"),
        ("extra: {parsable: true}", "extra.parsable: is set by every submission"),
        ("container: |\n  a\n  b", r"container = 'a\nb': expected words for a shell, in one line"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused_by_name(write: Write, text: str, problem: str) -> None:
    path = write(text)
    with pytest.raises(UserError) as caught:
        load_profile(str(path))
    (found,) = caught.value.problems
    assert found.startswith(f"{path}: {problem}")


LOOKS_TYPED = st.from_regex(r"[-+.~]?(0[xob]?)?[0-9_:.]{0,9}([eE][-+]?[0-9]+)?", fullmatch=True)
WORDS = st.sampled_from(
    ["yes", "No", "on", "OFF", "y", "true", "False", "null", "~", ".inf", ".NaN", "=", "<<", "2026-11-27"]
)


@pytest.fixture
def spec(write_grid: WriteGrid) -> RunSpec:
    """Some run."""
    return expand(load_grid(str(write_grid())), "demo")[0]


def scalars_of(text: str) -> list[str]:
    """The values of ``A`` and of ``comment``, by YAML's parser alone, if they are scalars without quotes."""
    try:
        sections = yaml.compose(text, yaml.SafeLoader).value
        nodes = [node for _, section in sections for _, node in section.value]
    except (yaml.YAMLError, ValueError, TypeError):
        return []
    return [node.value for node in nodes if isinstance(node, yaml.ScalarNode) and node.style is None]


@given(written=LOOKS_TYPED | WORDS | st.text(max_size=12))
@example(written="3.10")
@example(written="a  b")
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_plain_scalar_arrives_as_it_is_written_or_is_refused_by_name(
    write: Write, spec: RunSpec, written: str
) -> None:
    text = f"env:\n  A: {written}\nextra:\n  comment: {written}\n"
    values = scalars_of(text)
    assume(len(values) == 2 and values[0] == values[1])
    expected = values[0]
    path = write(text)
    try:
        profile = load_profile(str(path))
    except UserError as error:
        refused = error.problems
    else:
        refused = []
    if refused:
        assert all(re.match(rf"{path}: (env\.A|extra\.comment) = ", problem) for problem in refused)
        return
    lines = script(profile, Batch(60, ((spec,),)), Code(Path("/code")), path.parent)
    setup = lines[lines.index("# setup\n") : lines.index("# command\n")]
    command = ["bash", "-c", setup + 'printf %s "$A"']
    told = subprocess.run(command, capture_output=True, check=True)
    assert told.stdout.decode() == expected
    (comment,) = re.findall(r"^#SBATCH --comment(.*)$", lines, re.MULTILINE)
    flag = expected.lower() == "true"  # an option without a value
    assert shlex.split(comment) == ([] if flag else [f"={expected}"])


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
