"""The Content-Security-Policy: what it forbids does not happen."""

from __future__ import annotations

import re

import pytest

from browser.sites import HOSTILE, PAIRS, STOP, cell_page, grids

every_kind = pytest.mark.parametrize(
    "path",
    ["mixed/index.html", "mixed/report.html", f"mixed/grids/{STOP}.demo.html", cell_page("mixed", grids()[0][0], 0)],
)

INJECTED = """<script>document.title = "ran"</script><img alt="" src="data:," onerror="document.title = 'ran'">"""


@every_kind
@pytest.mark.parametrize("guarded", [True, False], ids=["policy", "no policy"])
def test_an_injected_script_does_not_run(open_tab, folder, path, guarded) -> None:
    text = (folder / path).read_text(encoding="utf-8").replace("</main>", f"{INJECTED}</main>")
    if not guarded:
        text = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", text)
    copy = (folder / path).with_name("injected.html")
    copy.write_text(text, encoding="utf-8")

    tab = open_tab(str(copy.relative_to(folder)))

    copy.unlink()
    complaints = "\n".join(tab.complaints)
    tab.complaints.clear()
    assert (tab.page.title() == "ran") != guarded
    assert ("Executing inline script violates" in complaints) == guarded
    assert ("Executing inline event handler violates" in complaints) == guarded


@every_kind
def test_no_picture_is_fetched_from_elsewhere(open_tab, folder, path) -> None:
    text = (folder / path).read_text(encoding="utf-8")
    copy = (folder / path).with_name("fetching.html")
    copy.write_text(text.replace("</main>", '<img alt="" src="http://example.invalid/a.png"></main>'), encoding="utf-8")

    tab = open_tab(str(copy.relative_to(folder)))

    copy.unlink()
    (complaint,) = tab.complaints
    tab.complaints.clear()
    assert "img-src" in complaint
    assert list(tab.outside.values()) == ["csp"]
    tab.outside.clear()


@pytest.mark.parametrize(
    "path",
    [
        "hostile/index.html",
        "hostile/report.html",
        f"hostile/grids/{PAIRS}.demo.html",
        cell_page("hostile", grids()[0][0], 0),
        "hostile-diff.html",
    ],
)
def test_what_a_user_writes_is_text(open_tab, path) -> None:
    tab = open_tab(path)

    assert HOSTILE in tab.page.locator("main").inner_text()
    assert tab.page.locator("main script, [onerror]").count() == 0
    assert tab.page.title() != "ran"
