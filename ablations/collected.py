"""What was read of runs when they were collected last, kept beside the tables so that it need not be read again.

``<results>/.collected/runs.json`` can be deleted at any time. It is believed only if it is whole, of this version and
this store, and belongs to the tables that lie beside it; of each run, only while its files are those of then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.parts import PartedTable, replace
from ablations.run_records import RunRecord
from ablations.signatures import log_signature
from ablations.store import RunFacts, Store

VERSION = 1
"""Raised with every change of what is read of a run, or of how the tables are made from it."""

FOLDER = ".collected"
_FACTS = ("has_result", "has_error", "error_time", "queued", "queued_time")
_FIELDS = ("is_anothers", "result", "evaluations", "num_threads", "problems", "curve_problems", "logs")

Entry = Mapping[str, Any]


class Collected:
    """What is known of runs by their ids, with the signatures of the files that it was read from."""

    def __init__(self, results_dir: Path, store: Store, tables: Sequence[PartedTable]) -> None:
        self._path = results_dir / FOLDER / "runs.json"
        self._root = store.root
        self._tables = tables
        self._entries: dict[str, Entry] = self._load()

    def recall(self, run_id: str, signature: str | None) -> RunRecord | None:
        """The record of a run whose files have this signature; None if they have to be read."""
        entry = self._entries.get(run_id)
        if entry is None or signature is None or entry["signature"] != signature:
            return None
        if any(log_signature(self._root / path) != seen for path, seen in entry["logs"].items()):
            return None
        facts = RunFacts(evaluations=frozenset(entry["evaluations"]), **{name: entry[name] for name in _FACTS})
        return RunRecord(facts, is_there=True, **{name: entry[name] for name in _FIELDS})

    def keep(self, records: Mapping[str, tuple[str | None, RunRecord]], others: Collection[str]) -> None:
        """Write down what is known by now of these runs, and what was known of ``others``; call after the tables."""
        entries = {run_id: self._entries[run_id] for run_id in others if run_id in self._entries}
        entries |= {
            run_id: _entry(signature, record)
            for run_id, (signature, record) in records.items()
            if signature is not None and None not in record.logs.values()
        }
        tables = {table.path.name: {"stamp": table.stamp, "lengths": table.lengths} for table in self._tables}
        content = {"version": VERSION, "store": str(self._root.resolve()), "tables": tables, "runs": entries}
        body = json.dumps(content, separators=(",", ":")).encode()
        (self._path.parent).mkdir(parents=True, exist_ok=True)
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
        if content["version"] != VERSION or content["store"] != str(self._root.resolve()):
            return {}
        noted = content["tables"]
        are_same = [table.recall(**noted[table.path.name]) for table in self._tables]
        entries: dict[str, Entry] = content["runs"] if all(are_same) else {}
        return entries


def _entry(signature: str, record: RunRecord) -> Entry:
    facts = {name: getattr(record.facts, name) for name in _FACTS}
    return {"signature": signature, **facts, **{name: getattr(record, name) for name in _FIELDS}}


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
