"""The content of a grid file, and its runs, as plain dataclasses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from formats.selectors import Selector
from simclr_core.config.identity import CONFIG_VERSION, canonical, eval_id, run_id
from simclr_core.config.options import Scalar, flatten, leaf_values
from simclr_core.config.schema import EvalConfig, RunConfig


def level_label(level: Scalar) -> str:
    """A level in the label of a cell: 1.0 for the number 1.0, as committed results and commands name cells."""
    return str(level).lower() if isinstance(level, bool) else str(level)


@dataclass(frozen=True)
class Axis:
    """One factor, and the settings of each of its levels.

    The levels of an axis named by a dotted key are the values of that key; other keys may change with it (``paired``).
    The levels of an axis with a name of its own are named; each is any mapping of settings, and may name another
    recipe.
    """

    key: str  # dotted, or the name
    labels: tuple[Scalar, ...]  # what the levels are called
    settings: tuple[dict[str, Scalar], ...]  # of each level: dotted key, or ``recipe``, -> value

    @property
    def name(self) -> str:
        """The short name: the last part of the key."""
        return self.key.rsplit(".", 1)[-1]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that some level sets."""
        return tuple(dict.fromkeys(key for settings in self.settings for key in settings))

    def part(self, labels: Iterable[Scalar], more: Mapping[Scalar, Mapping[str, Scalar]]) -> Axis:
        """Return the axis with only these levels; ``more`` adds settings to some of them."""
        chosen = tuple(labels)
        settings = tuple({**self.settings[self.labels.index(name)], **more.get(name, {})} for name in chosen)
        return replace(self, labels=chosen, settings=settings)


@dataclass(frozen=True)
class GridEvaluation:
    """An evaluation and its cells: those that ``only`` selects, or all cells and references."""

    config: EvalConfig
    only: Selector | None = None


@dataclass(frozen=True)
class Tune:
    """Axes whose levels every arm chooses jointly, by the grid's metric, on seeds that the claims do not use."""

    axes: tuple[str, ...]  # their keys
    seeds: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The short names of the axes."""
        return tuple(axis.rsplit(".", 1)[-1] for axis in self.axes)


@dataclass(frozen=True)
class GridScale:
    """The content of a grid at one scale."""

    name: str
    note: str  # one line, shown with every figure of this scale
    overrides: dict[str, Scalar]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    evaluations: tuple[GridEvaluation, ...]
    expected_core_s: float | None  # one run on one core, until finished runs tell better
    looks: bool  # whether seeds may be added where claims are undecided, and verdicts pay for the looks


@dataclass(frozen=True)
class Cell:
    """A cell or a reference of a grid at a scale, without a seed."""

    role: str  # "cell" or "reference"
    label: str
    levels: dict[str, Scalar]  # short axis name -> level; empty for a reference
    config: RunConfig
    evaluations: tuple[EvalConfig, ...]
    cell_id: str
    recipe: str  # with its scale
    overrides: dict[str, Scalar]  # what the grid sets on the recipe


@dataclass(frozen=True)
class Grid:
    """The content of one grid file: one question about a figure or table of a paper."""

    path: Path
    name: str
    title: str
    question: str
    paper: dict[str, str]  # key, locus, csv
    recipe: str  # without its scale
    overrides: dict[str, Scalar]
    exclude: tuple[Selector, ...]
    references: dict[str, dict[str, Scalar]]
    metric: str
    scales: dict[str, GridScale]
    figure: dict[str, Any]
    claims: tuple[dict[str, Any], ...]
    tune: Tune | None
    cells: dict[str, list[Cell]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Scale -> cells, once they have been expanded: a grid is checked and then expanded again."""
    runs: dict[tuple[str, tuple[int, ...]], list[RunSpec]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """(Scale, seeds) -> runs, once they have been expanded."""


@dataclass(frozen=True)
class RunSpec:
    """One run of a grid: a cell or a reference with one seed."""

    grid: str
    scale: str
    role: str  # "cell", "reference", or "tuning": a cell on a seed that chooses among the levels of tuned axes
    label: str
    levels: dict[str, Scalar]  # short axis name -> level; empty for a reference
    config: RunConfig
    evaluations: tuple[EvalConfig, ...]
    cell_id: str
    seed: int
    recipe: str  # with its scale
    overrides: dict[str, Scalar] = field(repr=False)  # what the grid sets on the recipe, seed apart

    @cached_property
    def run_id(self) -> str:
        """The run id, which is also the name of the run's folder."""
        return run_id(self.config)

    @cached_property
    def eval_ids(self) -> tuple[str, ...]:
        """The ids of the evaluations, which are also the names of their result files."""
        return tuple(eval_id(evaluation) for evaluation in self.evaluations)

    @property
    def command(self) -> str:
        """The shell command that executes this run by hand, with the same run id and evaluation ids."""
        settings: dict[str, Scalar] = {"recipe": self.recipe, **self.overrides, "seed": self.seed}
        words = [_hydra_word(key, value) for key, value in settings.items()]
        return " ".join(["python -m simclr_core", *words, _hydra_list(tuple(map(leaf_values, self.evaluations)))])

    def spec_json(self) -> dict[str, Any]:
        """The content of the run's ``spec.json``."""
        return {"config_version": CONFIG_VERSION, "run_id": self.run_id, "config": canonical(self.config)}


@lru_cache(maxsize=4096, typed=True)  # the runs of a grid share most of their settings
def _hydra_word(key: str, value: Scalar) -> str:
    return shlex.quote(f"{key}={_hydra(value)}")


@lru_cache(maxsize=256)
def _hydra_list(evaluations: tuple[tuple[Scalar, ...], ...]) -> str:
    return shlex.quote(f"evaluations=[{','.join(map(_hydra_mapping, evaluations))}]")


def _hydra_mapping(values: tuple[Scalar, ...]) -> str:
    """Return the protocol of an evaluation and the settings in which these values differ from the default."""
    usual = dict(flatten(EvalConfig()))
    evaluation = zip(usual, values, strict=True)
    settings = {key: value for key, value in evaluation if key == "protocol" or value != usual[key]}
    return "{" + ",".join(f"{key}:{_hydra(value)}" for key, value in settings.items()) + "}"


_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w./-]*", re.IGNORECASE)


def _hydra(value: Scalar) -> str:
    """Return a value in Hydra's override grammar; strings that Hydra would read as something else are quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
