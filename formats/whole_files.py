"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoSpaceError(OSError):
    """A file could not be written because its disk is full, or a quota or limit is reached."""

    def __str__(self) -> str:
        return f"no space left on {self.filename} ({self.strerror})"


class _Output:
    """A file to write to that keeps its first error: torch goes on after it, and ends with one of its own making."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        with self._noting():
            return self._file.write(content)

    def flush(self) -> None:
        with self._noting():
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def check(self) -> None:
        """Raises the first error."""
        if self.error:
            raise self.error from None

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            raise


@contextlib.contextmanager
def written_whole(path: Path, previous: Path | None = None, *, lasting: bool = True) -> Iterator[Any]:
    """A file beside ``path`` to write bytes to; in the end it takes that place, what was there that of ``previous``.

    ``lasting``: the content is on the disk before the name is; not needed for what can be made again in large numbers.
    If anything fails, all is as it was before. Raises NoSpaceError for a full disk, and other OSErrors as they are.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path):
            with os.fdopen(handle, "wb") as file:
                output = _Output(file)
                try:
                    yield output
                finally:
                    output.check()
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
            # mkstemp's 0600 would hide results from a group that shares the store
            Path(temporary).chmod(0o666 & ~_UMASK)
            if previous:
                with contextlib.suppress(FileNotFoundError):
                    path.replace(previous)
            Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raises NoSpaceError with the file that a full disk has stopped, which the system does not name."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpaceError(error.errno, os.strerror(error.errno), str(path)) from None
        raise


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()
