"""A store while it is collected: every run is looked at once, and read if it is not what was read before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ablations.collect.cache import Collected
from ablations.collect.run_records import RunRecord, read
from ablations.store.folder import State, Store
from ablations.study.spec import RunSpec

_RUN_ID = re.compile(r"[a-z0-9_]+-.+-[0-9a-f]{12}")


class RunReader(Store):
    """Reads runs as they are asked for. What is wrong with their folders is noted, and raises nothing."""

    def __init__(self, store: Store, collected: Collected | None = None) -> None:
        """``collected``: what is known of runs from the last collection, so that they need not be read again."""
        super().__init__(store.root)
        self._collected = collected
        self._entries = {path.name: path for path in store.root.iterdir()} if store.root.is_dir() else {}
        self.asked: set[str] = set()
        self.records: dict[str, RunRecord] = {}  # of the runs that were asked for and are there
        self.fresh: dict[str, dict[str, Any]] = {}  # line of provenance.jsonl, of the runs that were read anew

    def record(self, spec: RunSpec) -> RunRecord:
        """What is known of a run."""
        run_id = spec.run_id
        if run_id not in self.records:
            self.asked.add(run_id)
            if run_id not in self._entries:
                return RunRecord()
            record = self._collected.recall(run_id) if self._collected else None
            if record is None:
                record, self.fresh[run_id] = read(self, spec)
            self.records[run_id] = record
        return self.records[run_id]

    def state(self, spec: RunSpec) -> State:
        """Where a run stands; FAILED if its folder belongs to another configuration."""
        return self.record(spec).state(spec)

    def problems(self) -> Iterator[tuple[str, str]]:
        """(path, what) of all that is wrong with the runs that were asked for, and what in the store is no run."""
        for run_id, record in self.records.items():
            for name, what in (*record.problems, *record.curve_problems):
                yield str(self.run_dir(run_id) / name), what
        for name, path in sorted(self._entries.items()):
            if name not in self.records and name[0] != ".":
                if not path.is_dir():
                    yield str(path), "no folder of a run, which is all that a store holds"
                elif not _RUN_ID.fullmatch(name):
                    yield str(path), "not the name of a run; its content is left out"
