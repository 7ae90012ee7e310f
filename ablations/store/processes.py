"""Which process has claimed something, and whether it is gone. Numbers of processes are given out again."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What tells this process from every other: for a record that ``is_gone`` reads."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "namespace": _namespace(), "started": _started(pid)}


def is_gone(record: Mapping[str, Any]) -> bool | None:
    """Whether the process of a record has ended; None where nobody here can tell.

    On the same host alone, and among processes that see one another: two containers may share a host's name, and each
    has a process 7.
    """
    if record["host"] != socket.gethostname() or record.get("namespace", "") not in ("", _namespace()):
        return None
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    known, found = record.get("started", ""), _started(record["pid"])
    return None if "" in (known, found) else known != found


def _namespace() -> str:
    """Of process numbers; "" where the system has no such thing."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The boot and the clock tick at which a process started; "" where that is hidden, or the system is not Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return f"{boot} {status.rpartition(')')[2].split()[19]}"  # the name in parentheses may hold anything
