"""One look for every figure: colours that colour-blind readers and grey printers can tell apart, and stable files."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.characters import showable
from reports.figures.fonts import FAMILY, face_css

FORMATS = ("svg", "pdf", "png")
"""What a figure can be saved as."""

WIDTH = 7.0
"""Inches: two columns of a paper. Figures are printed as they are; nothing in them is smaller than 5 points."""

INK = "#1b2430"
MUTED = "#5b6673"
GRID = "#dfe3e8"
REFERENCE = "#b3541e"  # untrained lines, 1/sqrt(D): never a colour of the data
COLORS = (
    "#0b5fa5",
    "#d98a00",
    "#3f8f6b",
    "#8a4f9e",
    "#2a2f36",
)  # Okabe and Ito's order of hues; luminance falls into steps
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # two more than colours, so that 35 pairs of the two differ
HATCHES = ("", "...", "\\\\\\", "xxx", "---")  # bars of one hue each; "////" is kept for what is unfinished
_TITLE, _SMALL = 10.5, 7.0  # points
_MARGIN = 0.08  # inches, around a figure
SEQUENTIAL = "YlGnBu"  # luminance falls monotonically, so it survives grey


@dataclass(frozen=True)
class Look:
    """How the marks of one level look."""

    ink: str
    marker: str
    dashes: Any
    hatch: str


def look_at(place: int) -> Look:
    """The look of the level at a place: 5 differ in hue, 25 in hue and dash, 35 in hue and marker."""
    hue = place % len(COLORS)
    dashes = DASHES[(place + place // len(COLORS)) % len(DASHES)]
    return Look(COLORS[hue], MARKERS[place % len(MARKERS)], dashes, HATCHES[hue])


_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": [FAMILY],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # names come from grids; a dollar sign in one is no formula
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 300,  # of PNG: what journals ask for
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "simclr-ablations",  # ids are functions of the content
    "pdf.fonttype": 42,  # fonts embedded whole, as TrueType
}

_NO_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for the duration of one figure, drawn or saved; global state is left as it was."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def save(figure: Figure, file_format: str) -> bytes:
    """A figure as ``svg``, ``pdf`` or ``png``; the same figure gives the same bytes, without a date.

    Text in an SVG is text, and the SVG carries the characters that it uses as a font.
    """
    buffer = io.BytesIO()
    with style():
        box = figure.get_tightbbox().padded(_MARGIN)  # for "tight", savefig would draw the figure once more
        figure.savefig(buffer, format=file_format, metadata=_NO_METADATA[file_format], bbox_inches=box)
    if file_format == "svg":
        return showable(_with_font(buffer.getvalue().decode())).encode()
    return buffer.getvalue()


def _with_font(svg: str) -> str:
    """The SVG with its font in the style sheet that matplotlib puts in front."""
    head, end, rest = svg.partition("</style>")
    return head + "\n" + face_css([svg]) + end + rest


def text_color(rgba: tuple[float, float, float, float]) -> str:
    """Black or white, whichever contrasts more with a background (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A panel in inches: ``left`` and ``top`` are the distances of its corner from the figure's."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def chars(inches: float, size: float) -> int:
    """About how many characters of a size in points are this long."""
    return int(inches * 72 / (0.53 * size))


def heading(figure: Figure, title: str, subtitle: str, *, above_in: float) -> None:
    """Title and, below it, the line that says scale and data set; ``above_in`` inches over the figure's box."""
    height = figure.get_figheight()
    lines = textwrap.wrap(subtitle, chars(WIDTH, _SMALL))
    y = 1 + above_in / height
    figure.text(0, y, "\n".join(lines), fontsize=_SMALL, color=MUTED, va="bottom", ha="left")
    title = textwrap.fill(title, chars(WIDTH, 1.1 * _TITLE))
    y += (0.06 + 1.3 * len(lines) * _SMALL / 72) / height
    figure.text(0, y, title, fontsize=_TITLE, fontweight="bold", va="bottom", ha="left")


def footnote(figure: Figure, text: str, *, left: float, top: float, width: float = WIDTH) -> None:
    """How to read the figure, in lines of ``width`` inches, ``top`` inches under the upper edge of the figure's box."""
    across, down = figure.get_size_inches()
    text = textwrap.fill(text, chars(width - left, _SMALL))
    figure.text(
        left / across, 1 - top / down, text, fontsize=_SMALL, color=MUTED, va="top", ha="left", linespacing=1.35
    )


def legend(panel: Axes, width: float, *, above: float = 0.0) -> int:
    """The names of what is drawn in a panel, in rows of ``width`` inches, ``above`` inches over it; how many rows.

    They are read row by row, where matplotlib would fill column after column.
    """
    handles, labels = panel.get_legend_handles_labels()
    rows, columns = legend_size(labels, width)
    if not rows:
        return 0
    high = panel.get_position().height * panel.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    by_columns = [number for column in range(columns) for number in range(column, len(labels), columns)]
    panel.legend(
        [handles[number] for number in by_columns], [labels[number] for number in by_columns],
        loc="lower left", bbox_to_anchor=(0, 1 + above / high), ncols=columns, borderpad=0, borderaxespad=0.2,
        handlelength=2.0, columnspacing=1.0, handletextpad=0.4, labelspacing=0.25,
    )  # fmt: skip
    return rows


def legend_size(labels: Sequence[str], width: float) -> tuple[int, int]:
    """(rows, columns) of a legend of ``width`` inches; none for fewer than two names."""
    if len(labels) < 2:
        return 0, 0
    columns = max(1, min(len(labels), int(width / (0.3 + 0.056 * max(map(len, labels))))))
    return math.ceil(len(labels) / columns), columns


LEGEND_ROW = 10.5
"""Points that a row of a legend takes."""


def light_grid(axes: Axes) -> None:
    """Lines behind the data, and no tick marks."""
    axes.grid(visible=True)
    axes.tick_params(length=0)
