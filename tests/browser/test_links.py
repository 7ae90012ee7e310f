"""Every link of every page leads somewhere, and every page can be come to."""

from __future__ import annotations

from urllib.parse import unquote, urldefrag, urlsplit

import pytest

LINKS = "() => [...document.querySelectorAll('a[href]')].map(link => link.href)"
IDS = "() => [...document.querySelectorAll('[id]')].map(element => element.id)"


@pytest.mark.parametrize("site", ["mixed", "hostile"])
def test_every_link_resolves_and_every_page_is_linked(open_tab, folder, address, site) -> None:
    tab = open_tab(f"{site}/index.html")
    waiting, ids, links = [f"{site}/index.html"], {}, []
    while waiting:
        path = waiting.pop()
        if path in ids:
            continue
        tab.page.goto(f"{address}/{path}")
        assert tab.page.title() not in ("", "ran")
        ids[path] = set(tab.ask(IDS))
        for link in tab.ask(LINKS):
            assert link.startswith(f"{address}/"), link
            target, fragment = urldefrag(link)
            relative = unquote(urlsplit(target).path).removeprefix("/")
            links.append((path, relative, unquote(fragment)))
            if relative.endswith(".html"):
                waiting.append(relative)

    assert [link for link in links if not (folder / link[1]).is_file()] == []
    assert [link for link in links if link[2] and link[2] not in ids[link[1]]] == []
    written = {str(page.relative_to(folder)) for page in (folder / site).rglob("*.html")}
    assert written - set(ids) == {f"{site}/report.html"}  # which stands alone
