"""Which process has claimed a run, and whether it still exists. The system reuses process numbers."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return a record that distinguishes this process from every other, for ``is_gone``."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "namespace": _namespace(), "started": _started(pid)}


def is_gone(record: Mapping[str, Any]) -> bool | None:
    """Whether the process of a record has ended; None if this process cannot find out.

    The answer is known only on the same host and in the same namespace of processes: two containers may have the same
    host name, and each may have a process 7.
    """
    if record["host"] != socket.gethostname() or record.get("namespace", "") not in ("", _namespace()):
        return None
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    if _status(record["pid"])[:1] in (["Z"], ["X"]):  # it has ended, and its parent has not asked how
        return True
    known, found = record.get("started", ""), _started(record["pid"])
    return None if "" in (known, found) else known != found


def _namespace() -> str:
    """Return the namespace of process numbers; "" if the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _status(pid: int) -> list[str]:
    """Return what the system says of a process, its state first; nothing if hidden, or if the system is not Linux."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name in parentheses may hold anything


def _started(pid: int) -> str:
    """Return the boot and the clock tick at which a process started; "" if hidden, or if the system is not Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    status = _status(pid)
    return f"{boot} {status[19]}" if status else ""
