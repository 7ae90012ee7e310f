"""Now, by the clock that gives the files of a folder their times: how old a file is cannot be told by another one."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path


class FileClock:
    """Asked once, by a file without a name; from then on this machine's own seconds are counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ahead_s: float | None = None  # of this machine's monotonic clock

    def now(self) -> float:
        """Unix seconds. Where nothing can be written, by the clock of this machine."""
        if self._ahead_s is None:
            self._ahead_s = self._asked() - time.monotonic()
        return self._ahead_s + time.monotonic()

    def _asked(self) -> float:
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                os.utime(file.fileno())  # a file server has its own time for now
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()
