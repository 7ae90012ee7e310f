"""Memory that one step frees serves the next: no page comes anew from the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from simclr_core.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = [torch.ones(2**22) for _ in range(4)]  # 16 MiB each
    del large
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = [faults() for _ in range(3)][-1]
keep_freed_memory()
print(without, [faults() for _ in range(30)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_memory_is_used_again() -> None:
    """In a process of its own, whose settings end with it; the first rounds find where the pieces fit."""
    done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    without, kept = map(int, done.stdout.split())

    assert without > 1000
    assert kept < without / 100
