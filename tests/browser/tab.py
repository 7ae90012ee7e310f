"""A tab of the browser that remembers every complaint and every request that left this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the group `browser` is there only where these tests run
    from playwright.sync_api import Browser, Page

Theme = Literal["light", "dark"]
WIDE, NARROW = 1280, 390


class Tab:
    """One page in a context of its own."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        theme: Theme = "light",
        width: int = WIDE,
        script: bool = True,
        permissions: tuple[str, ...] = (),
    ) -> None:
        self.complaints: list[str] = []
        self.outside: dict[str, str] = {}  # URL -> what became of the request
        self.context = browser.new_context(
            color_scheme=theme,
            viewport={"width": width, "height": 800},
            java_script_enabled=script,
            permissions=list(permissions),
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(10_000)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url, "sent"))
        self.page.on("requestfailed", lambda request: self._requested(request.url, str(request.failure)))
        self.page.goto(url)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _requested(self, url: str, fate: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "file://", "data:", "blob:", "about:")):
            self.outside[url] = fate

    def ask(self, function: str, argument: Any = None) -> Any:
        """What a JavaScript function says of the page; it runs though the page's own policy forbids scripts."""
        return self.page.evaluate(function, argument)

    def look(self, *, theme: Theme = "light", width: int = WIDE, media: Literal["screen", "print"] = "screen") -> None:
        """Show the page otherwise."""
        self.page.emulate_media(color_scheme=theme, media=media)
        self.page.set_viewport_size({"width": width, "height": 800})

    def shoot(self, path: Path) -> None:
        """A screenshot of the whole page, with the pictures that it loads when they are scrolled to."""
        self.load_pictures()
        self.page.screenshot(path=path, full_page=True)

    def load_pictures(self) -> None:
        """Wait for every picture; raises playwright's Error if one cannot be shown."""
        self.ask(
            """() => Promise.all([...document.images].map(image => {
                image.loading = "eager";
                return image.decode();
            }))"""
        )

    def close(self) -> None:
        """End the context."""
        self.context.close()
