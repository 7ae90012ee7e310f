"""``python -m simclr_core recipe=simclr_demo key=value ...``: one configuration, by hand.

The same configuration gives the same run id as in a grid, and lands in the same store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NoReturn, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from formats.names import nearest
from formats.whole_files import NoSpaceError
from simclr_core.config.identity import run_id
from simclr_core.config.options import ConfigError, flatten, keys_of, override, valid_values
from simclr_core.config.recipes import RECIPES, recipe
from simclr_core.config.runtime import RuntimeConfig, problems_of_runtime, user_path
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.processes.launched import Launched
from simclr_core.records import read_json

_HYDRA = {"output_subdir": None, "run": {"dir": "."}, "job": {"chdir": False}}
_ROOT = {
    "defaults": [
        {"recipe": MISSING},
        "_self_",
        {"override hydra/job_logging": "none"},
        {"override hydra/hydra_logging": "none"},
    ],
    "runtime": asdict(RuntimeConfig()),
    "evaluations": [
        {"protocol": protocol, "embedding": embedding}
        for embedding in ("features", "z")
        for protocol in ("linear", "knn")
    ],
    "hydra": _HYDRA,
}


def to_evaluations(described: Any) -> list[EvalConfig]:
    """The typed evaluations; raises ConfigError with all that is wrong with any of them."""
    if not isinstance(described, list) or not all(isinstance(settings, dict) for settings in described):
        raise ConfigError([f"evaluations = {described!r}: expected a list, as in [{{protocol: linear}}]"])
    evaluations, problems = [], []
    for number, settings in enumerate(described):
        try:
            evaluations.append(override(EvalConfig(), settings))
        except ConfigError as error:
            problems += [f"evaluations[{number}].{problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return evaluations


def to_runtime(values: Mapping[str, Any]) -> RuntimeConfig:
    """The typed runtime settings; raises ConfigError with all that is wrong with them."""
    try:
        runtime = override(RuntimeConfig(), values)
    except ConfigError as error:
        raise ConfigError([f"runtime.{problem}" for problem in error.problems]) from None
    if problems := problems_of_runtime(runtime):
        raise ConfigError(problems)
    return runtime


def problems_of_overrides(arguments: list[str]) -> list[str]:
    """What is wrong with ``key=value`` arguments, in the words that grids use; sweeps are left to Hydra."""
    try:
        overrides = OverridesParser.create().parse_overrides([a for a in arguments if not a.startswith("-")])
    except OverrideParseException as error:
        return [str(error).splitlines()[0]]
    ours = [o for o in overrides if not (o.is_sweep_override() or _is_hydras_own(o.key_or_group))]
    values = {o.key_or_group: o.value() for o in ours}
    name = str(values.pop("recipe", ""))
    try:
        base = recipe(name) if name else RunConfig()
        problems = [] if name else [f"recipe=... is missing; known: {', '.join(RECIPES)}"]
    except ConfigError as error:
        base, problems = RunConfig(), error.problems
    known = {"evaluations", *(f"runtime.{f.name}" for f in fields(RuntimeConfig))}
    settings = {key: value for key, value in values.items() if key not in known}
    of_runtime = {key.removeprefix("runtime."): value for key, value in values.items() if key.startswith("runtime.")}
    names = sorted(known | set(keys_of(RunConfig)))
    problems += [f"{key}: no such setting{nearest(key, names)}" for key in settings if key not in names]
    checks: list[Callable[[], object]] = [
        lambda: override(base, {key: value for key, value in settings.items() if key in names}),
        lambda: to_evaluations(values.get("evaluations", [])),
        lambda: to_runtime({key: value for key, value in of_runtime.items() if f"runtime.{key}" in known}),
    ]
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    return problems


def _is_hydras_own(key: str) -> bool:
    return key == "hydra" or key.startswith("hydra.")


def _register() -> None:
    store = ConfigStore.instance()
    store.store(name="run", node=_ROOT)
    for name, build in RECIPES.items():
        store.store(group="recipe", name=name, node=_tree(build()), package="_global_")


def _tree(config: RunConfig) -> dict[str, Any]:
    """The configuration as nested mappings, with a missing value for every setting of the other methods.

    Hydra refuses keys that a recipe's tree lacks, and ``method.name`` may choose another method.
    """
    values = dict.fromkeys(keys_of(RunConfig), MISSING) | dict(flatten(config))
    tree = OmegaConf.create({})
    for key, value in values.items():
        OmegaConf.update(tree, key, value)
    return cast("dict[str, Any]", OmegaConf.to_container(tree))


def to_run_config(composed: DictConfig) -> RunConfig:
    """The typed configuration of a composed tree."""
    values = {key: OmegaConf.select(composed, key) for key in keys_of(RunConfig)}
    return override(RunConfig(), {key: value for key, value in values.items() if value is not None})  # None: missing


@hydra.main(version_base="1.3", config_path=None, config_name="run")
def _run(composed: DictConfig) -> None:
    from simclr_core.data.datasets import DataError  # torch loads only once the arguments are known to be right
    from simclr_core.run import SpecMismatchError, execute

    config = to_run_config(composed)
    evaluations = to_evaluations(OmegaConf.to_container(composed.evaluations))
    runtime = to_runtime({f.name: composed.runtime[f.name] for f in fields(RuntimeConfig)})
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    launched = Launched()
    try:
        run_dir = user_path(runtime.store) / run_id(config)
        launched = Launched.from_environment()
        if launched.size > 1 and launched.rank == 0:
            batch = config.training.global_batch_size
            print(f"global batch size {batch}: {batch // launched.size} images in each of {launched.size} processes")
        with Progress(*columns, console=Console(stderr=True), disable=launched.rank > 0) as progress:
            task = progress.add_task("load", speed="")

            def show(now: Any) -> None:
                speed = f"{now.images_per_s:,.0f} images/s" if now.images_per_s else ""
                progress.update(task, description=now.phase, completed=now.step, total=now.num_steps, speed=speed)

            execute(config, evaluations, runtime, run_dir, show)
    except (ConfigError, DataError) as error:
        _exit(error.problems)
    except (SpecMismatchError, NoSpaceError) as error:
        _exit([str(error)])
    if launched.rank == 0:
        _print_results(run_dir)


def _print_results(run_dir: Path) -> None:
    result = read_json(run_dir / "result.json")
    table = Table(title=f"{run_dir}: {result['outcome']}", title_justify="left")
    table.add_column("evaluation")
    table.add_column("top-1 %", justify="right")
    table.add_column("labels", justify="right")
    for path in sorted((run_dir / "evals").glob("[!.]*.json")):
        scored = read_json(path)
        top1 = "-" if scored["top1"] is None else f"{scored['top1']:.2f}"
        table.add_row(scored["metric"], top1, f"{scored['num_labels']:,}")
    Console().print(table)


def _exit(problems: list[str]) -> NoReturn:
    for problem in problems:
        print(problem, file=sys.stderr)
    raise SystemExit(2)


def _help() -> Iterator[str]:
    """What can be given, a line each."""
    yield "python -m simclr_core recipe=NAME key=value ... 'evaluations=[{protocol: linear}, ...]'"
    yield "trains and evaluates one configuration; flags such as --cfg job are Hydra's, and --hydra-help lists them"
    yield f"\nrecipes: {', '.join(RECIPES)}"
    kinds = {"settings, which the recipe sets first": ("", RunConfig()), "runtime": ("runtime.", RuntimeConfig())}
    for title, (prefix, node) in (kinds | {"of an evaluation": ("", EvalConfig())}).items():
        yield f"\n{title}:"
        values = dict(flatten(node))
        for key in keys_of(node.__class__):
            default = f"; {values[key]}" if prefix and values[key] != "" else ""
            yield f"  {prefix}{key}: {valid_values(node.__class__, key)}{default}"


def main() -> None:
    """Check the arguments, then let Hydra compose and run."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print("\n".join(_help()))
        return
    if not any(a.startswith("-") for a in arguments) and (problems := problems_of_overrides(arguments)):
        _exit(problems)
    _register()
    _run()


if __name__ == "__main__":
    main()
