"""A page in real Chromium, cut off from everything, with all that it did written down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
_WATCH = "addEventListener('securitypolicyviolation', event => (window.refused ??= []).push(event.effectiveDirective));"


@dataclass
class Visit:
    """A page and what happened: errors, dialogs, pages shown; requests but for the file itself and what CSP refused."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("request", self._requested)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._asked)
        self.page.on("framenavigated", lambda frame: self.visited.add(frame.url.partition("#")[0]))

    def _requested(self, request: Request) -> None:
        if request.url != self.address:
            self.requests.append(request.url)

    def _failed(self, request: Request) -> None:
        if request.failure == "csp":
            self.requests.remove(request.url)

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    @property
    def refused(self) -> list[str]:
        """Directives of the page's own policy that something ran into."""
        found: list[str] = self.page.evaluate("window.refused ?? []")
        return found

    def assert_quiet(self) -> None:
        """Nothing was asked for, nothing went wrong, nobody was sent elsewhere."""
        assert (self.requests, self.errors, self.dialogs, self.visited) == ([], [], [], {self.address})


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
    seen = Visit(context.new_page(), path.resolve().as_uri())
    seen.watch()
    seen.page.goto(seen.address)
    try:
        yield seen
    finally:
        context.close()
