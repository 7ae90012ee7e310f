"""One golden file: its arrays, its hyper-parameters, and what to say where they are not as they should be."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from formats.names import nearest


class GoldenError(ValueError):
    """A file that cannot be compared: what is wrong with it, and where."""


class Settings(dict[str, Any]):
    """Hyper-parameters by name; a missing one is a GoldenError."""

    def __init__(self, file_name: str, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.file_name = file_name

    def __missing__(self, key: str) -> Any:
        raise GoldenError(f"{self.file_name}: hp_json has no {key!r}{nearest(key, list(self))}")


class Golden:
    """A file's arrays by name, and its hyper-parameters in ``hp``; raises GoldenError for what is not there."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.family = path.stem[:2]
        self.arrays = _read(path)
        if "hp_json" not in self.arrays:
            raise GoldenError(f"{path.name}: no array 'hp_json', which holds the hyper-parameters")
        try:
            values = json.loads(str(self.arrays.pop("hp_json")))
        except ValueError as error:
            raise GoldenError(f"{path.name}: hp_json is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise GoldenError(f"{path.name}: hp_json is {type(values).__name__}, expected a table of hyper-parameters")
        self.hp = Settings(path.name, values)

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __getitem__(self, key: str) -> NDArray[Any]:
        if key not in self.arrays:
            raise GoldenError(f"{self.name}.npz: no array {key!r}{nearest(key, list(self.arrays))}")
        return self.arrays[key]

    def tensor(self, key: str) -> Tensor:
        """An array as float64: the precision that the comparisons are made in."""
        return torch.from_numpy(self[key]).double()

    def scalar(self, key: str) -> Any:
        """A number that is an array of its own or, in files without that, a hyper-parameter."""
        return self[key].item() if key in self else self.hp[key]

    def table(self) -> list[dict[str, int]]:
        """The rows of a table of counts, by column name."""
        return [dict(zip(self["columns"].tolist(), row, strict=True)) for row in self["table"].tolist()]

    def unpacked(self, prefix: str) -> dict[str, Tensor]:
        """Tensors by name that are stored end to end: ``<prefix>_names``, ``_shapes`` (zeros at the end), ``_flat``."""
        flat, start, tensors = self.tensor(f"{prefix}_flat"), 0, {}
        shapes = self[f"{prefix}_shapes"].tolist()
        for name, padded in zip(self[f"{prefix}_names"].tolist(), shapes, strict=True):
            shape = [side for side in padded if side]
            size = int(np.prod(shape))
            tensors[name] = flat[start : start + size].reshape(shape)
            start += size
        return tensors


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise GoldenError(f"{path.name}: is no archive of arrays (.npz), or a damaged one")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise GoldenError(f"{path.name}: cannot be read ({error})") from error
