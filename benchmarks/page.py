"""The page of 10,000 runs: how large it is, how long it takes to write, and to open in Chromium.

The runs are made, not executed: three judges each, with patches and transcripts of a usual size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from pytest_scylla.reports.page import write_page
from pytest_scylla.reports.panel import panel_figures
from pytest_scylla.reports.spending import spent
from pytest_scylla.reports.summary import summarise
from tests.support.many_runs import write_many_runs
from tests.support.page import FLAGS, chromium, ready_after


def main() -> None:
    """Make the runs, write the page, open it several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = write_many_runs(Path(name), runs=options.runs)
        experiment = summarise(results)
        money, panel = spent(results), panel_figures(experiment)
        started = time.perf_counter()
        write_page(experiment, money, panel)
        seconds = time.perf_counter() - started
        size = (results / "report.html").stat().st_size
        print(f"{options.runs:,} runs: {size / 1e6:.1f} MB, written in {seconds:.1f} s")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
            opened = [ready_after(browser, results) for _ in range(options.rounds)]
            print(json.dumps({"seconds to interactive": sorted(opened),
                              "median": statistics.median(opened)}))  # fmt: skip
            browser.close()


if __name__ == "__main__":
    main()
