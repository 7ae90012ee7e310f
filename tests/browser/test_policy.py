"""The Content-Security-Policy: what it forbids does not happen."""

from __future__ import annotations

import re

import pytest

from browser.test_every_page import every_page

INJECTED = """<script>document.title = "ran"</script><img alt="" src="data:," onerror="document.title = 'ran'">"""


@every_page
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


@every_page
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
