"""Memory that one step frees serves the next: no page comes anew from the system.

In two halves, since a fresh interpreter takes seconds to load torch: what the setting does to the C library's memory,
and that tensors have theirs from there.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest
import torch

FAULTS = """
import resource
from simclr_core.processes.malloc import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = [b"x" * 2**20 for _ in range(4)]
    del large
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = [faults() for _ in range(3)][-1]
keep_freed_memory()
print(without, [faults() for _ in range(5)][-1])
"""
ONLY_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")


@ONLY_GLIBC
def test_freed_memory_is_used_again() -> None:
    """In a process of its own, whose settings end with it; the first rounds find where the pieces fit."""
    done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    without, kept = map(int, done.stdout.split())

    assert without > 500
    assert kept < without / 100


class _Mallinfo2(ctypes.Structure):
    """glibc's malloc.h, whose names for the two that count are hblkhd and uordblks."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*"abcd", "mapped", *"ef", "in_heap", *"gh")]


@ONLY_GLIBC
def test_tensors_live_in_the_c_librarys_memory() -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("glibc before 2.33 does not say how much is in use")
    library.mallinfo2.restype = _Mallinfo2

    def in_use() -> int:
        info = library.mallinfo2()
        return int(info.in_heap + info.mapped)

    before = in_use()
    tensor = torch.empty(2**22, dtype=torch.uint8)
    assert 0 <= in_use() - before - tensor.nbytes < 2**16
    del tensor
    assert abs(in_use() - before) < 2**16
