"""Readers of single entries of a grid file; an entry of the wrong type or value is recorded as a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from formats.names import expected
from simclr_core.config.options import LARGEST, LARGEST_SEED, ConfigError, Scalar, read_value
from simclr_core.config.schema import RunConfig


def shown(path: Path) -> str:
    """Return a path for a message: relative to the working directory if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


class Entries:
    """Reads the entries of one file and collects ``problems``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        """Record one problem of this file."""
        self.problems.append(f"{shown(self.path)}: {text}")

    def _any_mapping(self, raw: Any, place: str) -> Mapping[str, Any]:
        if isinstance(raw, Mapping):
            content: dict[str, Any] = {}
            for key, value in raw.items():
                if str(key) in content:
                    self.problem(f"{place}: the key {str(key)!r} stands twice, with and without quotes")
                content[str(key)] = value
            return content
        self.problem(f"{place} = {raw!r}: expected a mapping")
        return {}

    def _mapping(self, raw: Any, place: str, known: Sequence[str], required: Sequence[str] = ()) -> Mapping[str, Any]:
        prefix = f"{place}." if place else ""
        content = self._any_mapping(raw, place)
        for key in content:
            if key not in known:
                self.problem(f"{prefix}{key}: no such key; {expected(key, known)}")
        for key in required:
            if key not in content:
                self.problem(f"{prefix}{key}: missing")
        return {key: value for key, value in content.items() if key in known}

    def _text(self, value: Any, place: str) -> str:
        if isinstance(value, str):
            return value
        self.problem(f"{place} = {value!r}: expected a text")
        return ""

    def _flag(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            self.problem(f"{place} = {value!r}: expected true or false")
        return value is True

    def _list(self, raw: Any, place: str) -> list[Any]:
        if isinstance(raw, list):
            return raw
        self.problem(f"{place} = {raw!r}: expected a list")
        return []

    def _value(self, key: str, value: Any, place: str) -> Scalar | None:
        """Return the value as the setting's type; None, with a problem recorded at ``place``, if that is impossible."""
        if key == "seed":
            self.problem(f"{place}: seeds are listed under seeds")
            return None
        try:
            return read_value(RunConfig, key, value)
        except ConfigError as error:
            for problem in error.problems:
                self.problem(f"{place}{problem.removeprefix(key)}")
            return None

    def _overrides(self, raw: Any, place: str) -> dict[str, Scalar]:
        values = {
            key: self._value(key, value, f"{place}.{key}") for key, value in self._any_mapping(raw, place).items()
        }
        return {key: value for key, value in values.items() if value is not None}

    def _seeds(self, raw: Any, place: str) -> tuple[int, ...]:
        seeds = self._list(raw, place)
        if isinstance(raw, list) and not raw:
            self.problem(f"{place}: expected at least one seed")
        for i, seed in enumerate(seeds):
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                self.problem(f"{place}[{i}] = {seed!r}: expected an integer from 0 on")
            elif seed > LARGEST_SEED:
                self.problem(f"{place}[{i}] = {seed!r}: expected at most {LARGEST_SEED}")
            elif seed in seeds[:i]:
                self.problem(f"{place}[{i}] = {seed!r}: listed twice")
        return tuple(seed for seed in seeds if isinstance(seed, int))

    def _seconds(self, value: Any, place: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LARGEST[float]:
            return float(value)
        self.problem(f"{place} = {value!r}: expected seconds, above 0")
        return None
