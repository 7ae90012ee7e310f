"""What names a run: the canonical JSON of its configuration, and the ids made from it.

The JSON holds the fields in use and no others, by resolved value: two ways of writing the same experiment are one
run. It is never a difference from the defaults, which would alias old results when a default changes.

A field added after ``CONFIG_VERSION`` 1 declares ``neutral``, the value that reproduces older runs; it is left out
of the JSON when equal to it, so that old results keep their ids. Neutrals never change, defaults may.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Any

from simclr_core.config import EvalConfig, RunConfig
from simclr_core.options import Conditions, Scalar, holds

CONFIG_VERSION = 1
EVAL_VERSION = 1


def canonical(node: Any) -> dict[str, Any]:
    """The fields in use, as nested plain values: what determines the result and nothing else."""
    out: dict[str, Any] = {}
    for name, is_float, only, neutral, neutral_under in _rules(node.__class__):
        value = getattr(node, name)
        if _is_node(value.__class__):
            out[name] = canonical(value)
        elif (not only or holds(node, only)) and not (
            neutral is not None and value == neutral and holds(node, neutral_under)
        ):
            out[name] = float(value) if is_float else value  # 1 and 1.0 are one number
    return out


@functools.cache
def _rules(kind: type) -> tuple[tuple[str, bool, Conditions, Scalar | None, Conditions], ...]:
    """Name, whether it is a float, and the conditions of each field: read once, as grids have runs by the thousand."""
    rules = []
    for f in fields(kind):
        known = f.metadata
        under = known.get("neutral_under", {})
        rules.append((f.name, type(f.default) is float, known.get("only", {}), known.get("neutral"), under))
    return tuple(rules)


@functools.cache
def _is_node(kind: type) -> bool:
    return is_dataclass(kind)


def run_id(config: RunConfig) -> str:
    """A readable prefix and 12 hexadecimal digits of the canonical configuration, seed included."""
    content = {"config_version": CONFIG_VERSION, "config": canonical(config)}
    return f"{config.method.name}-{config.data.name}-{_digest(content, 12)}"


def cell_id(config: RunConfig) -> str:
    """The same for a configuration without its seed: the unit that seeds replicate."""
    without_seed = {key: value for key, value in canonical(config).items() if key != "seed"}
    return _digest({"config_version": CONFIG_VERSION, "config": without_seed}, 12)


def eval_id(evaluation: EvalConfig) -> str:
    """The name of an evaluation's result file."""
    content = {"eval_version": EVAL_VERSION, "evaluation": canonical(evaluation)}
    return f"{evaluation.protocol}-{evaluation.embedding}-{_digest(content, 8)}"


def _digest(content: dict[str, Any], length: int) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
