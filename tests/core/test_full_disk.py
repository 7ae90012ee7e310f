"""A disk that is full, or a quota that is used up: the file is named, and what was there stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

from formats import whole_files
from formats.whole_files import NoSpaceError, written_whole
from simclr_core.records import append_jsonl, read_json, write_json
from simclr_core.training import checkpoint

FillAfter = Callable[[int], None]


class Disk:
    """A file that takes so many bytes more, and then has no space."""

    def __init__(self, file: Any, space: int) -> None:
        self._file, self._space = file, space

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        self._file.write(content[: self._space])
        self._space -= len(content)
        if self._space < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.fixture
def fill_after(monkeypatch: pytest.MonkeyPatch) -> FillAfter:
    """Let files that are written whole have so many bytes."""
    fdopen = os.fdopen

    def fill_after(space: int) -> None:
        monkeypatch.setattr(whole_files.os, "fdopen", lambda *arguments: Disk(fdopen(*arguments), space))

    return fill_after


@pytest.mark.parametrize("missing", [1, 30, 5000, 40_000], ids=["at the end", "in the end", "in the middle", "at once"])
def test_a_checkpoint_that_does_not_fit_leaves_those_before(
    missing: int, tmp_path: Path, fill_after: FillAfter
) -> None:
    """Torch swallows the error in the midst of its tensors, and in the last lines of its archive."""
    for step in range(2):
        checkpoint.save(tmp_path, {"step": step, "weights": torch.zeros(10_000)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fill_after(max(0, (tmp_path / checkpoint.NAME).stat().st_size - missing))

    with pytest.raises(NoSpaceError) as caught:
        checkpoint.save(tmp_path, {"step": 2, "weights": torch.zeros(10_000)})
    assert str(caught.value) == f"no space left on {tmp_path / checkpoint.NAME} (No space left on device)"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_records_that_do_not_fit_leave_those_before(tmp_path: Path, fill_after: FillAfter) -> None:
    path, array = tmp_path / "a.json", tmp_path / "a.npy"
    write_json(path, ["before"])
    fill_after(10)

    with pytest.raises(NoSpaceError, match=r"no space left on .*a\.json"):
        write_json(path, ["after", "that"])
    with pytest.raises(NoSpaceError, match=r"no space left on .*a\.npy"), written_whole(array) as file:
        np.save(file, np.zeros(1000))
    assert read_json(path) == ["before"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_line_that_does_not_fit_is_not_there_in_part(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    append_jsonl(path, {"step": 1})
    before = path.read_bytes()
    open_file = Path.open

    def in_parts(self: Path, *arguments: Any, **options: Any) -> Any:
        file = open_file(self, *arguments, **options)

        class Full:
            def write(self, content: bytes) -> int:
                if len(content) < 10:
                    raise OSError(code, os.strerror(code))
                return int(file.write(content[:5]))

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

        return Full()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", in_parts)
        with pytest.raises(NoSpaceError) as caught:
            append_jsonl(path, {"step": 2})
    assert str(caught.value) == f"no space left on {path} ({os.strerror(code)})"
    assert path.read_bytes() == before


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "file" / "a.json", [])
    with pytest.raises(TypeError, match="it could not be read back"):
        checkpoint.save(tmp_path, {"what": object()})
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_checkpoint_of_something_else_is_none(tmp_path: Path) -> None:
    for content in ([1], {"a": {1, 2}}, {"sha256": "0"}):
        torch.save(content, tmp_path / checkpoint.NAME)
        assert checkpoint.read(tmp_path / checkpoint.NAME) is None
