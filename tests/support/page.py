"""The page in a browser: headless Chromium, and what it asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 30_000
"""Milliseconds that a loaded machine may take."""


def chromium() -> str:
    """The browser. In CI it must be there; elsewhere the tests are skipped without it."""
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI"):
        pytest.fail("no chromium: .ci/install-system installs it")
    return found or pytest.skip("no chromium on PATH")


def started_browser() -> Iterator[Browser]:
    """One browser, with a new profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(FLAGS), timeout=PATIENCE
        )
        yield browser
        browser.close()


class Opened:
    """A page of a results directory, as a browser shows it."""

    def __init__(self, browser: Browser, results: Path, hash: str = "", scheme: str = "light"):
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.url = (results / "report.html").as_uri()
        self.page.goto(self.url + hash)
        self.page.wait_for_selector("html[data-ready]")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def runs(self) -> list[str]:
        """The node ids of the runs in sight, in the order of the table."""
        links = self.page.locator("#rows a").all()
        return [(link.get_attribute("href") or "").removeprefix("#") for link in links]

    def panel(self) -> str:
        """What the open run says; waits until all of it is there."""
        self.page.wait_for_selector("#panel[data-run]")
        return self.page.locator("#panel").inner_text()


def ready_after(browser: Browser, results: Path) -> float:
    """Seconds from the start of the navigation until runs can be filtered and opened, and the
    first rows have been painted: by the browser's own clock."""
    with Opened(browser, results) as opened:
        return float(opened.page.get_attribute("html", "data-ready") or "nan") / 1000
