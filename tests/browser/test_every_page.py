"""What holds of every page, in both themes, wide and narrow: it loads, fits, and can be used without eyes or mouse."""

from __future__ import annotations

import pytest

from browser.sites import PAIRS, pages
from browser.tab import NARROW, WIDE

every_page = pytest.mark.parametrize("path", list(pages()))
every_size = pytest.mark.parametrize("path", [*pages(), f"mini/grids/{PAIRS}.mini.html"])  # the last: many cells
PAPER = 718  # what A4 leaves between margins of a centimetre, at 96 pixels an inch
INTERACTIVE = "a[href], button, input, select, textarea, summary, [tabindex='0']"
CONTROLS = "form, button, input, select, textarea"
OPEN_ALL = "() => document.querySelectorAll('details').forEach(details => { details.open = true; })"
PAGE_WIDTH = "() => document.documentElement.scrollWidth"
BEYOND = """width => [...document.querySelectorAll("body *")].filter(
    element => element.getBoundingClientRect().right > width + 1 && !element.closest(".scroll, .plate")
).slice(0, 5).map(element => element.outerHTML.slice(0, 120))"""
# tables whose first column, which stays while the others scroll, leaves them less than half of the window
COVERED = """() => [...document.querySelectorAll(".scroll")].filter(scroll => {
    const cells = [...scroll.querySelectorAll("th")].filter(cell => getComputedStyle(cell).position === "sticky");
    return cells.some(cell => cell.offsetWidth > scroll.clientWidth / 2);
}).map(scroll => scroll.outerHTML.slice(0, 120))"""


@every_page
@pytest.mark.parametrize(("theme", "width"), [("light", WIDE), ("dark", NARROW)], ids=str)
def test_axe_finds_nothing(open_tab, path, theme, width) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = open_tab(path, theme=theme, width=width)
    tab.ask(OPEN_ALL)

    found = Axe().run(tab.page).response["violations"]

    assert not found, "\n".join(
        f"{rule['impact']} {rule['id']}: {node['html'][:200]}\n  {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    )


@every_size
def test_it_fits_its_window(open_tab, screenshot, path) -> None:
    tab = open_tab(path)

    for theme in ("light", "dark"):
        for width in (WIDE, NARROW):
            tab.look(theme=theme, width=width)
            tab.shoot(screenshot(path, theme, width))
            assert tab.ask(PAGE_WIDTH) <= width, tab.ask(BEYOND, width)
    assert tab.ask(COVERED) == []


@every_size
def test_it_fits_on_paper(open_tab, screenshot, path) -> None:
    tab = open_tab(path)

    tab.look(theme="dark", width=PAPER, media="print")
    tab.ask(OPEN_ALL)
    tab.shoot(screenshot(path, "print"))

    assert tab.ask("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.page.locator(".skip, form, button.copy").filter(visible=True).count() == 0
    assert tab.ask(PAGE_WIDTH) <= PAPER, tab.ask(BEYOND, PAPER)


@every_page
def test_title_language_landmarks(open_tab, path) -> None:
    page = open_tab(path).page

    assert page.title()
    assert page.locator("html[lang]").count() == 1
    for role in ("banner", "main"):
        assert page.get_by_role(role).count() == 1, role
    assert page.get_by_role("heading", level=1).count() == 1


@every_page
def test_the_skip_link_leads_to_the_content(open_tab, path) -> None:
    tab = open_tab(path)

    tab.page.keyboard.press("Tab")
    assert tab.page.locator(".skip:focus").is_visible()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")

    assert tab.ask("() => !!document.activeElement.closest('main')")


@every_page
def test_the_keyboard_reaches_every_element_and_shows_where_it_is(open_tab, path) -> None:
    tab = open_tab(path)
    tab.ask(
        """wanted => {
            const shown = element => element.checkVisibility({visibilityProperty: true});
            const marked = element => {
                const style = element && getComputedStyle(element);
                return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
            };
            window.left = new Set([...document.querySelectorAll(wanted)].filter(shown));
            window.unmarked = [];
            document.addEventListener("focusin", ({target}) => {
                if (!marked(target) && !marked(target.nextElementSibling)) window.unmarked.push(target);
                window.left.delete(target);
            });
        }""",
        INTERACTIVE,
    )
    names = "elements => [...elements].map(element => element.outerHTML.slice(0, 120))"
    count = tab.ask("() => left.size")
    assert count > 2

    for _ in range(count + 20):
        tab.page.keyboard.press("Tab")

    assert tab.ask(f"() => ({names})(left)") == []
    assert tab.ask(f"() => ({names})(unmarked)") == []


@every_page
def test_nothing_is_missing_without_the_script(open_tab, path) -> None:
    scripted, plain = (open_tab(path, script=script) for script in (True, False))
    scripted.ask("() => document.querySelectorAll('form, button.copy').forEach(control => control.remove())")
    lines = [{line.strip() for line in tab.page.locator("main").inner_text().splitlines()} for tab in (scripted, plain)]

    assert lines[0] <= lines[1]
    assert plain.page.locator(CONTROLS).filter(visible=True).count() == 0


@every_page
def test_it_opens_from_disk(open_tab, folder, path) -> None:
    tabs = [open_tab(url) for url in ((folder / path).as_uri(), path)]
    for tab in tabs:
        tab.load_pictures()

    texts = [tab.page.locator("main").inner_text() for tab in tabs]

    assert texts[0] == texts[1]
    assert len(texts[0]) > 500
