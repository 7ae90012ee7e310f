"""What was read of runs when they were collected last, kept beside the tables so that it need not be read again.

``<results>/.collected/runs.json`` can be deleted at any time. It is believed only if it is whole, left by this code,
and belongs to the tables that lie beside it; of each run, only while its files are those of then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ablations
import formats
from ablations.collect.run_records import RunRecord
from ablations.collect.run_table import PartedTable, replace, stamp_of
from ablations.collect.signatures import signature
from ablations.store.folder import RunFacts, Store

FOLDER = ".collected"
_FACTS = ("has_result", "has_error", "error_time", "queued", "queued_time")
_FIELDS = ("names", "signed", "is_anothers", "result", "evaluations", "num_threads", "problems", "curve_problems")

Entry = Mapping[str, Any]


class Collected:
    """What is known of runs by their ids, with the signatures of the files that it was read from."""

    def __init__(self, results_dir: Path, store: Store, tables: Sequence[PartedTable]) -> None:
        self._path = results_dir / FOLDER / "runs.json"
        self._root = store.root
        self._tables = tables
        self._runs = results_dir / "runs.csv"
        self.runs_stamp = ""  # of runs.csv as it was written
        self._entries: dict[str, Entry] = self._load()

    @property
    def has_runs(self) -> bool:
        """Whether runs.csv is still what was written."""
        return self.runs_stamp != "" and self.runs_stamp == stamp_of(self._runs)

    def recall(self, run_id: str) -> RunRecord | None:
        """The record of a run; None if its files are not those that were read, so that they have to be read again."""
        entry = self._entries.get(run_id)
        if entry is None or signature(f"{self._root}/{run_id}", entry["names"]) != entry["signed"]:
            return None
        facts = RunFacts(evaluations=frozenset(entry["evaluations"]), **{name: entry[name] for name in _FACTS})
        return RunRecord(facts, **{name: entry[name] for name in _FIELDS})

    def keep(self, records: Mapping[str, RunRecord], others: Collection[str]) -> None:
        """Write down what is known by now of these runs, and what was known of ``others``; call after the tables."""
        entries = {run_id: self._entries[run_id] for run_id in others if run_id in self._entries}
        entries |= {run_id: _entry(record) for run_id, record in records.items() if record.names}
        tables = {table.path.name: {"stamp": table.stamp, "lengths": table.lengths} for table in self._tables}
        content = {
            "version": _version(),
            "tables": tables,
            "runs_csv": self.runs_stamp,
            "runs": entries,
        }
        body = json.dumps(content, separators=(",", ":")).encode()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        (self._path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        replace(self._path, [_digest(body), b"\n", body])

    def _load(self) -> dict[str, Entry]:
        try:
            digest, _, body = self._path.read_bytes().partition(b"\n")
        except OSError:
            return {}
        if digest != _digest(body):
            return {}
        content = json.loads(body)
        if content["version"] != _version():
            return {}
        self.runs_stamp = content["runs_csv"]
        noted = content["tables"]
        are_same = [table.recall(**noted[table.path.name]) for table in self._tables]
        entries: dict[str, Entry] = content["runs"] if all(are_same) else {}
        return entries


def _entry(record: RunRecord) -> Entry:
    facts = {name: getattr(record.facts, name) for name in _FACTS}
    return facts | {name: getattr(record, name) for name in _FIELDS}


@cache
def _version() -> str:
    """A hash of the code that collects: whatever changes in it may change what is read of a run, or how it is kept."""
    content = hashlib.sha256()
    for package in (ablations, formats):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            content.update(path.read_bytes())
    return content.hexdigest()


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
