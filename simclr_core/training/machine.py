"""The properties of a machine that the bits of a result depend on; a resume compares them."""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import torchvision

from simclr_core.processes.distributed import World


def environment(world: World) -> dict[str, str]:
    """Return versions, processor, threads, device and number of processes, as strings."""
    return {
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "num_threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else world.device.type,
        "num_processes": str(world.size),
    }


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return one line for each entry that changed, and one for a GPU, whose kernels do not guarantee the same bits."""
    changed = [f"{key}: {before.get(key)} -> {value}" for key, value in now.items() if before.get(key) != value]
    if now["device"] != "cpu":
        changed.append("device: GPU kernels sum in no fixed order")
    return changed


def _processor() -> str:
    """Return the model name of the CPU, where Linux states it."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
