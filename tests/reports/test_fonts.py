"""Fonts: in an SVG as a subset of the characters that it uses, whole in a PDF, and the same in every process."""

from __future__ import annotations

import base64
import html
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_results import write_results
from fontTools.ttLib import TTFont
from made_up_grids import write_grids

from reports.claims.checks import FIGURE_KINDS
from reports.figures.drawing import draw
from reports.figures.fonts import face_css
from reports.figures.style import WIDTH, save
from reports.inputs import GridResult, load_results

ROOT = Path(__file__).parents[2]
CROWDED = (
    "simclr_fig5_augmentation_pairs",
    "simclr_fig7_depth_width",
    "simclr_fig9_batch_epochs",
    "simclr_table1_color_strength",
    "simsiam_table3_batchnorm",
)
SAVE = """
import hashlib, sys
from pathlib import Path
from reports.figures.drawing import draw
from reports.inputs import load_results
from reports.figures.style import save
for result in load_results(Path(sys.argv[1])):
    for file_format in ("svg", "pdf"):
        print(hashlib.sha256(save(draw(result), file_format)).hexdigest())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"), scales=["demo"])


@pytest.fixture(scope="module")
def result(folder) -> GridResult:
    return load_results(folder)[0]


def faces(css: str) -> dict[int, TTFont]:
    found = re.findall(r'font-weight:(\d+);src:url\("data:font/woff2;base64,([^"]+)"\) format\("woff2"\)', css)
    return {int(weight): TTFont(io.BytesIO(base64.b64decode(data))) for weight, data in found}


def test_an_svg_carries_the_characters_that_it_uses_in_each_weight(result) -> None:
    svg = save(draw(result), "svg").decode()
    used: dict[int, set[str]] = {400: set(), 700: set()}
    for attributes, text in re.findall(r"<text([^>]*)>([^<]*)</text>", svg):
        used[700 if "font-weight: 700" in attributes else 400] |= set(html.unescape(text))

    carried = faces(svg)

    assert "±" in used[400]
    assert {weight: set(map(chr, font.getBestCmap())) for weight, font in carried.items()} == used
    for font in carried.values():
        assert font.flavor == "woff2"
        assert "Copyright (c) 2003 by Bitstream" in str(font["name"].getDebugName(0))
        assert "permission notice shall be included" in str(font["name"].getDebugName(13)).replace("\n", " ")
    assert len("".join(re.findall(r"@font-face\{[^}]*\}", svg))) < 20_000
    assert svg.count("DejaVu Sans") > 10  # the family that the texts name


def test_a_page_has_one_font_for_all_its_figures() -> None:
    svgs = ['<text>abc ±</text><text style="font-weight: 700">A</text>', "<g/><text>cd → &amp;</text>"]

    carried = faces(face_css(svgs))

    assert {weight: "".join(sorted(map(chr, font.getBestCmap()))) for weight, font in carried.items()} == {
        400: " &abcd±→",
        700: "A",
    }


def test_characters_that_the_font_does_not_have_are_left_to_the_reader() -> None:
    carried = faces(face_css(["<text>a\N{CJK UNIFIED IDEOGRAPH-4E2D}</text>"]))

    assert set(map(chr, carried[400].getBestCmap())) == {"a"}


def test_a_pdf_embeds_its_fonts_as_truetype(result) -> None:
    pdf = save(draw(result), "pdf")

    assert pdf.count(b"/FontFile2") >= 2  # regular and bold
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


def test_two_processes_write_the_same_bytes(folder) -> None:
    command = [sys.executable, "-c", SAVE, str(folder)]
    runs = [
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    ]

    assert len(runs[0].split()) == 4
    assert runs[0] == runs[1]


def test_figures_of_every_kind_fit_two_columns_and_can_be_read(tmp_path) -> None:
    results = load_results(write_grids(tmp_path, CROWDED))

    assert {result.spec["figure"]["kind"] for result in results} == set(FIGURE_KINDS)
    for result in results:
        figure = draw(result)
        sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
        assert figure.get_tightbbox().width <= WIDTH + 0.1, result.name
        assert min(sizes) >= 5, result.name
