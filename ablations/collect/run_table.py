"""A table whose rows stand run by run: written anew by copying the rows of the runs that have not changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ablations.errors import UserError
from formats.whole_files import written_whole

Rows = Callable[[], str]
"""Makes the rows of a run, as text."""


class PartedTable:
    """A file that has a header and then the rows of one run after the other."""

    def __init__(self, path: Path, header: str, run_of: Callable[[bytes], str]) -> None:
        """``run_of`` tells the run that a line belongs to; "" for a line that is not one of this table's."""
        self.path = path
        self.lengths: list[tuple[str, int]] = []  # runs in the order of the file, and bytes of each one's rows
        self.stamp = ""  # of the file that the lengths are of
        self._header = header.encode()
        self._run_of = run_of

    @property
    def runs(self) -> list[str]:
        """The runs in the order of the table, also those that have no row."""
        return [run_id for run_id, _ in self.lengths]

    def recall(self, lengths: Sequence[tuple[str, int]], stamp: str) -> bool:
        """Take what was noted when the file was written; False if it is not the same file any more."""
        is_same = stamp == stamp_of(self.path)
        if is_same:
            self.lengths, self.stamp = [(run_id, length) for run_id, length in lengths], stamp
        return is_same

    def scan(self) -> None:
        """Find the runs of a file of which nothing was noted; none if it has another header, or is not there."""
        self.lengths, self.stamp = [], ""
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            if self._header and file.readline() != self._header:
                return
            self.stamp = _stamp(os.fstat(file.fileno()))
            last, length = "", 0
            for line in file:
                run_id = self._run_of(line)
                if run_id != last:
                    self.lengths.append((last, length))
                    last, length = run_id, 0
                length += len(line)
            self.lengths.append((last, length))

    def rewrite(self, parts: Sequence[tuple[str, Rows | None]]) -> bool:
        """Write the rows of these runs in this order; without ``Rows``, those that the run has in the table by now.

        False if the table stays as it is: it is not touched. Raises UserError if another process has replaced it.
        """
        if self.stamp and not any(rows for _, rows in parts) and [run_id for run_id, _ in parts] == self.runs:
            return False
        lengths: list[tuple[str, int]] = []
        self.stamp = replace(self.path, self._contents(parts, lengths))
        self.lengths = lengths
        return True

    def _contents(self, parts: Sequence[tuple[str, Rows | None]], lengths: list[tuple[str, int]]) -> Iterator[bytes]:
        yield self._header
        spans: dict[str, list[tuple[int, int]]] = {}
        offset = len(self._header)
        for run_id, length in self.lengths:
            spans.setdefault(run_id, []).append((offset, length))
            offset += length
        old = os.open(self.path, os.O_RDONLY) if self.stamp else None
        try:
            if old is not None and _stamp(os.fstat(old)) != self.stamp:
                raise UserError([f"{self.path}: was replaced while runs were collected into it; collect again"])
            for run_id, rows in parts:
                if rows is not None:
                    content = rows().encode(errors="replace")
                else:
                    assert old is not None
                    content = b"".join(os.pread(old, length, offset) for offset, length in spans[run_id])
                lengths.append((run_id, len(content)))
                yield content
        finally:
            if old is not None:
                os.close(old)


def replace(path: Path, contents: Iterable[bytes]) -> str:
    """Write a file piece by piece; readers see the old one or the new one. Returns the new one's stamp."""
    with written_whole(path) as file:
        for piece in contents:
            file.write(piece)
        file.flush()
        return _stamp(os.fstat(file.fileno()))


def stamp_of(path: Path) -> str:
    """The stamp of a file; "" where there is none."""
    try:
        return _stamp(path.stat())
    except OSError:
        return ""


def _stamp(found: os.stat_result) -> str:
    """What tells a file from any other that was there."""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
