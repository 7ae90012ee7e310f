"""The files of one grid: its page, figure and tables, and the JSON twin of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.claims.edits import edits
from reports.figures.drawing import draw
from reports.figures.fonts import face_css
from reports.figures.style import save
from reports.page.card import Card, card
from reports.page.cell_curves import small_multiples
from reports.page.cell_page import cell_pages
from reports.page.forest import HEIGHT, WIDTH
from reports.page.render import page
from reports.page.section import Section, inline_svg
from reports.page.tables import cell_table, comparison_table, csv_text, latex, verdict_table
from reports.page.twin import twin

_FEW_ROWS = 60  # a table up to this long is shown open
_FEW_DRAWINGS = 12  # and so are small multiples


@dataclass(frozen=True)
class Neighbour:
    """The grid before or after this one in the overview."""

    slug: str
    title: str


Neighbours = tuple[Neighbour | None, Neighbour | None]


def grid_files(section: Section, neighbours: Neighbours) -> tuple[dict[str, bytes], Card]:
    """Every file of a grid, by path in the site; and its card."""
    slug = section.slug
    files = figure_files(section) | _tables(section)
    svg = files[f"figures/{slug}.svg"].decode()
    its_card = card(section, svg)
    files[f"grids/{slug}.json"] = twin(section, its_card, list(files))
    context = grid_context(section, its_card, svg, runs_folder=f"../runs/{slug}")
    previous, following = neighbours
    files[f"grids/{slug}.html"] = page(
        "grid.html", fonts=face_css([svg]), single=False, previous=previous, following=following, **context
    ).encode()
    return files | cell_pages(section.result), its_card


def grid_context(section: Section, its_card: Card, svg: str, runs_folder: str | None) -> dict[str, Any]:
    """What the template ``section.html`` shows. ``runs_folder``: where the pages of its runs are; None without them."""
    return {
        "section": section,
        "card": its_card,
        "svg": inline_svg(svg, section.slug, section.finding),
        "claims": list(zip(section.verdicts, section.forests, strict=True)),
        "curve_groups": small_multiples(section.result, runs_folder),
        "few_rows": _FEW_ROWS,
        "few_drawings": _FEW_DRAWINGS,
        "forest_width": WIDTH,
        "forest_height": HEIGHT,
    }


def neighbours_of(titles: Sequence[Neighbour], place: int) -> Neighbours:
    """The grids before and after one, None at the ends."""
    before = titles[place - 1] if place else None
    return before, titles[place + 1] if place + 1 < len(titles) else None


def figure_files(section: Section) -> dict[str, bytes]:
    """The grid's figure as SVG and PDF."""
    figure = draw(section.result)
    return {f"figures/{section.slug}.{form}": save(figure, form) for form in ("svg", "pdf")}


def _tables(section: Section) -> dict[str, bytes]:
    result, verdicts = section.result, section.verdicts
    caption = (
        f"{section.spec['title']}, scale {result.scale} on {result.datasets}: mean and 95 % half-width over seeds."
    )
    caption += f" ≈: {section.numbers.read_off}." if section.numbers.read_off else ""
    texts = {
        "csv": csv_text(cell_table(result)),
        "tex": latex(result, caption),
        "claims.csv": csv_text(comparison_table(verdicts)),
        "verdicts.csv": csv_text(verdict_table(verdicts, edits(result.spec))),
    }
    return {f"tables/{section.slug}.{form}": text.encode() for form, text in texts.items()}
