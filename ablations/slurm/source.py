"""The code that jobs will run: its commit, what differs from it, and a copy that later edits do not reach."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import simclr_core
from ablations.errors import UserError
from ablations.store import git

_PACKAGES = ("ablations", "formats", "simclr_core")


@dataclass(frozen=True)
class Code:
    """Where the packages are imported from, and the repository that tracks them, if one does."""

    root: Path  # the folder that holds the packages
    repository: Path | None = None
    commit: str | None = None
    changes: tuple[str, ...] = ()  # as git status prints them
    problem: str = ""  # git's words where it does not say what is tracked, or has changed

    @property
    def is_installed(self) -> bool:
        """Whether the interpreter finds the packages by itself."""
        return self.repository is None and self.root.is_relative_to(sys.prefix)


def find_code() -> Code:
    """The code of this process. New files count as changes where Python would import them."""
    root = Path(simclr_core.__file__).resolve().parent.parent
    try:
        if not git.is_tracked(root / "simclr_core" / "__init__.py"):
            return Code(root)
        repository = Path(git.run(root, "rev-parse", "--show-toplevel").strip())
        commit = git.run(root, "rev-parse", "HEAD").strip()
        edited = git.run(repository, "status", "--porcelain", "--untracked-files=no").splitlines()
        new = git.run(root, "status", "--porcelain", "--untracked-files=all", "--", *_PACKAGES).splitlines()
    except git.GitError as error:
        return Code(root, problem=str(error))
    return Code(root, repository, commit, tuple(dict.fromkeys([*edited, *new])))


def diff(code: Code) -> str:
    """All changes as a patch to the commit, new files of the packages included; the index is left alone."""
    assert code.repository is not None
    with tempfile.TemporaryDirectory() as folder:
        environment = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run(code.repository, "read-tree", "HEAD", **environment)
        git.run(code.repository, "add", "--update", **environment)
        git.run(code.root, "add", "--", *_PACKAGES, **environment)
        return git.run(code.repository, "diff", "--cached", "--binary", "HEAD", **environment)


def snapshot(code: Code, folder: Path, patch: Path | None) -> Code:
    """A clone of the commit in ``folder``, with a patch applied; raises UserError where there is no repository."""
    if code.repository is None or code.commit is None:
        raise UserError([f"--snapshot: {code.root} is in no git repository; an installed package does not change"])
    git.run(code.repository, "clone", "--quiet", "--shared", "--no-checkout", str(code.repository), str(folder))
    git.run(folder, "checkout", "--quiet", "--detach", code.commit)
    if patch:
        git.run(folder, "apply", "--index", str(patch))
    return Code(folder / code.root.relative_to(code.repository), folder, code.commit, code.changes)
