"""A browser, the sites that it visits, and tabs that must end without complaint."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import chromium, sites
from browser.tab import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OpenTab = Callable[..., Tab]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.executable()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no Chromium here: {chromium.ENABLE}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The folder of all sites."""
    return sites.build(tmp_path_factory.mktemp("sites"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@pytest.fixture(scope="session")
def address(folder) -> Iterator[str]:
    """Where a static file server serves that folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def open_tab(browser, address) -> Iterator[OpenTab]:
    """Open a tab on a path of the sites, or on a whole URL; at the end nothing may have gone wrong in any."""
    tabs: list[Tab] = []

    def open_one(path: str, **options: object) -> Tab:
        tab = Tab(browser, path if ":" in path else f"{address}/{path}", **options)
        tabs.append(tab)
        return tab

    yield open_one
    for tab in tabs:
        tab.close()
    assert [complaint for tab in tabs for complaint in tab.complaints] == []
    assert [request for tab in tabs for request in tab.outside.items()] == []


@pytest.fixture(scope="session")
def screenshot(tmp_path_factory) -> Callable[..., Path]:
    """Where the screenshot of a page goes: below the folder that BROWSER_SCREENSHOTS names, or a temporary one."""
    named = os.environ.get("BROWSER_SCREENSHOTS")
    shots = Path(named) if named else tmp_path_factory.mktemp("screenshots")

    def place(path: str, *look: object) -> Path:
        return shots / ".".join([path.removesuffix(".html"), *map(str, look), "png"])

    return place
