"""Cluster profiles: one YAML file says what a task asks of a cluster, and how a job there finds its software."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import ablations
from ablations.errors import UserError
from ablations.study.entries import shown
from ablations.study.yaml_files import Plain, load_texts
from formats.names import expected, nearest
from simclr_core.config.runtime import user_folder

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
    gpus_per_node: int | str = 0  # or with their type: "a100:2"
    nodes: int = 1
    tasks_per_node: int = 1  # processes that train one run together, on each node
    setup: tuple[str, ...] = ()  # shell lines before a task
    env: Mapping[str, str] = field(default_factory=dict)  # variables of a task
    container: str | None = None  # words before the interpreter, as in "apptainer exec --nv image.sif"
    python: str | None = None  # the interpreter; None: the one that submits, or python3 in a container
    extra: Mapping[str, str | bool] = field(default_factory=dict)  # further options of sbatch; True: without a value

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
_KEYS = tuple(f.name for f in fields(Profile) if f.name != "name")
_PASSED_ON = r"[^\x00-\x1f\x7f\\]"
"""A character that reaches sbatch from a line of a script; it takes backslashes away."""

_OURS = (
    *("array", "error", "job-name", "open-mode", "output", "requeue", "signal", "wckey"),
    *("no-requeue", "parsable", "quiet", "test-only", "wait", "wrap"),  # which change what sbatch does, or says
)
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
    config = user_folder("XDG_CONFIG_HOME", ".config")
    found: dict[str, Path] = {}
    for folder in (Path.cwd() / "clusters", *([config / "clusters"] if config else []), PACKAGED):
        for path in sorted(folder.glob("[!.]*.yaml")):
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
    raw = load_texts(path)
    if not isinstance(raw, Mapping):
        raise UserError([f"{shown(path)}: expected a mapping with keys such as partition, cpus, gpus_per_node"])
    problems: list[str] = []
    values = {str(key): _value(str(key), value, problems) for key, value in raw.items()}
    if problems:
        raise UserError([f"{shown(path)}: {problem}" for problem in problems])
    return Profile(path.stem, **values)


def _value(key: str, value: Any, problems: list[str]) -> Any:
    """What stands in the file as the type of its key; what it is not is noted among ``problems``."""
    if key not in _KEYS:
        problems.append(f"{key}: no such key{nearest(key, list(_KEYS))}; known are {', '.join(_KEYS)}")
        return None
    if key in ("env", "extra"):
        return (_variables if key == "env" else _options)(value, problems)
    if key == "setup":
        right, wanted = isinstance(value, list) and all(map(_is_text, value)), "a list of shell lines"
        made: Any = tuple(map(str, value)) if right else None
    else:
        pattern, wanted, kind = _FORMS.get(key, _WORD)
        right = _is_text(value) and re.fullmatch(pattern, value) is not None
        made = kind(value) if right else None
    if not right:
        problems.append(f"{key} = {_shown(value)}: expected {wanted}")
    return made


def _gpus(text: str) -> int | str:
    return int(text) if text.isdecimal() else str(text)


_WORD = (rf"(?=.*\S){_PASSED_ON}*", "a text without backslashes and control characters", str)
_COUNT = ("[1-9][0-9]{0,8}", "a whole number from 1 on", int)
_FORMS: Mapping[str, tuple[str, str, Callable[[str], Any]]] = {
    **dict.fromkeys(("container", "python"), (r"(?=.*\S)[^\n\r\0]*", "words for a shell, in one line", str)),
    **dict.fromkeys(("cpus", "nodes", "tasks_per_node"), _COUNT),
    "time_min": (_COUNT[0], "whole minutes from 1 on", int),
    "mem_gb": (r"(?=.*[1-9])[0-9]{0,9}(\.[0-9]*)?", "a number above 0", float),
    "gpus_per_node": (
        r"0|([A-Za-z][\w.-]*:)?[1-9][0-9]{0,8}",
        "a whole number from 0 on, or type and number as in a100:2",
        _gpus,
    ),
}
"""Key -> how its value is written, in words too, and what is made of it; other keys are words."""


def _variables(value: Any, problems: list[str]) -> dict[str, str]:
    """Of the environment."""
    made = {}
    for name, content in _entries("env", value, problems):
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            problems.append(f"env.{name}: no name of a variable; expected letters, digits and underscores")
        if "\0" in content:
            problems.append(f"env.{name} = {_shown(content)}: no variable can hold a character 0")
        made[name] = str(content)
    return made


def _options(value: Any, problems: list[str]) -> dict[str, str | bool]:
    """Of sbatch."""
    made: dict[str, str | bool] = {}
    for written, content in _entries("extra", value, problems):
        name = written.replace("_", "-")
        if name in _OURS:
            problems.append(f"extra.{name}: is set by every submission")
        elif name in _OPTIONS:
            problems.append(f"extra.{name}: is the profile's own key {_OPTIONS[name]}")
        elif not re.fullmatch("[a-z][a-z0-9-]*", name):
            problems.append(f"extra.{name}: no option of sbatch; expected its long name without dashes before it")
        elif isinstance(content, Plain) and content.lower() == "false":
            problems.append(f'extra.{name} = {content}: leave the option out, or write "{content}" for this text')
        elif not re.fullmatch(f"{_PASSED_ON}*", content):
            problems.append(f"extra.{name} = {_shown(content)}: expected {_WORD[1]}")
        made[name] = True if isinstance(content, Plain) and content.lower() == "true" else str(content)
    return made


def _entries(key: str, value: Any, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Those of a mapping whose values are texts."""
    if not isinstance(value, Mapping):
        problems.append(f"{key} = {_shown(value)}: expected a mapping")
        return
    for name, content in value.items():
        if _is_text(content):
            yield str(name), content
        else:
            problems.append(f"{key}.{name} = {_shown(content)}: expected a text or a number")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _is_nothing(value)


def _is_nothing(value: Any) -> bool:
    return isinstance(value, Plain) and value.is_nothing


def _shown(value: Any) -> str:
    return "nothing" if _is_nothing(value) else repr(value)
