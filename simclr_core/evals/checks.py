"""Which evaluations a configuration's runs can have, told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from simclr_core.config.layers import embedding_names, projector_layers
from simclr_core.config.options import ConfigError, field_problems
from simclr_core.config.protocols import PROTOCOLS
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data.errors import DataError
from simclr_core.data.inventory import Inventory
from simclr_core.data.label_lists import find_label_list, labels_from_list


def validate_evaluations(config: RunConfig, evaluations: list[EvalConfig]) -> None:
    """Raises ConfigError with all that is wrong with evaluations of this configuration's runs."""
    if problems := [problem for evaluation in evaluations for problem in evaluation_problems(config, evaluation)]:
        raise ConfigError(problems)


def evaluation_problems(config: RunConfig, evaluation: EvalConfig) -> list[str]:
    """All that is wrong with an evaluation of this configuration's runs; empty if it can be made."""
    problems = field_problems(evaluation)
    if not any(problem.startswith("embedding =") for problem in problems):
        problems += _embedding_problems(config, evaluation)
    if evaluation.data == config.data.name:
        problems.append(f"data = {evaluation.data!r}: what the run pre-trains on; leave it out, or name another set")
    if evaluation.num_labels and evaluation.label_list:
        problems.append(
            f"num_labels = {evaluation.num_labels}: label_list = {evaluation.label_list!r} chooses the labels already"
        )
    if evaluation.num_labels == 1:
        problems.append("num_labels = 1: no two classes to tell apart; expected at least 2, or 0 for all")
    if rules := PROTOCOLS.get(evaluation.protocol):
        problems += rules.problems(evaluation, config)
        if evaluation.keep and not rules.leaves_classifier:
            able = ", ".join(name for name, each in PROTOCOLS.items() if each.leaves_classifier)
            problems.append(f"keep = true: {evaluation.protocol} trains no classifier to keep; expected one of {able}")
    return [f"evaluation {evaluation.metric}: {problem}" for problem in problems]


def _embedding_problems(config: RunConfig, evaluation: EvalConfig) -> list[str]:
    """What is wrong with an embedding's name, valid for some projector, for this configuration's."""
    num_layers = len(projector_layers(config.projector, num_features=1))
    names = embedding_names(num_layers)
    if evaluation.embedding in names:
        return []
    layers = "1 linear layer" if num_layers == 1 else f"{num_layers or 'no'} linear layers"
    last = ", and z is after the last" if num_layers else ""
    return [
        f"embedding = {evaluation.embedding!r}: the projector has {layers}{last}; expected one of {', '.join(names)}"
    ]


def label_problems(
    evaluations: Sequence[EvalConfig], name: str, look: Callable[[str], Inventory], data_dir: Path
) -> list[str]:
    """What forbids evaluations of runs that pre-train on the data set ``name``, given what data sets hold.

    ``look`` gives the inventory of a data set by its name. What is wrong with the inventory of ``name`` is left out.
    """
    problems = []
    for evaluation in evaluations:
        found = look(evaluation.data or name)
        if found.problems:
            told = list(found.problems) if evaluation.data else []
        else:
            told = _label_problems(evaluation, found, data_dir / found.name)
            told += found.unusable if evaluation.data else ()
        problems += [f"evaluation {evaluation.metric}: {problem}" for problem in told]
    return problems


def _label_problems(evaluation: EvalConfig, found: Inventory, folder: Path) -> list[str]:
    """A probe's answers are transformations; all other protocols are to tell classes apart."""
    is_probe = not PROTOCOLS[evaluation.protocol].tells_classes
    problems = []
    if not is_probe and found.num_classes < 2:
        problems.append(f"{found.name} has one class: nothing to tell apart; expected at least 2")
    elif evaluation.label_list:
        problems = _list_problems(evaluation.label_list, found, folder, is_probe=is_probe)
    if evaluation.num_labels > found.num_labelled:
        count = f"{found.name} has {found.num_labelled} labelled training images"
        problems.append(f"num_labels = {evaluation.num_labels}: {count}")
    return problems


def _list_problems(name: str, found: Inventory, folder: Path, *, is_probe: bool) -> list[str]:
    if not found.files:
        return [f"label_list = {name!r}: images of {found.name} are no files that a list could name"]
    try:
        path = find_label_list(name, folder)
        rows = labels_from_list(path, found.files).rows
    except DataError as error:
        return error.problems
    if is_probe:
        return [] if len(rows) > 1 else [f"{path}: names one image; expected at least 2"]
    classes = {found.files[row].split("/")[-2] for row in rows}
    if len(classes) > 1:
        return []
    return [f"{path}: names images of one class, {classes.pop()}: nothing to tell apart; expected at least 2"]
