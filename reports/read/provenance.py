"""What ``ablate collect`` leaves beside the tables: where runs came from, and what of the store could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from formats.names import expected
from formats.tables import SCHEMA_VERSION
from reports.errors import InputError
from reports.json_text import load_json

PROVENANCE_KEYS: dict[str, tuple[type, ...]] = {
    "run_id": (str,), "attempts": (list,), "error": (str,), "log": (str,), "result": (dict, type(None))
}  # fmt: skip

Provenance = Mapping[str, Mapping[str, Any]]
"""Run id -> attempts, error, log and result of a run."""


def read_provenance(results_dir: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    """The lines of ``provenance.jsonl`` by run id, none without the file; what is wrong goes to ``problems``."""
    path = results_dir / "provenance.jsonl"
    found: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return found
    wrong: list[str] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            at = f"{path.name}, line {number}"
            try:
                content = load_json(line)
            except ValueError as error:
                wrong.append(f"{at}: not JSON ({error})")
                continue
            of_line = _line_problems(content)
            if not of_line and content["run_id"] in found:
                of_line = [f"{content['run_id']!r} stands twice"]
            if of_line:
                wrong += [f"{at}: {problem}" for problem in of_line]
            else:
                found[content["run_id"]] = content
    problems += wrong
    return {} if wrong else found


def _line_problems(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return [f"expected an object with schema_version, {', '.join(PROVENANCE_KEYS)}"]
    if content.get("schema_version") != SCHEMA_VERSION:
        return [f"schema_version {content.get('schema_version')}, this report reads {SCHEMA_VERSION}"]
    wrong = [f"no {key!r}: {expected(key, content)}" for key in PROVENANCE_KEYS if key not in content]
    wrong += [
        f"{key} is a {type(content[key]).__name__}, expected a {' or '.join(kind.__name__ for kind in kinds)}"
        for key, kinds in PROVENANCE_KEYS.items()
        if key in content and not isinstance(content[key], kinds)
    ]
    if not wrong and not all(isinstance(attempt, dict) for attempt in content["attempts"]):
        wrong.append("attempts: expected a list of objects")
    return wrong


def load_problems(results_dir: Path) -> list[tuple[str, str]]:
    """(path, what) of everything in the store that could not be collected; none without ``problems.json``.

    Raises InputError if the file is not what ``ablate collect`` writes.
    """
    path = Path(results_dir) / "problems.json"
    if not path.is_file():
        return []
    try:
        content = load_json(path.read_bytes())
    except ValueError as error:
        raise InputError([f"{path.name}: not JSON ({error})"]) from None
    if not isinstance(content, dict) or not isinstance(content.get("problems"), list):
        raise InputError([f"{path.name}: expected an object with schema_version and problems, a list"])
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            [f"{path.name}: schema_version {content.get('schema_version')}, this report reads {SCHEMA_VERSION}"]
        )
    wrong = [
        f"{path.name}: problems[{index}]: expected an object with path and what, both texts"
        for index, entry in enumerate(content["problems"])
        if not (isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("path", "what")))
    ]
    if wrong:
        raise InputError(wrong)
    return [(entry["path"], entry["what"]) for entry in content["problems"]]
