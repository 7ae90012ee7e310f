"""Arrays kept between runs in the cache folder. It is a convenience: no run fails because nothing can be kept."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from formats.whole_files import written_whole

Array = npt.NDArray[Any]


def cached_array(
    folder: Path | None, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, build: Callable[[], Array]
) -> Array:
    """The array kept as ``name`` in ``folder``; built and kept if there is none, or one that is damaged or misshapen.

    It is written beside its place and renamed into it, so two processes may build the same one at once. Where there
    is no folder, or nothing can be written to it, that is said on stderr, once in a process.
    """
    if folder is None:
        _tell("no folder to keep decoded images in: HOME is not set, and the user has no entry that names one")
        return build()
    path = folder / name
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept: Array = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == dtype:
            return kept
    built = build()
    try:
        with written_whole(path) as file:
            np.save(file, built, allow_pickle=False)
    except OSError as error:
        _tell(f"decoded images cannot be kept in {folder} ({error.strerror or error})")
    return built


@functools.cache
def _tell(what: str) -> None:
    advice = "set runtime.cache_dir (ablate: --cache-dir) to a folder that can be written"
    sys.stderr.write(f"{what}; every process decodes them anew; {advice}\n")
