"""Freed memory stays with the process that trains."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the C library reuse what tensors leave behind, where it is glibc; elsewhere nothing changes.

    Each step frees what the next one needs again. glibc gives large blocks back to the system at once, and every page
    that comes anew is filled with zeros first: a tenth to a quarter of a step on a CPU. A process then holds the most
    that it ever needed, until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_MMAP_MAX, 0)
