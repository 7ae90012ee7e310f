"""Cluster profiles: one YAML file says what a task asks of a cluster, and how a job there finds its software."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import ablations
from ablations.entries import shown
from ablations.errors import UserError, expected
from ablations.yaml_files import load_yaml
from simclr_core.options import nearest

PACKAGED = Path(ablations.__file__).parent.parent / "clusters"
"""Examples that travel with the code."""


@dataclass(frozen=True)
class Profile:
    """What every task of a submission asks for. What is None is left to the cluster's own default."""

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time_min: int | None = None  # of a task; None: from the plan's estimate
    mem_gb: float | None = None  # of a node
    cpus: int = 1  # of a process
    gpus_per_node: int = 0
    nodes: int = 1
    tasks_per_node: int = 1  # processes that train one run together, on each node
    setup: tuple[str, ...] = ()  # shell lines before a task
    env: Mapping[str, str] = field(default_factory=dict)  # variables of a task
    container: str | None = None  # words before the interpreter, as in "apptainer exec --nv image.sif"
    python: str | None = None  # the interpreter; None: the one that submits, or python3 in a container
    extra: Mapping[str, str | int | bool] = field(default_factory=dict)  # further options of sbatch

    @property
    def num_processes(self) -> int:
        """Processes that work on one run together."""
        return self.nodes * self.tasks_per_node

    @property
    def content(self) -> dict[str, Any]:
        """What differs from an empty profile, as plain values."""
        values = {key: getattr(self, key) for key in _KEYS if getattr(self, key) != getattr(_EMPTY, key)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


_EMPTY = Profile("")
_WORDS = ("partition", "account", "qos", "constraint", "container", "python")
_COUNTS = ("time_min", "cpus", "nodes", "tasks_per_node")  # from 1 on
_KEYS = tuple(f.name for f in fields(Profile) if f.name != "name")
_OURS = ("array", "output", "error", "job-name", "open-mode", "requeue", "signal", "wckey")
"""Options of sbatch that the submission depends on."""

_OPTIONS = {
    "cpus-per-task": "cpus",
    "mem": "mem_gb",
    "ntasks-per-node": "tasks_per_node",
    "time": "time_min",
} | {name.replace("_", "-"): name for name in ("account", "constraint", "gpus_per_node", "nodes", "partition", "qos")}
"""Option of sbatch -> key of a profile."""


def find_profiles() -> dict[str, Path]:
    """Every profile by name: those of ./clusters, then the user's own, then the packaged examples."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "simclr-ablations"
    found: dict[str, Path] = {}
    for folder in (Path.cwd() / "clusters", config / "clusters", PACKAGED):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load_profile(name_or_path: str) -> Profile:
    """A profile by its path or name; raises UserError with everything that is wrong in the file."""
    path = Path(name_or_path)
    if not (path.suffix in (".yaml", ".yml") or "/" in name_or_path):
        found = find_profiles()
        if name_or_path not in found:
            raise UserError([f"--profile {name_or_path!r}: no such profile; {expected(name_or_path, found)}"])
        path = found[name_or_path]
    elif not path.is_file():
        raise UserError([f"--profile {name_or_path}: no such file"])
    raw = load_yaml(path)
    if not isinstance(raw, Mapping):
        raise UserError([f"{shown(path)}: expected a mapping with keys such as partition, cpus, gpus_per_node"])
    problems: list[str] = []
    values = {str(key): _value(str(key), value, problems) for key, value in raw.items()}
    if problems:
        raise UserError([f"{shown(path)}: {problem}" for problem in problems])
    return Profile(path.stem, **values)


def _value(key: str, value: Any, problems: list[str]) -> Any:
    if key not in _KEYS:
        problems.append(f"{key}: no such key{nearest(key, list(_KEYS))}; known are {', '.join(_KEYS)}")
        return None
    if key in _WORDS:
        right, wanted = isinstance(value, str) and bool(value.strip()), "a text"
    elif key in _COUNTS or key == "gpus_per_node":
        least = 1 if key in _COUNTS else 0
        right, wanted = _is_number(value, int) and value >= least, f"a whole number from {least} on"
    elif key == "mem_gb":
        right, wanted = _is_number(value, int | float) and value > 0, "a number above 0"
    elif key == "setup":
        right = isinstance(value, list) and all(isinstance(line, str) for line in value)
        wanted = "a list of shell lines"
    else:
        return _mapping(key, value, problems)
    if not right:
        problems.append(f"{key} = {value!r}: expected {wanted}")
    return tuple(value) if right and key == "setup" else value


def _mapping(key: str, value: Any, problems: list[str]) -> dict[str, Any]:
    """Of variables of the environment, or of options of sbatch."""
    if not isinstance(value, Mapping):
        problems.append(f"{key} = {value!r}: expected a mapping")
        return {}
    for name, content in value.items():
        if not isinstance(content, str | int | float):
            problems.append(f"{key}.{name} = {content!r}: expected a text or a number")
    if key == "env":
        return {str(name): str(content) for name, content in value.items()}
    options = {str(name).replace("_", "-"): content for name, content in value.items()}
    for name in options:
        if name in _OURS:
            problems.append(f"{key}.{name}: is set by every submission")
        elif name in _OPTIONS:
            problems.append(f"{key}.{name}: is the profile's own key {_OPTIONS[name]}")
    return options


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
