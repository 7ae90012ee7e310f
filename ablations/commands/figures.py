"""``ablate figure`` and ``diff``: one figure as a file, and what changed between two results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablations.collect.run_table import replace
from ablations.commands.arguments import ResultsDir, Scale
from ablations.commands.places import place_problems
from ablations.console import noted, out, say, table, told
from ablations.errors import UserError
from formats.names import expected

if TYPE_CHECKING:
    from reports.diff.compare import Diff, GridDiff


def figure(
    grid: Annotated[str, typer.Argument(metavar="GRID", help="The name of a grid of which there are results.")],
    *,
    scale: Scale,
    form: Annotated[
        str | None, typer.Option("--format", help="svg, pdf or png; without it, what --out ends in, else svg.")
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; without it, GRID.SCALE.FORMAT here.")
    ] = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Write a grid's figure as the report shows it, 7 inches wide, with its fonts."""
    from reports.figures.drawing import draw
    from reports.figures.style import FORMATS, save
    from reports.inputs import load_results

    ending = out_file.suffix.removeprefix(".") if out_file else ""
    chosen = form or ending or FORMATS[0]
    problems = [] if chosen in FORMATS else [f"--format {chosen!r}; {expected(chosen, FORMATS)}"]
    if form and ending in FORMATS and ending != form and not problems:
        problems.append(f"--format {form}: --out {out_file} ends in .{ending}; leave one of them out")
    path = out_file or Path(f"{grid}.{scale}.{chosen}")
    with told():
        problems += place_problems(files={"--out": path})
        with noted(problems):
            found = load_results(results, [f"{grid}.{scale}"])
        if problems:
            raise UserError(problems)
        replace(path, [save(draw(found[0]), chosen)])
    say(f"look at {path}")


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A results folder, or a report's folder.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another: what has changed from A to B?")],
    *,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the comparison as a page.")] = None,
) -> None:
    """Show which verdicts flipped and which cells moved beyond noise.

    Exit code 1 if a decided verdict became the other one, 2 if something went wrong.
    """
    from reports.diff.compare import compare, diff_page

    with told():
        problems = place_problems(files={"--html": html})
        with noted(problems):
            found = compare(before, after)
        if problems:
            raise UserError(problems)
        if html:
            replace(html, [diff_page(found).encode()])
    _print(found)
    if html:
        say(f"look at {html}")
    if found.num_flipped:
        raise typer.Exit(1)


def _print(found: Diff) -> None:
    for side, slugs in ((found.before, found.only_before), (found.after, found.only_after)):
        for slug in slugs:
            say(f"{slug}: in {side} only")
    for grid in found.grids:
        _print_grid(grid)
    say(f"{found.summary[:1].upper()}{found.summary[1:]}.")


def _print_grid(grid: GridDiff) -> None:
    from reports.diff.compare import SAME

    say(f"{grid.slug}: {grid.title}")
    for each in grid.claims_of("flipped", "lost", "decided", "changed", "new", "gone"):
        was, now = (side.verdict if side else "not there" for side in (each.was, each.now))
        remark = f" ({each.asked_otherwise})" if each.asked_otherwise else ""
        say(f"  {each.kind}  {each.claim.id}: {was} -> {now}{remark}. {each.claim.says}")
    if same := len(grid.claims_of("same")):
        say(f"  {same} {'claim has its' if same == 1 else 'claims have their'} verdict as before")
    if num_same := grid.count(SAME):
        say(f"  = {num_same} of {len(grid.cells)} cells have the same runs with the same values")
    if grid.num_rerun:
        runs = "run has another value" if grid.num_rerun == 1 else "runs have other values"
        say(f"  {grid.num_rerun} {runs} under the same id: something outside the configuration differs")
    others = [cell for cell in grid.cells if cell.mark != SAME]
    if others:
        shown = grid.shown
        unit = f" ({shown.unit})" if shown.unit else ""
        rows = table("  cell", f"before{unit}", f"after{unit}", "difference", "p", "", "")
        for cell in others:
            name, *texts = grid.row(cell)
            rows.add_row(f"  {name}", *texts)
        out.print(rows, markup=False, highlight=False)
