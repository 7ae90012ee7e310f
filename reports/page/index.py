"""The overview: a card per grid, what all of them add up to, what changed since the last report, what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.claims.verdicts import VERDICTS
from reports.metrics import paper_name
from reports.page.card import BAR, Card
from reports.page.last_report import Change
from reports.page.render import page
from reports.page.section import headline

_MOST_PROBLEMS = 200  # more are counted: a broken disk must not make the page unreadable


@dataclass(frozen=True)
class Found:
    """What the overview tells beside its cards."""

    changes: Sequence[Change] | None
    problems: Sequence[tuple[str, str]]
    has_provenance: bool


def overview_page(cards: Sequence[Card], found: Found) -> str:
    """``index.html``."""
    return page("index.html", scripts=("overview.js",), single=False, **overview(cards, found))


def overview(cards: Sequence[Card], found: Found) -> dict[str, Any]:
    """What the template ``overview.html`` shows."""
    verdicts = [claim.verdict for card in cards for claim in card.claims]
    states: Mapping[str, str] = {run: state for card in cards for run, state in card.runs.items()}
    counted = Counter(states.values())
    return {
        "cards": cards,
        "answer": headline(verdicts),
        "tally": [(name, verdicts.count(name)) for name in VERDICTS],
        "run_states": [(state, counted[state]) for state in BAR if counted[state]],
        "num_runs": len(states),
        "num_cells": sum(card.num_cells for card in cards),
        "spent_core_s": sum(card.actual_core_s for card in cards),
        "filters": [
            ("paper", "Paper", [(key, paper_name(key)) for key in dict.fromkeys(card.paper_key for card in cards)]),
            ("scale", "Scale", [(scale, scale) for scale in dict.fromkeys(card.scale for card in cards)]),
            ("verdict", "Verdict", [(name, name) for name in VERDICTS if name in verdicts]),
        ],
        "changes": found.changes,
        "problems": found.problems[:_MOST_PROBLEMS],
        "more_problems": max(0, len(found.problems) - _MOST_PROBLEMS),
        "has_provenance": found.has_provenance,
    }
