"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
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
def written_whole(path: Path, previous: Path | None = None) -> Iterator[Any]:
    """A file beside ``path`` to write bytes to; in the end it takes that place, what was there that of ``previous``.

    If anything fails, all is as it was before. Raises NoSpaceError for a full disk, and other OSErrors as they are.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with _naming(path):
            with os.fdopen(handle, "wb") as file:
                output = _Output(file)
                try:
                    yield output
                finally:
                    output.check()
                file.flush()
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


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` atomically: a reader sees the old file or the new one, never a part.

    Raises ValueError for numbers that JSON has no word for (NaN, infinities), and NoSpaceError.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically. Raises NoSpaceError."""
    with written_whole(path) as file:
        file.write(text.encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises OSError, or ValueError for what is no JSON or nested too deeply for Python."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None


def append_jsonl(path: Path, line: dict[str, Any]) -> None:
    """Add one line to a JSON-lines file, flushed; the numbers must be finite. Raises NoSpaceError, and adds no part."""
    content = (json.dumps(line, allow_nan=False) + "\n").encode()
    with _naming(path):
        file = path.open("ab", buffering=0)
        with file:
            length = file.seek(0, os.SEEK_END)
            try:
                while content:
                    content = content[file.write(content) :]
            except OSError:
                file.truncate(length)
                raise


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Says which file a full disk has stopped, as the system does not."""
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
