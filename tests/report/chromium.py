"""A page in real Chromium, cut off from everything, with all that it did written down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
_WATCH = "addEventListener('securitypolicyviolation', event => (window.refused ??= []).push(event.effectiveDirective));"


@dataclass
class Visit:
    """A page and what happened: requests but for the file itself, errors on the console, dialogs, navigations."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    visited: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[str]:
        """Directives of the page's own policy that something ran into."""
        found: list[str] = self.page.evaluate("window.refused ?? []")
        return found

    def assert_quiet(self) -> None:
        """Nothing was asked for, nothing went wrong, nobody was sent elsewhere."""
        assert (self.requests, self.errors, self.dialogs, len(self.visited)) == ([], [], [], 1)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "install chromium (Debian: apt install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, path: Path, **options: Any) -> Iterator[Visit]:
    """The page of a file, opened with the network off."""
    context = browser.new_context(**options)
    context.set_offline(True)
    if options.get("java_script_enabled", True):
        context.add_init_script(_WATCH)
    page = context.new_page()
    seen, address = Visit(page), path.resolve().as_uri()
    page.on("request", lambda request: request.url == address or seen.requests.append(request.url))
    page.on("console", lambda message: message.type in ("error", "warning") and seen.errors.append(message.text))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.on("framenavigated", lambda frame: seen.visited.append(frame.url))
    page.goto(address)
    try:
        yield seen
    finally:
        context.close()
