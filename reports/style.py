"""One look for every figure: colours that colour-blind readers and grey printers can tell apart, and stable files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.fonts import FAMILY, figure_css

FORMATS = ("svg", "pdf", "png")
"""What a figure can be saved as."""

INK = "#1b2430"
MUTED = "#5b6673"
GRID = "#dfe3e8"
REFERENCE = "#b3541e"  # untrained lines, 1/sqrt(D): never a colour of the data
COLORS = ("#0b5fa5", "#d98a00", "#3f8f6b", "#8a4f9e")  # Okabe and Ito's order of hues; luminance falls into steps
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "D", "^")
HATCHES = ("", "...", "\\\\\\", "xxx")  # bars of one hue each; "////" is kept for what is unfinished
SEQUENTIAL = "YlGnBu"  # luminance falls monotonically, so it survives grey

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": [FAMILY],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
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
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
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


def save(figure: Figure, file_format: str, *, embed_font: bool = True) -> bytes:
    """A figure as ``svg``, ``pdf`` or ``png``; the same figure gives the same bytes, without a date.

    Text in an SVG is text, and the SVG carries the characters that it uses as a font. Without ``embed_font`` it does
    not: a page that has many figures carries one font for all of them (``fonts.face_css``).
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer, format=file_format, metadata=_NO_METADATA[file_format], bbox_inches="tight", pad_inches=0.08
        )
    if file_format == "svg" and embed_font:
        return _with_font(buffer.getvalue().decode()).encode()
    return buffer.getvalue()


def _with_font(svg: str) -> str:
    """The SVG with its font in the style sheet that matplotlib puts in front."""
    head, end, rest = svg.partition("</style>")
    return head + "\n" + figure_css(svg) + end + rest


def text_color(rgba: tuple[float, float, float, float]) -> str:
    """Black or white, whichever contrasts more with a background (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def heading(figure: Figure, title: str, subtitle: str, *, left_in: float, above_in: float) -> None:
    """Title and, below it, the line that says scale and data set; ``above_in`` inches over the figure's box."""
    width, height = figure.get_size_inches()
    x, y = left_in / width, 1 + above_in / height
    figure.text(x, y + 0.2 / height, title, fontsize=12.5, fontweight="bold", va="bottom", ha="left")
    figure.text(x, y, subtitle, fontsize=9, color=MUTED, va="bottom", ha="left")


def footnote(figure: Figure, text: str, *, left_in: float, below_in: float) -> None:
    """How to read the figure, ``below_in`` inches under its box."""
    width, height = figure.get_size_inches()
    figure.text(left_in / width, -below_in / height, text, fontsize=8, color=MUTED, va="top", ha="left")


def light_grid(axes: Axes) -> None:
    """Lines behind the data, and no tick marks."""
    axes.grid(visible=True)
    axes.tick_params(length=0)
