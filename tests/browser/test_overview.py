"""The overview: its filters, and that their choice is in the address."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.parametrize("path", ["mixed/index.html", "mixed/report.html"])
CARDS, CLAIMS = ".card", "table.summary tbody tr"


def _shown(tab, items: str) -> list[str]:
    return tab.page.locator(items).filter(visible=True).all_inner_texts()


def _choose(tab, value: str) -> None:
    tab.page.locator("#filters label").filter(has=tab.page.locator(f"[value='{value}']")).click()


def test_a_filter_leaves_what_fits_and_says_how_much(open_tab, path) -> None:
    tab = open_tab(path)
    all_cards, all_claims = (len(_shown(tab, items)) for items in (CARDS, CLAIMS))

    _choose(tab, "mini")

    cards, claims = _shown(tab, CARDS), _shown(tab, CLAIMS)
    assert (len(cards), len(claims)) == (1, 2)
    assert (all_cards, all_claims) == (3, 8)
    assert all("scale mini" in claim for claim in claims)
    assert tab.page.locator("#shown").inner_text() == "1 of 3 grids and 2 of 8 claims shown"


def test_filters_of_one_kind_add_and_of_two_kinds_narrow(open_tab, path) -> None:
    tab = open_tab(path)

    _choose(tab, "supported")
    supported = _shown(tab, CLAIMS)
    _choose(tab, "undecided")
    both = _shown(tab, CLAIMS)
    _choose(tab, "mini")

    assert supported
    assert len(both) > len(supported)
    assert set(_shown(tab, CLAIMS)) < set(both)
    assert all("supported" in claim or "undecided" in claim for claim in both)


def test_the_address_keeps_the_choice(open_tab, path) -> None:
    tab = open_tab(path)
    _choose(tab, "undecided")
    _choose(tab, "demo")
    chosen = _shown(tab, CLAIMS)

    tab.page.reload()
    assert _shown(tab, CLAIMS) == chosen
    assert _shown(open_tab(f"{path}#{tab.page.url.partition('#')[2]}"), CLAIMS) == chosen

    tab.page.get_by_role("button", name="Show all").click()
    assert len(_shown(tab, CLAIMS)) == 8
    assert "#" not in tab.page.url
    assert tab.ask("() => document.activeElement.tagName") != "BODY"


@pytest.mark.parametrize("fragment", ["claims", "scale=unheard-of", "verdict=%3Cscript%3E", "&&=", "%E0%A4%A"])
def test_another_fragment_hides_nothing(open_tab, path, fragment) -> None:
    assert len(_shown(open_tab(f"{path}#{fragment}"), CLAIMS)) == 8


def test_a_filter_can_be_chosen_by_keyboard(open_tab, path) -> None:
    tab = open_tab(path)

    tab.page.get_by_role("checkbox", name="mini").focus()
    tab.page.keyboard.press("Space")

    assert len(_shown(tab, CARDS)) == 1
    assert tab.page.get_by_role("checkbox", name="mini").is_checked()


def test_counts_are_those_of_the_results(open_tab, folder, path) -> None:
    tab = open_tab(path)
    specs = [json.loads(found.read_text("utf-8")) for found in sorted((folder / "results").glob("*.*.json"))]

    texts = _shown(tab, CARDS)

    assert len(texts) == len(specs)
    for spec, text in zip(specs, texts, strict=True):
        assert spec["question"] in text
        assert spec["title"] in text


def test_a_badge_leads_to_its_claim(open_tab, path) -> None:
    tab = open_tab(path)

    tab.page.locator(CLAIMS).last.locator("a.badge").click()

    assert tab.page.url.endswith("S1b")
    assert tab.page.locator(":target").filter(has_text="S1b").is_visible()
