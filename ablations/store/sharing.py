"""A store that several users share: each user must be able to read and change the files of the others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablations.errors import UserError

_ROOT_FOLDERS = (".declared", ".submissions")


def check(root: Path, folders: Iterable[Path]) -> None:
    """Raise UserError if this user may not write to the store or to these folders of it, which may not exist yet."""
    folders = list(folders)
    if not folders or not root.is_dir():
        return  # nothing will be written, or all will be this user's own
    paths = [root, *(root / name for name in _ROOT_FOLDERS), *_within(folders)]
    if held := [path for path in paths if path.exists() and not _may_change(path)]:
        raise UserError([denied(held, "change")])


def denied(paths: Sequence[Path], do: str) -> str:
    """Return the message about paths that this user may not read or change; ``do`` is the verb."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return (
        f"{paths[0]}{more}: you may not {do} {'these' if more else 'this'} ({_owned(paths[0])}); "
        "expected a store whose users have umask 002, in a folder of their group with the setgid bit "
        "(docs/slurm.md, A store for a group, says how to mend one)"
    )


def _within(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            for base, _, names in os.walk(folder):
                yield Path(base)
                yield from (Path(base, name) for name in names)


def _may_change(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _owned(path: Path) -> str:
    """Return mode and owner of a path, such as ``"drwxr-xr-x ada:vision"``."""
    while not os.access(path.parent, os.X_OK):  # the folder above hides it
        path = path.parent
    found = path.stat()
    names = []
    for number, name in ((found.st_uid, path.owner), (found.st_gid, path.group)):
        try:
            names.append(name())
        except KeyError:  # it has no name here
            names.append(str(number))
    return f"{stat.filemode(found.st_mode)} {':'.join(names)}"
