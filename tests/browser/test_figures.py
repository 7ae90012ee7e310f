"""Figures in a browser: their text is text, in the font that they carry."""

from __future__ import annotations

import pytest

from browser.sites import PAIRS, STOP

SLUGS = [f"{PAIRS}.mini", f"{STOP}.mini"]
SEEN = """async () => {
    await document.fonts.ready;
    const text = document.querySelector("svg text");
    return {
        states: [...document.fonts].map(face => face.status),
        families: [...document.fonts].map(face => face.family),
        used: getComputedStyle(text).fontFamily,
        width: text.getBBox().width,
    };
}"""


@pytest.mark.parametrize(
    "path", [f"mini/{kind}" for slug in SLUGS for kind in (f"grids/{slug}.html", f"figures/{slug}.svg")]
)
def test_text_is_drawn_in_the_font_that_comes_along(open_tab, folder, path) -> None:
    tab = open_tab((folder / path).as_uri())

    seen = tab.ask(SEEN)

    assert set(seen["states"]) == {"loaded"}
    (family,) = {name.strip('"') for name in seen["families"]}
    assert seen["used"].split(",")[0].strip('"') == family
    assert seen["width"] > 0


def test_a_reader_finds_words_of_the_figure(open_tab) -> None:
    text = open_tab(f"mini/grids/{SLUGS[0]}.html").page.locator(".plate svg")

    for word in ("crop", "cutout", "sobel", "rotate"):
        assert text.get_by_text(word, exact=True).first.is_visible()
    assert "crop" in (text.get_attribute("aria-label") or "")
