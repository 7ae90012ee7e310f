"""Finding one run, and reading everything in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.store.folder import problems_of
from formats.names import nearest
from simclr_core.records import read_json


def find_run(store: Path, run_id: str) -> Path:
    """Return the folder of the only run whose id begins with ``run_id``.

    Raises UserError if no run or several runs match, or if there is no store.
    """
    if problems := problems_of(store):
        raise UserError(problems)
    runs = sorted(path.name for path in store.iterdir() if path.is_dir() and path.name[0] != ".")
    found = [name for name in runs if name == run_id] or [name for name in runs if name.startswith(run_id)]
    if not found:
        raise UserError([f"{store}: no run {run_id!r}{nearest(run_id, runs)}"])
    if len(found) > 1:
        raise UserError([f"{store}: {len(found)} runs start with {run_id!r}: {', '.join(found[:5])}"])
    return store / found[0]


def sections(folder: Path) -> Iterator[tuple[str, Any]]:
    """Return (title, content) for everything in a run's folder; content is JSON or text."""
    attempts = _read(folder / "provenance.json").get("attempts", [])
    if attempts:
        yield "command", attempts[-1]["command"]
    for title, name in (("configuration", "spec.json"), ("result", "result.json")):
        yield title, _read(folder / name) or "none yet"
    evaluations = sorted((folder / "evals").glob("[!.]*.json"))
    yield "evaluations", [_read(path) for path in evaluations] or "none yet"
    yield "attempts", attempts or "none yet"
    if (folder / "error.txt").exists():
        yield "error", (folder / "error.txt").read_text(encoding="utf-8", errors="replace").rstrip()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        return {"unreadable": str(error)}
    return content if isinstance(content, dict) else {"unreadable": f"{path.name} holds no object"}
