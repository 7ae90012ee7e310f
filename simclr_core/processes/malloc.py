"""Setting of the C library's allocator: freed memory stays with the process."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Make glibc keep the memory that tensors free; with another C library nothing changes.

    Each step frees memory that the next step needs again. glibc returns large blocks to the system at once, and the
    system fills every new page with zeros, which takes a tenth to a quarter of a step on a CPU. With this setting a
    process holds the most memory that it ever needed, until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_MMAP_MAX, 0)
