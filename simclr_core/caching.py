"""What is kept between runs in the cache folder: arrays, and the fingerprint of each data set at its first use."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from simclr_core.data_error import DataError
from simclr_core.records import read_json, write_json

Array = npt.NDArray[Any]


def cached_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, build: Callable[[], Array]) -> Array:
    """The array kept at ``path``; built and kept if there is none, or one that is damaged or of another shape.

    It is written beside its place and renamed into it, so two processes may build the same one at once. Raises
    DataError if it cannot be written, and then nothing is left behind.
    """
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept: Array = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == dtype:
            return kept
    built = build()
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                np.save(file, built, allow_pickle=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return built


def check_fingerprint(path: Path, key: str, what: str, fingerprint: str) -> None:
    """Records the content under ``key`` at first use; DataError saying ``what`` has changed if it has since."""
    try:
        known: dict[str, str] = read_json(path) if path.exists() else {}
    except ValueError as error:
        raise DataError([f"{path}: damaged ({error}); remove it, and contents are recorded anew"]) from None
    if key not in known:
        # Two first uses at once may lose one of the two entries, which the next use records again.
        with _writing(path):
            write_json(path, known | {key: fingerprint})
    elif known[key] != fingerprint:
        advice = "raise data.version, or give the new content another name"
        raise DataError([f"{what} have changed since {path} recorded them; {advice}"])


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "free some space, or set cache_dir to a folder that has it"
        raise DataError([f"{path}: cannot be written ({error.strerror or error}); {advice}"]) from None
