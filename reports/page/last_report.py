"""``site/report.json``: what this report found, for the next one to compare with and to spare what did not change.

    {"schema_version": 1,
     "grids": {"<slug>": {"inputs": hash of all that its files were made of,
                          "files": {path in the site: SHA-256},
                          "card": see reports/page/card.py: claims with verdicts, runs with states}},
     "changes": what this report found changed, one entry a line of the overview}

The numbers of a grid stand in its twin, ``site/grids/<slug>.json``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.characters import showable
from reports.errors import InputError
from reports.json_text import load_json
from reports.page.card import Card

NAME = "report.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One grid of a report: the hash of its inputs, the files made of them with their hashes, its card."""

    inputs: str
    files: dict[str, str]
    card: Card


@dataclass(frozen=True)
class Change:
    """One line of what changed; ``claim``, ``was`` and ``now`` where a verdict did."""

    kind: str
    slug: str
    grid: str
    text: str
    claim: str = ""
    was: str = ""
    now: str = ""


@dataclass(frozen=True)
class Report:
    """The entries by slug, and what changed since the report before; None if there was none."""

    entries: dict[str, Entry]
    changes: list[Change] | None

    def to_bytes(self) -> bytes:
        """The content of report.json."""
        grids = {
            slug: {"inputs": entry.inputs, "files": entry.files, "card": entry.card.to_json()}
            for slug, entry in self.entries.items()
        }
        changes = None if self.changes is None else [dataclasses.asdict(change) for change in self.changes]
        content = {"schema_version": SCHEMA_VERSION, "grids": grids, "changes": changes}
        return (showable(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)) + "\n").encode()


def read_report(site: Path) -> Report | None:
    """The report that is in a site's folder; None where there is none, or none that can be read."""
    try:
        content = load_json((site / NAME).read_bytes())
        if content["schema_version"] != SCHEMA_VERSION:
            return None
        entries = {
            slug: Entry(str(grid["inputs"]), dict(grid["files"]), Card.from_json(grid["card"]))
            for slug, grid in content["grids"].items()
        }
        changes = content["changes"]
        return Report(entries, None if changes is None else [Change(**change) for change in changes])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
        return None


def intact(site: Path, files: Mapping[str, str]) -> bool:
    """Whether files of a site are there as they were written."""
    return all(digest(site / name) == expected for name, expected in files.items())


def digest(path: Path) -> str:
    """The SHA-256 of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


def changes(before: Report | None, entries: Mapping[str, Entry]) -> list[Change] | None:
    """What is new against the report before; None where there was none.

    A report of the same inputs keeps what the one before it found, so that reporting twice changes nothing.
    """
    if before is None:
        return None
    if {slug: entry.inputs for slug, entry in before.entries.items()} == {
        slug: entry.inputs for slug, entry in entries.items()
    }:
        return before.changes
    found = []
    for slug, entry in entries.items():
        name = _name(entry.card)
        old = before.entries.get(slug)
        if old is None:
            found.append(Change("new", slug, name, "new in this report"))
        else:
            found += _changed_verdicts(slug, name, old.card, entry.card)
            found += _changed_runs(slug, name, old.card.runs, entry.card.runs)
    gone = [slug for slug in before.entries if slug not in entries]
    return [
        *found,
        *(Change("gone", slug, _name(before.entries[slug].card), "no longer in this report") for slug in gone),
    ]


def _name(card: Card) -> str:
    return f"{card.paper}, {card.locus}: {card.title}, scale {card.scale}"


def _changed_verdicts(slug: str, name: str, old: Card, new: Card) -> list[Change]:
    was = {claim.id: claim.verdict for claim in old.claims}
    now = {claim.id: claim.verdict for claim in new.claims}
    flipped = [
        Change("verdict", slug, name, f"{was[claim]}, now {verdict}", claim, was[claim], verdict)
        for claim, verdict in now.items()
        if claim in was and was[claim] != verdict
    ]
    added = [
        Change("verdict", slug, name, f"a new claim, {now[claim]}", claim, "", now[claim])
        for claim in now
        if claim not in was
    ]
    removed = [
        Change("verdict", slug, name, f"a claim that was {was[claim]} is gone", claim, was[claim])
        for claim in was
        if claim not in now
    ]
    return flipped + added + removed


def _changed_runs(slug: str, name: str, was: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    counted = {state: sum(now[run] == state and was.get(run) != state for run in now) for state in ("done", "failed")}
    words = [f"{count} {'run' if count == 1 else 'runs'} newly {state}" for state, count in counted.items() if count]
    return [Change("runs", slug, name, ", ".join(words))] if words else []


def stale_files(site: Path, before: Report | None, entries: Mapping[str, Entry]) -> Sequence[Path]:
    """Files that the report before wrote, unchanged since, and that this one does not have."""
    kept = {name for entry in entries.values() for name in entry.files}
    old = before.entries.values() if before else ()
    names = {name: expected for entry in old for name, expected in entry.files.items() if name not in kept}
    inside = [(site / name, expected) for name, expected in sorted(names.items()) if _inside(name)]
    return [path for path, expected in inside if digest(path) == expected]


def _inside(name: str) -> bool:
    """Whether a path of report.json stays in the site's folder."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts
