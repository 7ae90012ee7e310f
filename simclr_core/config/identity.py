"""The canonical JSON of a configuration, and the ids that are computed from it.

The JSON holds the resolved values of all fields in use, and no other field: two ways of writing the same experiment
give one run. The JSON is not a difference from the defaults: if a default changed, an old result would be taken for a
new one.

A field added after ``CONFIG_VERSION`` 1 declares ``neutral``, the value that reproduces older runs. The JSON leaves the
field out when it has that value, so that old results keep their ids. A neutral value never changes; a default may.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from simclr_core.config.options import Node, Scalar, holds, leaf_fields, leaf_values, node_class, node_names
from simclr_core.config.schema import EvalConfig, RunConfig

CONFIG_VERSION = 1
EVAL_VERSION = 1


def canonical(node: Any, *, neutrals: bool = False) -> dict[str, Any]:
    """Return the fields in use as nested plain values: everything that determines the result, and nothing else.

    With ``neutrals``, fields that have their neutral value are included, for people to read.
    """
    out = {name: canonical(getattr(node, name), neutrals=neutrals) for name in node_names(node.__class__)}
    return out | _canonical_leaves(node.__class__, neutrals, *leaf_values(node))


@functools.lru_cache(maxsize=4096, typed=True)  # a grid of thousands of cells has few different nodes
def _canonical_leaves(kind: type, neutrals: bool, *values: Scalar) -> dict[str, Any]:
    leaves = leaf_fields(kind)
    node = kind(**{leaf.name: value for leaf, value in zip(leaves, values, strict=True)})
    out: dict[str, Any] = {}
    for leaf, value in zip(leaves, values, strict=True):
        only, neutral = leaf.metadata.get("only", {}), leaf.metadata.get("neutral")
        if not holds(node, only):
            continue
        if neutrals or neutral is None or value != neutral:
            out[leaf.name] = float(value) if type(leaf.default) is float else value  # 1 and 1.0 are one number
    return out


def from_canonical(kind: type[Node], content: Mapping[str, Any]) -> Node:
    """Return the node for which ``canonical`` gave this content; fields that are not in use get their defaults.

    Raises KeyError if the content lacks a node or has a field of another version.
    """
    of: type = kind
    neutrals = {leaf.name: leaf.metadata.get("neutral") for leaf in leaf_fields(of)}
    if unknown := set(content).difference(node_names(of), neutrals):
        raise KeyError(*sorted(unknown))
    values = {name: neutral for name, neutral in neutrals.items() if neutral is not None}
    read: dict[str, Any] = {
        name: from_canonical(node_class(of, name, content[name]), content[name]) for name in node_names(of)
    }
    return kind(**values | dict(content) | read)


def run_id(config: RunConfig) -> str:
    """Return the run id: a readable prefix and 12 hexadecimal digits of a hash of the configuration, seed included."""
    return _run_id(config, _parts(config))


def run_ids(config: RunConfig, seeds: Iterable[int]) -> list[str]:
    """Return ``run_id`` of a configuration for each of the seeds, in little more time than for one seed."""
    parts = _parts(config)
    return [_run_id(config, parts | {"seed": str(seed)}) for seed in seeds]


def _run_id(config: RunConfig, parts: dict[str, str]) -> str:
    text = f'{{"config":{_joined(parts)},"config_version":{CONFIG_VERSION}}}'
    return f"{config.method.name}-{config.data.name}-{_digest(text, 12)}"


def cell_id(config: RunConfig) -> str:
    """Return the id of a configuration without its seed: runs that differ only in the seed belong to one cell."""
    parts = {name: text for name, text in _parts(config).items() if name != "seed"}
    return _digest(f'{{"config":{_joined(parts)},"config_version":{CONFIG_VERSION}}}', 12)


def eval_id(evaluation: EvalConfig) -> str:
    """Return the id of an evaluation, which is also the name of its result file."""
    return _eval_id(*leaf_values(evaluation))


@functools.lru_cache(maxsize=4096, typed=True)  # all runs of a grid have the same few
def _eval_id(*values: Scalar) -> str:
    evaluation = EvalConfig(*values)  # type: ignore[arg-type]
    text = f'{{"eval_version":{EVAL_VERSION},"evaluation":{_text(evaluation)}}}'
    return f"{evaluation.protocol}-{evaluation.embedding}-{_digest(text, 8)}"


def _text(node: Any) -> str:
    """Return ``canonical(node)`` as JSON with sorted keys and no blanks, joined from the cached texts of the nodes."""
    if not node_names(node.__class__):
        return _text_of_leaves(node.__class__, *leaf_values(node))
    return _joined(_parts(node))


def _parts(node: Any) -> dict[str, str]:
    """Return the JSON texts of the fields of a node that holds other nodes."""
    parts = {name: _text(getattr(node, name)) for name in node_names(node.__class__)}
    return parts | _texts_of_leaves(node.__class__, *leaf_values(node))


def _joined(parts: dict[str, str]) -> str:
    return "{" + ",".join([f'"{name}":{parts[name]}' for name in sorted(parts)]) + "}"


@functools.lru_cache(maxsize=4096, typed=True)
def _texts_of_leaves(kind: type, *values: Scalar) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in _canonical_leaves(kind, False, *values).items()}


@functools.lru_cache(maxsize=4096, typed=True)
def _text_of_leaves(kind: type, *values: Scalar) -> str:
    leaves = _canonical_leaves(kind, False, *values)
    return json.dumps(leaves, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
