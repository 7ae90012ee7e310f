"""What was edited in a grid's claims after its first runs: the claims as they stood then against those of now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from reports.claims.kinds import metrics_of
from reports.claims.verdicts import at_scale
from reports.metrics import number

_WORDS = ("id", "says", "locus", "not_printed", "not_testable")  # what a claim is called, not how it is decided
_USUAL: Mapping[str, Any] = {"margin": 0.0, "paired": False}


def edits(grid: Mapping[str, Any]) -> dict[str, str]:
    """Claim id -> how it was edited, such as ``margin 0.5, was 1``; only those that were, at this scale.

    ``grid`` is the content of ``results/<grid>.<scale>.json``; without a record of the claims before the runs nothing
    is found.
    """
    before = grid.get("declared")
    if not before:
        return {}
    scale = str(grid["scale"])
    old = {str(claim["id"]): _rule(claim, scale, str(before["metric"])) for claim in before["claims"]}
    found = {}
    for claim in grid["claims"]:
        name, now = str(claim["id"]), _rule(claim, scale, str(grid["metric"]))
        if name not in old:
            found[name] = "added"
        elif changed := [key for key in {**old[name], **now} if old[name].get(key) != now.get(key)]:
            found[name] = "; ".join(f"{key} {_text(now.get(key))}, was {_text(old[name].get(key))}" for key in changed)
    return found


def record_text(grid: Mapping[str, Any]) -> str:
    """A sentence on when the claims were fixed, and on what changed for the whole family since."""
    before = grid.get("declared")
    if not before:
        return "Not recorded: how the claims stood before the first runs."
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(float(before["time"])))
    text = f"Claims recorded on {day} UTC, before the first run."
    if started := int(before["num_started"]):
        text = f"Claims recorded on {day} UTC, when {started} of {before['num_runs']} runs had been started."
    gone = [str(claim["id"]) for claim in before["claims"]]
    for claim in grid["claims"]:
        gone = [name for name in gone if name != str(claim["id"])]
    if gone:
        text += f" Removed since: {', '.join(gone)}."
    if bool(before["looks"]) != bool(grid.get("looks", False)):
        text += f" Looks {'added' if grid.get('looks') else 'given up'} since."
    return text


def _rule(claim: Mapping[str, Any], scale: str, metric: str) -> dict[str, Any]:
    """What decides a claim at a scale; whether the scale can test it is part of that."""
    own = {key: value for key, value in at_scale(claim, scale).items() if key not in _WORDS}
    testable = {"testable": scale not in (claim.get("not_testable") or {})}
    return {**_USUAL, **own, "metric": metrics_of(claim, metric)[0], **testable}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(float(value), 3).rstrip("0").rstrip(".")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return "nothing" if value is None else str(value)
