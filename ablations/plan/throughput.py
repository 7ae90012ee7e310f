"""The speed of finished runs in a store, and the cost of other runs extrapolated from it."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ablations.store.folder import Store
from ablations.store.provenance import cpu_model
from ablations.study.spec import RunSpec
from simclr_core.config.cost import NUM_IMAGES, forward_multiply_adds, training_multiply_adds
from simclr_core.config.identity import eval_id, from_canonical
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.records import read_json

MOST_READ = 50
"""The largest number of runs that are read; a store may have thousands."""

NEAREST = 9
"""The number of most similar runs whose median is used; a run can take twice as long if others share its machine."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError)
"""The exceptions that missing or damaged records raise."""

_NUM_LABELLED = NUM_IMAGES | {"stl10": 5_000}

_FULL_LENGTH = ("trained", "collapsed")  # a run that diverges may end early


@dataclass(frozen=True)
class Times:
    """What a finished run took, in core-seconds: its seconds times its threads."""

    training_s: float
    evaluations: list[tuple[float, dict[str, Any]]]  # each with its record
    device: str  # processor, and GPU if there was one

    @property
    def evaluation_s(self) -> float:
        """Core-seconds of all evaluations."""
        return sum(core_s for core_s, _ in self.evaluations)


@dataclass(frozen=True)
class Example:
    """A finished run of any grid."""

    config: RunConfig
    core_s_per_multiply_add: float  # of the training
    core_s_per_label: dict[str, float]  # of an evaluation, by its kind
    device: str


def times(folder: Path, eval_ids: Iterable[str]) -> Times:
    """Return the times of a run with these evaluations; raises one of ``UNREADABLE`` if records are missing."""
    training_s = float(read_json(folder / "result.json")["duration_s"])
    attempt = read_json(folder / "provenance.json")["attempts"][-1]
    threads = int(attempt["num_threads"])
    records = [read_json(folder / "evals" / f"{name}.json") for name in eval_ids]
    evaluations = [(float(record["duration_s"]) * threads, record) for record in records]
    device = " with ".join(filter(None, (attempt.get("cpu"), attempt.get("gpu"))))
    return Times(training_s * threads, evaluations, device)


