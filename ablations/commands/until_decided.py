"""``ablate run --until-decided``: further seeds for the cells of undecided claims, at the looks that were planned."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from ablations.collect.tables import in_memory
from ablations.console import err, say, told
from ablations.errors import UserError
from ablations.plan.demand import Demand, demand, seeds_in_turn
from ablations.store.folder import State, Store
from ablations.study.entries import shown
from ablations.study.spec import Grid, RunSpec

if TYPE_CHECKING:
    from reports.claims.verdicts import Verdict

Finish = Callable[[Iterable[RunSpec]], None]


def check(asked: Sequence[tuple[Grid, Demand]], scale: str, *, seeds: str | None, limit: int | None) -> None:
    """Raise UserError where looks were not planned, or where options say which runs to start."""
    problems = [
        f"--{name}: not with --until-decided, which takes the grid's seeds and then the next ones"
        for name, given in (("seeds", seeds), ("limit", limit))
        if given is not None
    ]
    problems += [
        f"{shown(grid.path)}: no looks at scale {scale}, so --until-decided would add seeds until noise decides; "
        "expected looks: true in the grid before its first run, and every verdict pays for the looks"
        for grid, _ in asked
        if not grid.scales[scale].looks
    ]
    if problems:
        raise UserError(problems)


def add_seeds(grids: Sequence[Grid], scale: str, store: Store, finish: Finish) -> None:
    """Judge each grid; run more seeds for the cells of undecided claims, up to the next look; and again.

    Ends when every claim is decided or has had its last look. What was decided gets no seeds and stays decided.
    """
    for grid in grids:
        stuck: set[str] = set()
        while (rest := _look(grid, scale, store, stuck)) is not None:
            look, verdicts = rest
            cells = {cell for verdict in verdicts for cell in verdict.cells}
            specs = _runs_up_to(grid, scale, store, look, cells)
            ids = ", ".join(verdict.id for verdict in verdicts)
            say(f"{grid.name}: up to {look} seeds for the {len(cells)} cells of {ids}")
            finish(specs)
            if any(store.state(spec) is not State.DONE for spec in specs):
                say(f"{grid.name}: the look after {look} seeds waits for runs of another process", err)
                raise typer.Exit(1)
            stuck |= {verdict.id for verdict in _verdicts(grid, scale, store) if verdict.look < look} & {
                verdict.id for verdict in verdicts
            }


def _look(grid: Grid, scale: str, store: Store, stuck: set[str]) -> tuple[int, list[Verdict]] | None:
    """The next look, and the undecided claims that it is for; None if there is nothing to add. Says how all stand."""
    from reports.claims.rule import LOOKS
    from reports.claims.verdicts import UNDECIDED

    verdicts = _verdicts(grid, scale, store)
    counts = Counter(verdict.verdict for verdict in verdicts)
    say(f"{grid.name}: " + ", ".join(f"{number} {words}" for words, number in counts.items()))
    undecided = [verdict for verdict in verdicts if verdict.verdict == UNDECIDED]
    for verdict in undecided:
        if verdict.id in stuck:
            say(f"{grid.name}: {verdict.id}: a run of its cells has no value, so further seeds would not decide it")
        elif verdict.look == LOOKS[-1]:
            say(f"{grid.name}: {verdict.id}: stays undecided after its last look, at {LOOKS[-1]} seeds")
    still = [verdict for verdict in undecided if verdict.id not in stuck and verdict.look < LOOKS[-1]]
    if not still:
        return None
    following = {verdict.id: next(look for look in LOOKS if look > verdict.look) for verdict in still}
    look = min(following.values())
    return look, [verdict for verdict in still if following[verdict.id] == look]


def _verdicts(grid: Grid, scale: str, store: Store) -> list[Verdict]:
    """The verdicts on what is in the store, as the report will have them."""
    from reports.inputs import grid_result

    with told():
        return grid_result(*in_memory(grid, scale, store)).verdicts


def _runs_up_to(grid: Grid, scale: str, store: Store, look: int, cells: set[str]) -> list[RunSpec]:
    """The runs of these cells with the first seeds."""
    first = list(itertools.islice(seeds_in_turn(grid, scale), look))
    return [spec for spec in demand(grid, scale, store, first).runs if spec.role == "cell" and spec.cell_id in cells]
