"""The mechanism of the configuration: fields with valid values, reading and overriding by dotted key, error messages.

A configuration is a tree of dataclass nodes. If the metadata of a field have ``variants``, the field holds a node of
one of several classes, and the node's own field ``name`` says which class. A field may be in use only under certain
values of other fields of its node; the field declares these values with ``only``. ``identity`` computes the ids.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
import sys
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from formats.names import expected, nearest

LARGEST = {int: 2**31 - 1, float: 1e38}
"""Bounds of numbers whose field declares no upper bound: the largest that float32 and the result tables can hold."""
LARGEST_SEED = 2**63 - 1
"""The largest seed, which a table's integer column can hold."""
Scalar = bool | int | float | str
Conditions = Mapping[str, Container[Scalar]]
Node = TypeVar("Node")


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, one line per fault, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Above:
    """The numbers above ``bound``, for a condition of ``only``."""

    bound: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value > self.bound


def option(
    default: Scalar,
    *,
    choices: Collection[str] | None = None,
    numbered: str = "",
    low: float | None = None,
    high: float | None = None,
    only: Conditions | None = None,
    neutral: Scalar | None = None,
) -> Any:
    """Declare a field: its default, its valid values, and the values of other fields under which it is in use.

    ``numbered`` begins further choices, which end in a number: ``head_`` allows ``head_1`` to ``head_999``.
    A number without ``high`` is bounded by ``LARGEST``. ``neutral`` is the value that reproduces runs made before the
    field existed; with that value ``identity`` leaves the field out. ``only`` maps names of other fields of the node to
    the values under which this field is in use.
    """
    high = LARGEST.get(type(default)) if high is None else high
    metadata = {"choices": choices, "numbered": numbered, "low": low, "high": high, "only": only or {}}
    return field(default=default, metadata=metadata | {"neutral": neutral})


def holds(node: Any, conditions: Conditions) -> bool:
    """Whether every named field of the node has one of the values given for it."""
    return all(getattr(node, name) in values for name, values in conditions.items())


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yield every leaf as (dotted key, value), including fields that are not in use."""
    for f in fields(node):
        value = getattr(node, f.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def keys_of(kind: type) -> tuple[str, ...]:
    """Return the dotted keys of all leaves of a class of nodes, for all variants."""
    return tuple(dict.fromkeys(_keys(kind, _variants(kind))))


def _variants(kind: type) -> tuple[type, ...]:
    return tuple(each for f in fields(kind) for each in f.metadata.get("variants", {}).values())


@functools.cache
def _keys(kind: type, variants: tuple[type, ...]) -> tuple[str, ...]:  # noqa: ARG001 - the cache tells by them
    keys: list[str] = []
    for f in fields(kind):
        below = _classes_of(f)
        keys += [f"{f.name}.{key}" for each in below for key in keys_of(each)] if below else [f.name]
    return tuple(keys)


def _classes_of(f: Field[Any]) -> tuple[type, ...]:
    """Return the classes of nodes that a field may hold; empty for a leaf."""
    if "variants" in f.metadata:
        return tuple(f.metadata["variants"].values())
    return () if f.default_factory is MISSING else (f.default_factory().__class__,)


def _coerce(value: object, f: Field[Any], key: str) -> Scalar:
    """Return ``value`` as the field's type (1 and 1.0 are the same number); raises ConfigError for another type."""
    kind = type(f.default)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is int and (isinstance(value, int) or value.is_integer()):
            return int(value)
        if kind is float and abs(value) <= sys.float_info.max:
            return float(value)
    raise ConfigError([f"{key} = {value!r}: expected {_article(kind.__name__)}"])


