"""Arrays that are kept between runs in the cache folder. No run fails if the cache cannot be written."""

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
    """Return the array cached as ``name`` in ``folder``; build and cache it if it is missing, damaged or misshapen.

    The file is written under a temporary name and then renamed, so two processes may build the same array at once. If
    there is no folder, or the folder cannot be written to, one line on stderr says so, once per process.
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
