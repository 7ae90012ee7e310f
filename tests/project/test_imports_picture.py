"""The picture of the imports in docs/design.md: drawn from the code as it is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from imports_picture import COLUMNS, PICTURE, Imports, imports_of_the_code, layers_of, package_of, without_implied

DRAWN_AGAIN = "`nox -s imports_picture` draws docs/imports.svg again"


@pytest.fixture(scope="module")
def code() -> Imports:
    return imports_of_the_code()


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    return ET.fromstring(PICTURE.read_bytes())  # noqa: S314 - a file of the repository


def ids_of(picture: ET.Element) -> set[str]:
    return {identifier for element in picture.iter() if (identifier := element.get("id"))}


def test_the_picture_shows_the_rooms_of_the_code(code: Imports, picture: ET.Element) -> None:
    drawn = {name for name in ids_of(picture) if re.fullmatch(rf"({'|'.join(COLUMNS)})\.\w+", name)}

    assert drawn == set(code.rooms), DRAWN_AGAIN


def test_the_picture_lists_every_import_of_the_code(code: Imports, picture: ET.Element) -> None:
    (listed,) = (element.text for element in picture.iter() if element.tag.endswith("}description"))

    assert (listed or "").splitlines() == code.lines(), DRAWN_AGAIN


def test_the_picture_has_an_arrow_for_every_import_that_no_longer_way_implies(
    code: Imports,
    picture: ET.Element,
) -> None:
    expected = set()
    for package in COLUMNS:
        inside = {
            room: {other for other in others if package_of(other) == package}
            for room, others in code.rooms.items()
            if package_of(room) == package
        }
        expected |= {f"{room}--{other}" for room, others in without_implied(inside).items() for other in others}
    between = {f"{package_of(one)}--{two}" for one, two in code.pairs() if package_of(one) != package_of(two)}

    assert {name for name in ids_of(picture) if "--" in name} == expected | between, DRAWN_AGAIN


def test_every_room_of_the_code_is_in_a_layer(code: Imports) -> None:
    assert sorted(code.rooms) == sorted(room for name in COLUMNS for layer in layers_of(name) for room in layer)


def test_an_arrow_that_a_longer_way_implies_is_left_out() -> None:
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}

    assert without_implied(edges) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}
