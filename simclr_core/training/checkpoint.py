"""Checkpoints: written whole or not at all, with a checksum of their content; the previous one is kept.

A checkpoint is a dictionary of numbers, strings and tensors, and is read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from formats.whole_files import written_whole

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"

_PLAIN = (bool, int, float, str, type(None))

State = dict[str, Any]


def save(run_dir: Path, state: State) -> None:
    """Write ``state`` as the newest checkpoint; the newest one so far becomes the previous one.

    Raises NoSpaceError if the disk is full, and leaves both files unchanged.
    """
    write(run_dir / NAME, state, previous=run_dir / PREVIOUS)


def write(path: Path, state: State, previous: Path | None = None) -> str:
    """Write ``state`` as a file that ``read`` reads; its checksum. ``previous`` is where the file that was there goes.

    Raises NoSpaceError where the disk is full, and leaves all as it was.
    """
    sha256 = checksum(state)
    with written_whole(path, previous=previous) as file:
        torch.save(state | {"sha256": sha256}, file)
    return sha256


def load(run_dir: Path) -> State | None:
    """Return the newest checkpoint if it is whole, else the previous one, else None."""
    for name in (NAME, PREVIOUS):
        if (state := read(run_dir / name)) is not None:
            return state
    return None


def read(path: Path) -> State | None:
    """Return the content of a checkpoint file, on the CPU; None if the file is missing, damaged or changed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    return {key: value for key, value in state.items() if key != "sha256"} if is_whole(state) else None


def is_whole(content: Any) -> bool:
    """Whether the content of a file is what ``write`` wrote: its checksum says so."""
    if not isinstance(content, dict):
        return False
    state = {key: value for key, value in content.items() if key != "sha256"}
    try:
        return content.get("sha256") == checksum(state)
    except TypeError:  # something that we never write
        return False


def drop_previous(run_dir: Path) -> None:
    """Remove the previous checkpoint, at the end of a run."""
    (run_dir / PREVIOUS).unlink(missing_ok=True)


def checksum(content: Any) -> str:
    """Return the SHA-256 of a nested structure: keys in order, bits of tensors, text of other values.

    Raises TypeError for content that ``weights_only=True`` would not read.
    """
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, content: Any) -> None:
    if isinstance(content, torch.Tensor):
        digest.update(f"{content.dtype}{tuple(content.shape)}".encode())
        digest.update(content.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(content, dict):
        for key, value in content.items():
            digest.update(f"{{{key!r}:".encode())
            _feed(digest, value)
    elif isinstance(content, list | tuple):
        digest.update(f"[{len(content)}".encode())
        for value in content:
            _feed(digest, value)
    elif type(content) in _PLAIN:
        digest.update(f"{type(content).__name__}:{content!r};".encode())
    else:
        raise TypeError(f"a checkpoint holds tensors and plain values, not {type(content)}: it could not be read back")
