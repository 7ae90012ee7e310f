"""Questions to git about code. "No repository" and "git gives no answer" are different results."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ablations.errors import UserError

TIMEOUT_S = 60.0
"""A large repository on a slow file system takes seconds."""


class GitError(UserError):
    """Git failed; one problem, with git's message."""


def is_tracked(path: Path) -> bool:
    """Whether a file belongs to a repository; raises GitError if there is a repository and git gives no answer."""
    path = path.resolve()
    if not any(os.path.lexists(folder / ".git") for folder in path.parents):
        return False
    return _run(path.parent, "ls-files", "--error-unmatch", path.name, unless=1) is not None


def run(folder: Path, *arguments: str, **environment: str) -> str:
    """Return what git prints in a folder, with these environment variables; raises GitError if git fails."""
    printed = _run(folder, *arguments, unless=None, **environment)
    assert printed is not None
    return printed


def _run(folder: Path, *arguments: str, unless: int | None, **environment: str) -> str | None:
    """Return what git prints; None if git exits with the code ``unless``."""
    # a look at the code is no reason to write its index, which other jobs read
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise GitError([f"git {arguments[0]} did not answer within {TIMEOUT_S:.0f} s"]) from None
    except UnicodeDecodeError:
        raise GitError([f"git {arguments[0]} printed what is not UTF-8"]) from None
    except OSError as error:
        raise GitError([f"git cannot be started: {error.strerror}"]) from None
    if done.returncode == unless:
        return None
    if done.returncode:
        said = " ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise GitError([said or f"git {arguments[0]} ended with exit code {done.returncode}"])
    return done.stdout
