"""What the bits of a result depend on beside its configuration: a resume elsewhere is compared by it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import torchvision

from simclr_core.processes.distributed import World


def environment(world: World) -> dict[str, str]:
    """Versions, processor, threads, device and number of the processes, as words."""
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
    """One line for each entry that changed; on a GPU one more, as its kernels do not promise the same bits twice."""
    changed = [f"{key}: {before.get(key)} -> {value}" for key, value in now.items() if before.get(key) != value]
    if now["device"] != "cpu":
        changed.append("device: GPU kernels sum in no fixed order")
    return changed


def _processor() -> str:
    """The CPU's model name where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