def _article(kind: str) -> str:
    return {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a word"}[kind]


def _check(value: Any, f: Field[Any], key: str) -> list[str]:
    meta = f.metadata
    if choices := meta.get("choices"):
        if value not in choices and not _is_numbered(value, f):
            return [f"{key} = {value!r}: {expected(value, _listed(f))}"]
        return []
    low, high = meta.get("low"), meta.get("high")
    if low is not None and value < low:
        return [f"{key} = {value!r}: expected at least {_number(low)}"]
    if high is not None and value > high:
        return [f"{key} = {value!r}: expected at most {_number(high)}"]
    return []


def _is_numbered(value: str, f: Field[Any]) -> bool:
    numbered = f.metadata.get("numbered")
    return bool(numbered and re.fullmatch(re.escape(numbered) + "[1-9][0-9]{0,2}", value))


def _listed(f: Field[Any]) -> list[str]:
    """The choices of a field; of numbered ones the first two."""
    numbered = f.metadata.get("numbered")
    return [*f.metadata["choices"], *([f"{numbered}1", f"{numbered}2", "..."] if numbered else [])]


def _number(bound: float) -> str:
    """Format a bound; integers in full: 2147483647, not 2.14748e+09."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def valid_values(kind: type, key: str) -> str:
    """Describe the valid values of a leaf by its dotted key: the choices, or ``an integer from 1 to 9``."""
    f = _leaves(kind, key)[0]
    if chooses(kind, key):
        return ", ".join(_field(kind, key.partition(".")[0]).metadata["variants"])
    if f.metadata.get("choices"):
        return ", ".join(_listed(f))
    low, high = (f.metadata.get(end) for end in ("low", "high"))
    words = _article(type(f.default).__name__)
    return words if low is None or high is None else f"{words} from {_number(low)} to {_number(high)}"


def _leaves(kind: type, key: str) -> list[Field[Any]]:
    """Return the fields that a dotted key may mean, one per variant that has the key; empty for an unknown key."""
    *parents, name = key.split(".")
    classes: tuple[type, ...] = (kind,)
    for parent in parents:
        classes = tuple(below for each in classes for f in fields(each) if f.name == parent for below in _classes_of(f))
    return [f for each in classes for f in fields(each) if f.name == name]


@functools.cache
def leaf_fields(kind: type) -> tuple[Field[Any], ...]:
    """Return the fields of a class of nodes that hold values."""
    return tuple(f for f in fields(kind) if f.default_factory is MISSING)


@functools.cache
def node_names(kind: type) -> tuple[str, ...]:
    """Return the names of the fields of a class of nodes that hold nodes."""
    return tuple(f.name for f in fields(kind) if f.default_factory is not MISSING)


def node_class(kind: type, name: str, content: Mapping[str, Any]) -> type:
    """Return the class of the node ``name`` that has this content; raises KeyError for an unknown variant."""
    f = _field(kind, name)
    found: type = f.metadata["variants"][content["name"]] if "variants" in f.metadata else _classes_of(f)[0]
    return found


def leaf_values(node: Any) -> tuple[Scalar, ...]:
    """Return the values of the node's own leaf fields, in the order of ``leaf_fields``."""
    return _reader(node.__class__)(node)


@functools.cache
def _reader(kind: type) -> Callable[[Any], tuple[Scalar, ...]]:
    """Return a function that reads all leaf fields in one call; reading fields takes most of a grid's planning time."""
    names = [f.name for f in leaf_fields(kind)]
    if len(names) == 1:  # of one name, an attrgetter gives the bare value
        return lambda node: (getattr(node, names[0]),)
    return operator.attrgetter(*names)


def field_problems(node: Any, prefix: str = "") -> list[str]:
    """List the invalid values of a node and of the nodes below it, field by field."""
    below = (field_problems(getattr(node, name), f"{prefix}{name}.") for name in node_names(node.__class__))
    return [*itertools.chain.from_iterable(below), *_leaf_problems(node.__class__, prefix, *leaf_values(node))]


@functools.lru_cache(maxsize=4096, typed=True)  # a grid of thousands of cells has few different nodes
def _leaf_problems(kind: type, prefix: str, *values: Scalar) -> tuple[str, ...]:
    leaves = zip(leaf_fields(kind), values, strict=True)
    return tuple(problem for f, value in leaves for problem in _check(value, f, f"{prefix}{f.name}"))


def override(config: Node, values: Mapping[str, object]) -> Node:
    """Return a copy with dotted keys set, each value converted to its field's type; valid ranges are not checked.

    A new ``name`` of a node with variants changes the node's class; the fields that both classes have keep their
    values. A key that only another variant has must have a value of its field's type, and changes nothing. Raises
    ConfigError for all unknown keys, with the nearest valid keys, and for all values of the wrong type.
    """
    kind: type = config.__class__
    valid = keys_of(kind)
    problems: list[str] = []
    for key, value in sorted(values.items(), key=lambda item: not chooses(kind, item[0])):  # stable: choices first
        if key not in valid:
            problems.append(f"{key}: no such setting{nearest(key, valid)}")
            continue
        try:
            config = _set(config, key.split("."), value, key)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


def read_value(kind: type, key: str, value: object) -> Scalar:
    """Return ``value`` as the type of the leaf ``key``, in any variant; raises ConfigError for an invalid value."""
    if chooses(kind, key):
        return _choice(_field(kind, key.partition(".")[0]), value, key)
    found = _leaves(kind, key)
    if not found:
        raise ConfigError([f"{key}: no such setting{nearest(key, keys_of(kind))}"])
    read = _coerce(value, found[0], key)
    if problems := min((_check(read, f, key) for f in found), key=len):  # of several variants one has to allow it
        raise ConfigError(problems)
    return read


def chooses(kind: type, key: str) -> bool:
    """Whether a dotted key is the ``name`` of a node with variants, and so chooses the node's class."""
    node, _, name = key.partition(".")
    return name == "name" and any(f.name == node and "variants" in f.metadata for f in fields(kind))


def _choice(f: Field[Any], value: object, key: str) -> str:
    variants = f.metadata["variants"]
    if not isinstance(value, str) or value not in variants:
        raise ConfigError([f"{key} = {value!r}: {expected(value, variants)}"])
    return value


def _field(kind: type, name: str) -> Field[Any]:
    (f,) = (f for f in fields(kind) if f.name == name)
    return f


def _set(node: Any, path: list[str], value: object, key: str) -> Any:
    name, *rest = path
    if not rest:
        return replace(node, **{name: _coerce(value, _field(node.__class__, name), key)})
    f, below = _field(node.__class__, name), getattr(node, name)
    variants = f.metadata.get("variants", {})
    if variants and rest == ["name"]:
        chosen = variants[_choice(f, value, key)]
        kept = {each.name for each in fields(chosen)} - {"name"}
        shared = {each.name: getattr(below, each.name) for each in fields(below) if each.name in kept}
        return replace(node, **{name: chosen(**shared)})
    if variants and rest[0] not in {each.name for each in fields(below)}:
        read_value(node.__class__, f"{name}.{'.'.join(rest)}", value)
        return node
    return replace(node, **{name: _set(below, rest, value, key)})
