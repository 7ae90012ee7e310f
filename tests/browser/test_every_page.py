"""What holds of every page, in both themes, wide and narrow: it loads, fits, and can be used without eyes or mouse."""

from __future__ import annotations

import pytest

from browser.tab import NARROW, WIDE

PAGES = ["mini/index.html", "mixed/index.html"]
LOOKS = [(theme, width) for theme in ("light", "dark") for width in (WIDE, NARROW)]
every_page = pytest.mark.parametrize("path", PAGES)
every_look = pytest.mark.parametrize(("theme", "width"), LOOKS, ids=str)

INTERACTIVE = "a[href], button, input, select, textarea, summary, [tabindex='0']"


@every_page
@every_look
def test_axe_finds_nothing(open_tab, path, theme, width) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = open_tab(path, theme=theme, width=width)

    found = Axe().run(tab.page).response["violations"]

    assert not found, "\n".join(
        f"{rule['impact']} {rule['id']}: {node['html'][:200]}\n  {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    )


@every_page
@every_look
def test_it_fits_its_window_and_is_drawn(open_tab, screenshots, path, theme, width) -> None:
    tab = open_tab(path, theme=theme, width=width)

    tab.shoot(screenshots / f"{path.removesuffix('.html').replace('/', '-')}.{theme}.{width}.png")

    beyond = """width => [...document.querySelectorAll("body *")].filter(
        element => element.getBoundingClientRect().right > width + 1 && !element.closest(".scroll, .plate, .deviations")
    ).map(element => element.outerHTML.slice(0, 120))"""
    assert tab.ask("() => document.documentElement.scrollWidth") <= width, tab.ask(beyond, width)[:5]


@every_page
def test_it_is_drawn_for_print(open_tab, screenshots, path) -> None:
    tab = open_tab(path)
    tab.page.emulate_media(media="print")

    tab.shoot(screenshots / f"{path.removesuffix('.html').replace('/', '-')}.print.png")

    assert tab.ask("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.page.locator(".skip").is_visible()


@every_page
def test_landmarks(open_tab, path) -> None:
    page = open_tab(path).page

    assert page.title()
    assert page.locator("html[lang]").count() == 1
    for role in ("banner", "main", "contentinfo"):
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
            window.left = new Set([...document.querySelectorAll(wanted)].filter(shown));
            window.unmarked = [];
            document.addEventListener("focusin", ({target}) => {
                const style = getComputedStyle(target);
                if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) window.unmarked.push(target);
                window.left.delete(target);
            });
        }""",
        INTERACTIVE,
    )
    names = "set => [...set].map(element => element.outerHTML.slice(0, 120))"
    count = tab.ask("() => left.size")
    assert count > 5

    for _ in range(count + 20):
        tab.page.keyboard.press("Tab")

    assert tab.ask(f"() => ({names})(left)") == []
    assert tab.ask(f"() => ({names})(unmarked)") == []


@every_page
def test_nothing_is_missing_without_the_script(open_tab, path) -> None:
    with_script, without = (open_tab(path, script=script).page.locator("main") for script in (True, False))
    lines = [{line.strip() for line in main.inner_text().splitlines()} for main in (with_script, without)]

    assert lines[0] <= lines[1]


@every_page
def test_it_opens_from_disk(open_tab, folder, path) -> None:
    tab = open_tab((folder / path).as_uri())

    assert tab.page.get_by_role("main").inner_text() == open_tab(path).page.get_by_role("main").inner_text()
