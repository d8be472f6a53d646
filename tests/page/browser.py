"""A browser of the machine, and what a page does in it that it should not."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

# The first opens no window for each clean page: that takes a quarter of the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 740}
# There to end a test that hangs, whatever else the machine does.
PATIENCE_MS = 60_000
MISSING = "no browser: install one (on Debian: apt-get install chromium-headless-shell)"
# Chromium's words for an answer of 400 and more: the service may refuse.
REFUSED = "Failed to load resource: the server responded with a status of "

expect.set_options(timeout=PATIENCE_MS)


def find_browser() -> str | None:
    """The path of a Chromium or Chrome, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser without a window.

    Playwright's event loop is the thread's own until it ends: nothing else of asyncio runs here meanwhile.
    """
    path = find_browser()
    assert path is not None, MISSING
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """Notes what a page must not do: errors, requests to elsewhere, refusals that nobody expects."""

    base: str
    # Statuses of 400 and more that a test provokes.
    refusals: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def add(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if message.text.startswith(REFUSED):
            status = int(message.text.removeprefix(REFUSED)[:3])
            if status in self.refusals:
                return
        self.faults.append(f"console: {message.text} ({message.location})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", f"blob:{urljoin(self.base, '/')}")):
            self.faults.append(f"request to elsewhere: {request.url}")


def open_page(browser: Browser, base: str, watch: Watch, link: str = "", **options: Any) -> Page:
    """A page in a context of its own: nothing that another test kept is seen.

    Args:
        base: where the service is, without a slash at the end.
        link: what follows it: `#/train`.
        options: of `Browser.new_context`.
    """
    context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
    context.set_default_timeout(PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=urljoin(base, "/"))
    page = context.new_page()
    watch.add(page)
    page.goto(f"{base}/{link}")
    return page


def may_skip() -> bool:
    """Whether tests may be left out for want of a browser: not where nobody would see it."""
    return not os.environ.get("CI")
