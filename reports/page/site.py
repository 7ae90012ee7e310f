"""The site: an overview, a page and its JSON twin per grid, pages of runs, figures and tables, in one folder."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from formats.whole_files import written_whole
from reports.errors import InputError
from reports.figures.fonts import face_css
from reports.inputs import GridResult, load_problems, load_results
from reports.page.fingerprint import fingerprint
from reports.page.grid_page import Neighbour, grid_context, grid_files, neighbours_of
from reports.page.index import Found, overview, overview_page
from reports.page.last_report import NAME, Entry, Report, changes, intact, read_report, stale_files
from reports.page.render import page
from reports.page.section import Section, section, slug_of
from reports.paths import safe_name

SINGLE_FILE = "report.html"


def write_site(
    results_dir: Path, out_dir: Path, names: Sequence[str] | None = None, *, single_file: bool = False
) -> Path:
    """Write the site of a results folder; returns the path of its overview.

    ``names``: grids (``grid`` or ``grid.scale``), all of the folder if None. ``single_file``: also ``report.html``,
    which holds the overview and all grids without the pages of runs. What an earlier report left in ``out_dir`` is
    kept where its inputs are the same, and removed where it is no part of this one; the files are those of a report
    into an empty folder, but for what changed since. Raises InputError before anything is written.
    """
    results = load_results(Path(results_dir), names)
    problems = load_problems(Path(results_dir))
    _check_names(results)
    site = Path(out_dir)
    before = read_report(site)
    gc.freeze()  # what was read stays; statsmodels searches all there is for garbage at every correction
    try:
        entries, sections = _write_grids(site, results, before)
    finally:
        gc.unfreeze()
    report = Report(entries, changes(before, entries))
    found = Found(report.changes, problems, any(result.provenance for result in results))
    cards = [entry.card for entry in entries.values()]
    index = {"index.html": overview_page(cards, found).encode()}
    if single_file:
        index[SINGLE_FILE] = _single(site, results, sections, entries, found).encode()
    for path in stale_files(site, before, entries):
        path.unlink()
    _write(site, {**index, NAME: report.to_bytes()})
    return site / "index.html"


def _write_grids(
    site: Path, results: Sequence[GridResult], before: Report | None
) -> tuple[dict[str, Entry], dict[str, Section]]:
    """Write the files of every grid that is not as it was reported ``before``.

    By slug: what the report notes of each grid, and what was worked out of those that were written.
    """
    titles = [Neighbour(slug_of(result), f"{result.spec['title']}, {result.scale}") for result in results]
    entries: dict[str, Entry] = {}
    sections: dict[str, Section] = {}
    for place, (result, title) in enumerate(zip(results, titles, strict=True)):
        neighbours = neighbours_of(titles, place)
        inputs = fingerprint(result, [None if each is None else [each.slug, each.title] for each in neighbours])
        old = before.entries.get(title.slug) if before else None
        if old and old.inputs == inputs and intact(site, old.files):
            entries[title.slug] = old
            continue
        sections[title.slug] = section(result)
        files, card = grid_files(sections[title.slug], neighbours)
        entries[title.slug] = Entry(inputs, _write(site, files), card)
    return entries, sections


def _check_names(results: Sequence[GridResult]) -> None:
    slugs = [slug_of(result) for result in results]
    if twice := sorted({slug for slug in slugs if slugs.count(slug) > 1}):
        raise InputError([f"{slug}: the results have two grids of this name and scale" for slug in twice])
    for slug, result in zip(slugs, results, strict=True):
        for cell in result.spec["cells"]:
            safe_name(cell["cell_id"], f"{slug}: the id of cell {cell['label']}")


def _single(
    site: Path,
    results: Sequence[GridResult],
    sections: Mapping[str, Section],
    entries: Mapping[str, Entry],
    found: Found,
) -> str:
    """Overview and grids in one page, with the figures that the site has."""
    grids, svgs = [], []
    for result in results:
        card = entries[slug_of(result)].card
        svg = (site / f"figures/{card.slug}.svg").read_text(encoding="utf-8")
        svgs.append(svg)
        of_grid = sections.get(card.slug) or section(result)
        grids.append(grid_context(of_grid, card, svg, runs_folder=None))
    cards = [entry.card for entry in entries.values()]
    return page(
        "single.html",
        scripts=("overview.js",),
        fonts=face_css(svgs),
        single=True,
        grids=grids,
        **overview(cards, found),
    )


def _write(site: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write files, each whole or not at all; their hashes."""
    for name, content in files.items():
        with written_whole(site / name, lasting=False) as file:  # a page is made again from the tables
            file.write(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
