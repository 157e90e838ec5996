"""docs/images/page.png and page-run.png: the page of a real run of the quickstart.

python docs/page.py RESULTS_DIRECTORY      needs Chromium
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]
SIZE = {"width": 1120, "height": 720}


def main() -> None:
    """Take both pictures."""
    url = Path(sys.argv[1], "report.html").resolve().as_uri()
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        browser = chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(url)
        _take(page, "page.png")
        page.goto(f"{url}#T5::03-best-of-all::run_01")
        page.wait_for_selector("#panel .patch")
        _take(page, "page-run.png")
        browser.close()


def _take(page: Page, name: str) -> None:
    page.wait_for_selector("html[data-ready]")
    page.screenshot(path=IMAGES / name)


if __name__ == "__main__":
    main()
