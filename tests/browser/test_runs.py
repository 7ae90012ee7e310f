"""The page of a cell: its table sorts and sifts, its buttons copy, and numbers lead to it."""

from __future__ import annotations

import itertools

import pytest

from browser.sites import PAIRS, cell_page, grids

PAIRS_SPEC, STOP_SPEC, _ = (spec for spec, _ in grids())
PATH = cell_page("mixed", STOP_SPEC, 0)
ODD = cell_page("mixed", PAIRS_SPEC, 0)
TABLE = "table.sortable"


def _column(tab, name: str) -> list[str]:
    index = tab.page.locator(f"{TABLE} thead th").all_inner_texts()
    (place,) = [number for number, text in enumerate(index) if text.startswith(name)]
    rows = tab.page.locator(f"{TABLE} tbody tr").filter(visible=True)
    return [row.locator("th, td").nth(place).inner_text() for row in rows.all()]


@pytest.mark.parametrize("name", ["Seed", "Linear"])
def test_a_click_sorts_by_value_and_says_so(open_tab, name) -> None:
    tab = open_tab(PATH)
    header = tab.page.locator(f"{TABLE} thead th").filter(has_text=name).first

    header.get_by_role("button").click()
    rising = [float(text) for text in _column(tab, name)]
    assert header.get_attribute("aria-sort") == "ascending"
    assert rising == sorted(rising)

    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in _column(tab, name)] == rising[::-1]
    assert tab.page.locator(f"{TABLE} [aria-sort]").count() == 1


def test_a_missing_number_comes_last_either_way(open_tab) -> None:
    tab = open_tab(ODD)
    button = tab.page.locator(f"{TABLE} thead th").filter(has_text="Linear").first.get_by_role("button")

    orders = []
    for _ in range(2):
        button.click()
        orders.append(_column(tab, "Linear"))

    assert [order[-1] for order in orders] == 2 * ["\N{EN DASH}"]
    assert [len(order) for order in orders] == [3, 3]
    assert orders[0][:-1] == orders[1][-2::-1]


def test_the_keyboard_sorts(open_tab) -> None:
    tab = open_tab(PATH)
    header = tab.page.locator(f"{TABLE} thead th").first

    header.get_by_role("button").focus()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Enter")

    assert _column(tab, "Seed") == ["2", "1", "0"]


def test_states_and_words_sift(open_tab) -> None:
    tab = open_tab(ODD)
    form = tab.page.locator("form.sift")

    form.get_by_label("State").select_option("failed")
    assert _column(tab, "Seed") == ["0"]
    assert form.locator("output").inner_text() == "1 of 3 shown"

    form.get_by_label("State").select_option("")
    form.get_by_label("Text").fill("cluster.example trained")
    assert _column(tab, "Seed") == ["1", "2"]

    form.get_by_label("Text").fill("no such words")
    assert _column(tab, "Seed") == []


@pytest.mark.parametrize("way", ["served", "disk", "no clipboard"])
def test_the_button_copies_the_command(open_tab, folder, way) -> None:
    url = (folder / PATH).as_uri() if way == "disk" else PATH
    tab = open_tab(url, permissions=("clipboard-read", "clipboard-write") if way == "served" else ())
    if way == "no clipboard":
        tab.ask("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    command = STOP_SPEC["cells"][0]["runs"][1]["command"]

    button = tab.page.get_by_role("button", name="Copy").nth(1)
    button.click()

    tab.page.get_by_role("button", name="Copied").wait_for()
    tab.page.get_by_role("status").filter(has_text="copied").wait_for(state="attached")
    assert tab.ask("() => document.activeElement.className") == "copy"
    tab.page.get_by_label("Text").focus()
    tab.page.keyboard.press("Control+V")
    assert tab.page.get_by_label("Text").input_value() == command


def test_every_run_of_the_table_has_its_panel(open_tab) -> None:
    tab = open_tab(ODD)

    for run, link in itertools.zip_longest(PAIRS_SPEC["cells"][0]["runs"], tab.page.locator(f"{TABLE} tbody a").all()):
        link.click()
        panel = tab.page.locator(":target")
        assert panel.get_attribute("id") == run["run_id"]
        for text in (run["command"], run["run_id"], f"Seed {run['seed']}"):
            assert text in panel.inner_text()


def test_the_panel_of_a_failed_run_shows_why(open_tab) -> None:
    panel = open_tab(ODD).page.locator("section.run").first

    for text in ("failed", "ValueError: no such file", "0123456789ab", "torch 2.14.0", "cluster.example.org"):
        assert text in panel.inner_text()
    assert panel.locator(".attempts tbody tr").count() == 2
    panel.get_by_text("The last lines of its log").click()
    assert panel.get_by_text("epoch 19  loss -1.9000").is_visible()


def test_a_number_leads_to_the_runs_behind_it(open_tab) -> None:
    tab = open_tab(f"mixed/grids/{PAIRS}.demo.html")

    tab.page.locator("table.numbers tbody tr").nth(1).locator("a").first.click()

    assert tab.page.url.endswith(cell_page("mixed", PAIRS_SPEC, 1))
    assert tab.page.locator("section.run").count() == 3
