"""From the text of a grid file to a ``Grid``; everything that is wrong is collected on the way.

Checks of single entries are here; checks that need the cells are in ``ablations.study.expand``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablations.errors import GridError
from ablations.study.entries import Entries, shown
from ablations.study.levels import level_problems, unfit_texts
from ablations.study.spec import Axis, Grid, GridEvaluation, GridScale, Tune
from ablations.study.yaml_files import load_yaml
from formats.levels import is_level, level_text
from formats.metrics import RUN_METRICS
from formats.names import expected, nearest
from simclr_core.config.options import ConfigError, Scalar, field_problems, keys_of, override
from simclr_core.config.recipes import BY_METHOD, scales_of
from simclr_core.config.schema import EvalConfig, RunConfig

_TEXTS = ("name", "title", "question", "recipe", "metric")
_KEYS = (
    *_TEXTS,
    "paper",
    "set",
    "axes",
    "paired",
    "tune",
    "exclude",
    "references",
    "seeds",
    "evaluations",
    "scales",
    "figure",
    "claims",
    "looks",
)
_REQUIRED = (*_TEXTS, "paper", "seeds", "evaluations", "scales", "figure")
_SCALE_KEYS = ("note", "set", "axes", "seeds", "evaluations", "expected_core_s", "looks")


class Reader(Entries):
    """Reads one grid file and collects ``problems``."""

    def read(self) -> Grid:
        """Return the grid, with a placeholder for every faulty entry; raises GridError if the file is not a mapping."""
        raw = load_yaml(self.path)
        if not isinstance(raw, Mapping):
            raise GridError([f"{shown(self.path)}: expected a mapping with the keys {', '.join(_REQUIRED)}"])
        for problem in unfit_texts(raw):
            self.problem(problem)
        raw = self._mapping(raw, "", _KEYS, _REQUIRED)
        texts = {key: self._text(raw.get(key, ""), key) for key in _TEXTS}
        if texts["name"] and texts["name"] != self.path.stem:
            self.problem(f"name = {texts['name']!r}: expected the file's name, {self.path.stem!r}")
        paper = self._mapping(raw.get("paper", {}), "paper", ("key", "locus", "csv"), ("key", "locus", "csv"))
        axes = self._axes(raw)
        overrides = self._overrides(raw.get("set", {}), "set")
        references = self._any_mapping(raw.get("references", {}), "references")
        return Grid(
            path=self.path,
            name=texts["name"],
            title=texts["title"],
            question=texts["question"],
            paper={key: self._text(value, f"paper.{key}") for key, value in paper.items()},
            recipe=texts["recipe"],
            overrides=overrides,
            exclude=tuple(self._list(raw.get("exclude", []), "exclude")),
            references={name: self._overrides(values, f"references.{name}") for name, values in references.items()},
            metric=texts["metric"],
            scales=self._scales(raw, texts["recipe"], texts["metric"], axes),
            figure=dict(self._any_mapping(raw.get("figure", {}), "figure")),
            claims=tuple(
                dict(self._any_mapping(c, f"claims[{i}]"))
                for i, c in enumerate(self._list(raw.get("claims", []), "claims"))
            ),
            tune=self._tune(raw["tune"]) if "tune" in raw else None,
        )

    def _tune(self, raw: Any) -> Tune:
        content = self._mapping(raw, "tune", ("axes", "seeds"), ("axes", "seeds"))
        listed = self._list(content.get("axes", []), "tune.axes")
        if content.get("axes") == []:
            self.problem("tune.axes: expected at least one axis")
        axes = tuple(self._text(axis, f"tune.axes[{i}]") for i, axis in enumerate(listed))
        for i, axis in enumerate(axes):
            if axis in axes[:i]:
                self.problem(f"tune.axes[{i}] = {axis!r}: listed twice")
        return Tune(axes, self._seeds(content["seeds"], "tune.seeds") if "seeds" in content else ())

    def _axes(self, raw: Mapping[str, Any]) -> tuple[Axis, ...]:
        groups: list[tuple[str, Mapping[str, Any]]] = []
        named: dict[str, Axis] = {}
        for key, levels in self._any_mapping(raw.get("axes", {}), "axes").items():
            if isinstance(levels, Mapping):
                named[key] = self._factor(key, levels)
            groups.append(("axes", {key: levels}))
        for i, group in enumerate(self._list(raw.get("paired", []), "paired")):
            groups.append((f"paired[{i}]", self._any_mapping(group, f"paired[{i}]")))
        read = [named.get(next(iter(group), "")) or self._axis(group, place) for place, group in groups]
        axes = [axis for axis in read if axis]
        for axis in axes:
            for problem in level_problems(axis.labels, f"axes.{axis.key}"):
                self.problem(problem)
        if not groups:
            self.problem("axes: missing")
        keys, names = [key for axis in axes for key in axis.keys], [axis.name for axis in axes]
        for doubled in sorted({key for key in keys if keys.count(key) > 1}):
            self.problem(f"axes: {doubled} is in two axes")
        for doubled in sorted(
            {name for name in names if names.count(name) > 1}
            - {key.rsplit(".", 1)[-1] for key in keys if keys.count(key) > 1}
        ):
            self.problem(f"axes: two axes have the short name {doubled!r}")
        return tuple(axes)

    def _factor(self, name: str, levels: Mapping[Scalar, Any]) -> Axis:
        """Read an axis with named levels: each level is a mapping of settings, which may be empty."""
        if "." in name:
            self.problem(f"axes.{name}: the levels of a setting are a list; expected a name without a dot")
        if not levels:
            self.problem(f"axes.{name}: an empty axis; expected at least one level")
        settings = []
        for label, raw in levels.items():
            place = f"axes.{name}.{level_text(label)}"
            content = dict(self._any_mapping(raw, place))
            of_recipe = content.pop("recipe", None)
            if of_recipe is not None and of_recipe not in BY_METHOD:
                self.problem(f"{place}.recipe = {of_recipe!r}: {expected(of_recipe, BY_METHOD)}")
                of_recipe = None
            chosen: dict[str, Scalar] = {} if of_recipe is None else {"recipe": of_recipe}
            settings.append(chosen | self._overrides(content, place))
        return Axis(name, tuple(levels), tuple(settings))

    def _axis(self, group: Mapping[str, Any], place: str) -> Axis | None:
        columns: list[list[Scalar | None]] = []
        for key, levels in group.items():
            where = f"{place}.{key}"
            if "." not in key and key not in keys_of(RunConfig):
                self.problem(f"{where}: no such setting{nearest(key, list(keys_of(RunConfig)))}")
                return None
            raw = self._list(levels, where)
            if isinstance(levels, list) and not levels:
                self.problem(f"{where}: an empty axis; expected at least one level")
            columns.append(self._levels(key, raw, where))
        if len({len(column) for column in columns}) > 1:
            self.problem(f"{place}: lists of different lengths ({', '.join(str(len(column)) for column in columns)})")
            return None
        levels_of_all = [level for level in zip(*columns, strict=True) if all(value is not None for value in level)]
        settings = [{key: v for key, v in zip(group, level, strict=True) if v is not None} for level in levels_of_all]
        key = next(iter(group))
        return Axis(key, tuple(level[key] for level in settings), tuple(settings))

    def _levels(self, key: str, raw: list[Any], place: str) -> list[Scalar | None]:
        if key not in keys_of(RunConfig):
            self._value(key, None, place)
            return [None] * len(raw)
        out = [self._value(key, value, f"{place}[{i}]") for i, value in enumerate(raw)]
        for i, value in enumerate(out):
            if value is not None and value in out[:i]:
                self.problem(f"{place}[{i}] = {value!r}: the same level as {place}[{out.index(value)}]")
        return out

    def _scales(self, raw: Mapping[str, Any], recipe: str, metric: str, axes: tuple[Axis, ...]) -> dict[str, GridScale]:
        if recipe and recipe not in BY_METHOD:
            self.problem(f"recipe = {recipe!r}: {expected(recipe, BY_METHOD)}")
        valid = scales_of(recipe)
        seeds = self._seeds(raw["seeds"], "seeds") if "seeds" in raw else ()
        evaluations = self._evaluations(raw["evaluations"], "evaluations") if "evaluations" in raw else ()
        looks = self._flag(raw.get("looks", False), "looks")
        scales: dict[str, GridScale] = {}
        entries = self._any_mapping(raw.get("scales", {}), "scales")
        if "scales" in raw and not entries:
            self.problem("scales: expected at least one scale")
        for name, entry in entries.items():
            place = f"scales.{name}"
            if name not in valid:
                self.problem(f"{place}: no such scale; {expected(name, valid)}")
                continue
            content = self._mapping(entry, place, _SCALE_KEYS)
            scale = GridScale(
                name=name,
                note=self._text(content.get("note", ""), f"{place}.note"),
                overrides=self._overrides(content.get("set", {}), f"{place}.set"),
                axes=self._restricted(content.get("axes", {}), f"{place}.axes", axes),
                seeds=self._seeds(content["seeds"], f"{place}.seeds") if "seeds" in content else seeds,
                evaluations=self._evaluations(content["evaluations"], f"{place}.evaluations")
                if "evaluations" in content
                else evaluations,
                expected_core_s=self._seconds(content.get("expected_core_s"), f"{place}.expected_core_s"),
                looks=self._flag(content["looks"], f"{place}.looks") if "looks" in content else looks,
            )
            scales[name] = scale
            metrics = [evaluation.config.metric for evaluation in scale.evaluations]
            metrics += RUN_METRICS
            if metric and scale.evaluations and metric not in metrics:
                self.problem(f"metric = {metric!r}: at scale {name} {expected(metric, metrics)}")
        return scales

    def _restricted(self, raw: Any, place: str, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        """Read the axes of a scale: each axis with the listed levels, or with all its levels.

        A mapping lists levels too, each with the settings that it adds at this scale.
        """
        kept = {axis.key: axis for axis in axes}
        for key, levels in self._any_mapping(raw, place).items():
            if key not in kept:
                self.problem(f"{place}.{key}: no such axis; {expected(key, kept)}")
                continue
            axis, more = kept[key], levels if isinstance(levels, Mapping) else {}
            listed = [*more] if more else self._list(levels, f"{place}.{key}")
            if isinstance(levels, list) and not levels:
                self.problem(f"{place}.{key}: an empty axis; expected at least one level")
            chosen: list[Scalar] = []
            for i, level in enumerate(listed):
                if not is_level(level, axis.labels):
                    known = [level_text(label) for label in axis.labels]
                    self.problem(f"{place}.{key}[{i}] = {level!r}: {expected(level, known)}")
                elif level in chosen:
                    self.problem(f"{place}.{key}[{i}] = {level!r}: listed twice")
                else:
                    chosen.append(level)
            extra = {label: self._overrides(more[label], f"{place}.{key}.{level_text(label)}") for label in more}
            kept[key] = axis.part(chosen, extra)
        return tuple(kept.values())

    def _evaluations(self, raw: Any, place: str) -> tuple[GridEvaluation, ...]:
        out: list[GridEvaluation] = []
        entries = self._list(raw, place)
        if isinstance(raw, list) and not raw:
            self.problem(f"{place}: expected at least one evaluation")
        for i, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                self.problem(f"{place}[{i}] = {entry!r}: expected a mapping")
                continue
            values = {str(key): value for key, value in entry.items()}
            only = values.pop("only", None)
            try:
                evaluation = override(EvalConfig(), values)
            except ConfigError as error:
                for problem in error.problems:
                    self.problem(f"{place}[{i}].{problem}")
                continue
            for problem in field_problems(evaluation):
                self.problem(f"{place}[{i}].{problem}")
            if any(evaluation.metric == other.config.metric for other in out):
                self.problem(f"{place}[{i}]: a second evaluation called {evaluation.metric}")
            out.append(GridEvaluation(evaluation, only))
        return tuple(out)
