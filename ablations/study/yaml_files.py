"""YAML files as plain content: repeated keys are refused, ``1e-3`` is a number, and a date is text.

``load_texts`` keeps every scalar as the text in the file, for values that are passed on to a shell or a program.
"""

from __future__ import annotations

import itertools
import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from ablations.errors import GridError
from ablations.study.entries import shown

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is eight times as fast; not everywhere


class _Loader(_Parser):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, str] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                is_merge = key.tag == "tag:yaml.org,2002:merge"
                meant = (key.tag, key.value) if is_merge else self.construct_object(key)
                if meant in seen:  # as 1 and 1.0, which are one key of a dict, or 1 and true
                    twice = seen[meant] == key.value
                    what = f"the key {seen[meant]!r} stands twice" + ("" if twice else f", also as {key.value!r}")
                    raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
                seen[meant] = key.value
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep=deep)
        try:  # PyYAML lets its own errors out, as of int("") for 0b_, and Python those of 5,000 digits
            value = super().construct_object(node, deep=deep)
            str(value)
        except (ValueError, LookupError):
            what = f"{reprlib.repr(node.value)} cannot be read as {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None
        return value


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Parser.yaml_implicit_resolvers.items()
}
# YAML 1.1, which PyYAML reads, asks for a point and for a sign: 1.0e-3
_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


class Plain(str):
    """A text that has no quotes in the file and is displayed without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    @property
    def is_nothing(self) -> bool:
        """Whether YAML reads this text as null."""
        return self in ("", "~", "null", "Null", "NULL")


class _Texts(_Loader):
    """A loader that keeps every scalar, value or key, as it is written: ``yes``, ``3.10``, ``12:30:00``."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"  # 1 and "1" are one key
        return super().construct_mapping(node, deep=deep)


def _as_written(_: Any, node: yaml.ScalarNode) -> str:
    return str(node.value) if node.style else Plain(node.value)


for _kind in ("bool", "float", "int", "merge", "null", "str", "value"):
    _Texts.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)


MOST_ENTRIES = 1_000_000
"""The largest number of entries after aliases are expanded; nested aliases could fill the memory."""


def load_yaml(path: Path) -> Any:
    """Return the plain content of a YAML file; raises GridError naming the line that cannot be read."""
    return _load(path, _Loader)


def load_texts(path: Path) -> Any:
    """Return a YAML file as mappings, lists and texts, ``Plain`` if unquoted; raises what ``load_yaml`` raises."""
    return _load(path, _Texts)


def _load(path: Path, loader: type[_Loader]) -> Any:
    try:
        content = _content(path.read_text(encoding="utf-8"), loader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}:" if error.problem_mark else ""
        raise GridError([f"{shown(path)}:{line} {error.problem or error.context}"]) from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise GridError([f"{shown(path)}: cannot be read as YAML: {str(error).splitlines()[0]}"]) from None
    except RecursionError:
        raise GridError([f"{shown(path)}: an alias stands within its own anchor, or the nesting is too deep"]) from None
    return content


def _content(text: str, loader: type[_Loader]) -> Any:
    """Build the content of a document unless its aliases make it too large; raises YAMLError or RecursionError."""
    reader = loader(text)
    try:
        document = reader.get_single_node()
        if document is None:
            return None
        if _size(document, {}) > MOST_ENTRIES:
            raise yaml.YAMLError(f"more than {MOST_ENTRIES:,} entries, with those that aliases stand for")
        return reader.construct_document(document)
    finally:
        reader.dispose()


def _size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Count the nodes from this one down, repeated as often as aliases repeat them."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in known:
        parts = node.value if isinstance(node, yaml.SequenceNode) else itertools.chain.from_iterable(node.value)
        known[node] = 1 + sum(_size(part, known) for part in parts)
    return known[node]
