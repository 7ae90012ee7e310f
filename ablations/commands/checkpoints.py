"""Checkpoints that leave for other programs, and those that come from them; the trainer's part is loaded by name."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.store.find import find_run
from formats.names import expected
from simclr_core.config.options import Scalar, override
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.records import read_json

TRAINER = "simclr_core.interchange"
FORMATS = {"torchvision": "export_torchvision"}


def export(run: str, form: str, out: Path, store: Path, evaluation: str = "") -> str:
    """Write the backbone of a run, given by its folder, its id or the id's beginning; a line on how to use it.

    ``evaluation`` is the id of one that kept its network: that network is written, with its classifier where it fits.
    Raises UserError, or the trainer's error with ``problems``, for what cannot be written in this format.
    """
    if form not in FORMATS:
        raise UserError([f"--format {form!r}: {expected(form, FORMATS)}"])
    run_dir = Path(run) if (Path(run) / "spec.json").exists() else find_run(store, run)
    num_classes = getattr(importlib.import_module(TRAINER), FORMATS[form])(run_dir, out, evaluation)
    config = read_json(run_dir / "spec.json")["config"]
    depth, normalization = config["backbone"]["depth"], config["data"]["normalization"]
    classes, strict = (f"num_classes={num_classes}", "") if num_classes else ("", ", strict=False")
    return (
        f"{out}: for torchvision.models.resnet{depth}({classes}), load_state_dict(...{strict});"
        f" images in [0, 1], normalization {normalization}"
    )


def evaluate_checkpoint(
    checkpoint: Path, recipe_name: str, settings: Sequence[str], num_labels: int, runtime: RuntimeConfig, out: Path
) -> list[dict[str, Any]]:
    """Evaluate a checkpoint from elsewhere, linear and kNN, on a recipe's data; the contents of the result files.

    ``settings`` are ``key=value`` on the recipe. Raises UserError or the trainer's error with ``problems``.
    """
    config: RunConfig = override(recipe(recipe_name), _parsed(settings))
    evaluations = [EvalConfig(protocol=protocol, num_labels=num_labels) for protocol in ("linear", "knn")]
    evaluate = importlib.import_module(TRAINER).evaluate_checkpoint
    evaluate(checkpoint, config, evaluations, runtime, out)
    return [read_json(path) for path in sorted((out / "evals").glob("[!.]*.json"))]


def _parsed(settings: Sequence[str]) -> dict[str, Scalar]:
    if wrong := [text for text in settings if "=" not in text]:
        raise UserError([f"{text!r}: expected key=value, as in data.name=cifar10" for text in wrong])
    pairs = (text.split("=", 1) for text in settings)
    return {key: _value(text) for key, text in pairs}


def _value(text: str) -> Scalar:
    """A number, true or false where the text is one, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
