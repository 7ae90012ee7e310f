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
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from simclr_core.config import EvalConfig, RunConfig
from simclr_core.options import Conditions, Scalar, holds

CONFIG_VERSION = 1
EVAL_VERSION = 1


class _Leaf(NamedTuple):
    name: str
    is_node: bool
    is_float: bool
    only: Conditions
    neutral: Scalar | None
    neutral_under: Conditions


@functools.cache
def _leaves(kind: type) -> tuple[_Leaf, ...]:
    """What ``canonical`` asks of every field of a class, looked up once: grids have thousands of cells."""
    return tuple(
        _Leaf(
            f.name,
            f.default_factory is not MISSING,
            type(f.default) is float,
            f.metadata.get("only", {}),
            f.metadata.get("neutral"),
            f.metadata.get("neutral_under", {}),
        )
        for f in fields(kind)
    )


def canonical(node: Any, *, neutrals: bool = False) -> dict[str, Any]:
    """The fields in use, as nested plain values: what determines the result and nothing else.

    ``neutrals``: with those that are left out for having their neutral value, for people to read.
    """
    out: dict[str, Any] = {}
    for leaf in _leaves(node.__class__):
        value = getattr(node, leaf.name)
        if leaf.is_node:
            out[leaf.name] = canonical(value, neutrals=neutrals)
            continue
        if leaf.only and not holds(node, leaf.only):
            continue
        if neutrals or leaf.neutral is None or value != leaf.neutral or not holds(node, leaf.neutral_under):
            out[leaf.name] = float(value) if leaf.is_float else value  # 1 and 1.0 are one number
    return out


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