def examples(specs: Sequence[RunSpec], store: Store) -> list[Example]:
    """Return finished trainings of a store other than ``specs``, on one kind of device.

    The device is this machine's if the store has runs on it, else that of the first run found. If there are enough,
    only runs of the methods of ``specs`` are returned. Unreadable runs are left out.
    """
    own = {spec.run_id for spec in specs}
    by_method: dict[str, list[Path]] = {}
    for folder in _by_age(store.root):
        if folder.name not in own:
            by_method.setdefault(folder.name.partition("-")[0], []).append(folder)
    methods = {spec.config.method.name: None for spec in specs}
    of_each = [by_method.pop(method, []) for method in methods]
    found = [example for folders in of_each for example in _some(folders, MOST_READ // len(methods))]
    if len(found) < NEAREST:
        found += _some(list(chain(*by_method.values())), MOST_READ)
    devices = [each.device for each in found]
    chosen = next(filter(_is_here, devices), devices[0] if devices else "")
    return [each for each in found if each.device == chosen]


def _by_age(root: Path) -> list[Path]:
    """Return the folders of a store, the newest first."""
    try:
        entries = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(root) if entry.name[0] != "."]
    except OSError:
        return []
    return [Path(path) for _, path in sorted(entries, reverse=True)]


def _some(folders: Sequence[Path], most: int) -> Iterator[Example]:
    """Yield examples of all ages, because runs of similar age are mostly runs of one grid."""
    step = math.ceil(len(folders) / most)
    spread = (folder for start in range(step) for folder in folders[start::step])
    return islice(filter(None, map(_example, spread)), most)


def _example(folder: Path) -> Example | None:
    with suppress(*UNREADABLE):
        if read_json(folder / "result.json")["outcome"] not in _FULL_LENGTH:
            return None
        config = from_canonical(RunConfig, read_json(folder / "spec.json")["config"])
        took = times(folder, [path.stem for path in (folder / "evals").glob("[!.]*.json")])
        work = training_multiply_adds(config)
        if work and took.training_s > 0:
            per_label = {
                _kind(from_canonical(EvalConfig, record["evaluation"])): core_s / max(1, record["num_labels"])
                for core_s, record in took.evaluations
            }
            return Example(config, took.training_s / work, per_label, took.device)
    return None


def _kind(evaluation: EvalConfig) -> str:
    """What evaluations have in common that differ in their labels, seeds and what they keep alone."""
    return eval_id(replace(evaluation, num_labels=0, label_seed=0, seed=0, keep=False))


def _is_here(device: str) -> bool:
    return device.partition(" with ")[0] == cpu_model()


def extrapolated(specs: Sequence[RunSpec], found: Sequence[Example]) -> tuple[list[float], str] | None:
    """Return the core-seconds of each run and a note on the source; None if the cost of some run is unknown.

    A training gets the median rate of the most similar examples: those of the same method first, then those nearest in
    multiply-adds per view, because wide networks and large images need less time per multiply-add. The time of an
    evaluation is proportional to its labelled images, at the median rate of evaluations that differ only in labels and
    seeds; if there are none, evaluations are not included.
    """
    cells = {spec.cell_id: spec for spec in specs}
    works = {cell_id: training_multiply_adds(spec.config) for cell_id, spec in cells.items()}
    total = sum(work or 0.0 for work in works.values())
    if not found or not total or None in works.values():
        return None
    paces = _Paces(found)
    training_s = {cell_id: (works[cell_id] or 0.0) * paces.training(spec.config) for cell_id, spec in cells.items()}
    evaluation_s = {cell_id: paces.evaluations(spec) for cell_id, spec in cells.items()}
    is_whole = None not in evaluation_s.values()
    gflops = 2e-9 * total / sum(training_s.values())
    device = found[0].device
    where = f"on {device}" if _is_here(device) else f"on another machine ({device or 'unknown'})"
    words = (
        f"{len(paces.used)} other runs {where}, extrapolated by multiply-adds at {gflops:.3g} GFLOP/s a core,"
        f" evaluations {'included' if is_whole else 'not included'}"
    )
    both = {cell_id: s + (evaluation_s[cell_id] or 0.0 if is_whole else 0.0) for cell_id, s in training_s.items()}
    return [both[spec.cell_id] for spec in specs], words


class _Paces:
    """Medians over examples, each computed once: a grid has thousands of cells of few kinds."""

    def __init__(self, found: Sequence[Example]) -> None:
        self.used: set[int] = set()  # places of the examples that trainings were compared with
        self._found = found
        self._sizes = [forward_multiply_adds(example.config) for example in found]
        self._training: dict[tuple[str, int], float] = {}
        self._evaluations: dict[tuple[str, tuple[str, ...]], float | None] = {}

    def training(self, config: RunConfig) -> float:
        """Return the core-seconds per multiply-add."""
        method, size = config.method.name, forward_multiply_adds(config)
        if (method, size) not in self._training:
            places = self._most_alike(method, size)
            self.used.update(places)
            alike = [self._found[place].core_s_per_multiply_add for place in places]
            self._training[method, size] = statistics.median(alike)
        return self._training[method, size]

    def _most_alike(self, method: str, size: int) -> list[int]:
        def distance(place: int) -> tuple[bool, float]:
            return self._found[place].config.method.name != method, abs(math.log(self._sizes[place] / size))

        places = sorted(range(len(self._found)), key=distance)
        return [place for place in places if distance(place) <= distance(places[:NEAREST][-1])]

    def evaluations(self, spec: RunSpec) -> float | None:
        """Return the core-seconds of all evaluations of a run; None if one of them is unknown."""
        key = (spec.config.data.name, spec.eval_ids)
        if key not in self._evaluations:
            each = [self._evaluation(evaluation, spec.config.data.name) for evaluation in spec.evaluations]
            known = [core_s for core_s in each if core_s is not None]
            self._evaluations[key] = sum(known) if len(known) == len(each) else None
        return self._evaluations[key]

    def _evaluation(self, evaluation: EvalConfig, data: str) -> float | None:
        kind = _kind(evaluation)
        num_labels = evaluation.num_labels or _NUM_LABELLED.get(evaluation.data or data)
        took = [example.core_s_per_label[kind] for example in self._found if kind in example.core_s_per_label]
        if not took or num_labels is None or evaluation.label_list:
            return None
        return statistics.median(took) * num_labels
