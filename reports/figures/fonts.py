"""The font of the figures, cut down to the characters that are used, as ``@font-face`` rules that carry it along.

The font is DejaVu Sans, which matplotlib brings. Its licence (https://dejavu-fonts.github.io/License.html, after
Bitstream Vera's) allows to modify, embed and distribute it, as long as copyright and permission notice go with it:
they stay in the names of every subset.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import matplotlib as mpl
from fontTools import subset
from fontTools.ttLib import TTFont

FAMILY = "DejaVu Sans"
REGULAR, BOLD = 400, 700

_FILES = {REGULAR: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}
_NAMES = (0, 1, 2, 4, 5, 6, 13, 14)  # what it is called, copyright, licence
_TEXT = re.compile(r"<text\b([^>]*)>(.*?)</text>", re.DOTALL)


def face_css(svgs: Iterable[str]) -> str:
    """The ``@font-face`` rules for the texts of SVGs, regular and bold with the characters that each of them uses.

    Every rule ends in a newline. The family is ``FAMILY``, which a style sheet must not name for other text.
    """
    characters: dict[int, frozenset[str]] = dict.fromkeys(_FILES, frozenset())
    for attributes, text in (found for svg in svgs for found in _TEXT.findall(svg)):
        weight = BOLD if "font-weight: 700" in attributes else REGULAR
        characters[weight] |= frozenset(html.unescape(text))
    return "".join(
        f'@font-face{{font-family:"{FAMILY}";font-weight:{weight};'
        f'src:url("data:font/woff2;base64,{base64.b64encode(_woff2(weight, found)).decode()}") format("woff2")}}\n'
        for weight, found in characters.items()
        if found
    )


@cache
def _woff2(weight: int, characters: frozenset[str]) -> bytes:
    """A face with these characters alone, as WOFF2; the same for the same characters, in every process."""
    options = subset.Options(
        flavor="woff2",
        recalc_timestamp=False,
        hinting=False,  # screens that show SVG do without, and it is half of the size
        layout_features=["kern", "liga"],  # what matplotlib's own layout uses
        name_IDs=list(_NAMES),
        notdef_outline=True,
    )
    options.drop_tables += ["FFTM", "MATH"]
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / _FILES[weight]
    with TTFont(path, recalcTimestamp=False) as font:
        worker = subset.Subsetter(options)
        worker.populate(unicodes=sorted(map(ord, characters)))
        worker.subset(font)
        font.flavor = "woff2"
        buffer = io.BytesIO()
        font.save(buffer, reorderTables=True)
    return buffer.getvalue()
