"""The current time by the clock that stamps the files of a folder; the age of a file needs this clock."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path


class FileClock:
    """Reads the folder's clock once, from a temporary file, and then counts with this machine's monotonic clock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ahead_s: float | None = None  # of this machine's monotonic clock

    def now(self) -> float:
        """Return unix seconds; by this machine's clock if the folder cannot be written to."""
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
