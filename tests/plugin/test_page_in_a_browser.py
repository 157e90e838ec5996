"""The page, made from a real session and opened in Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

from pytest_scylla.reports.writing import write_reports
from pytest_scylla.results import RunFailure
from pytest_scylla.rounding import rounded
from pytest_scylla.store import write_json, write_text
from tests.support.examples import write_result
from tests.support.experiments import Experiment, check, claude_md, rubric, run_pytest
from tests.support.many_runs import write_many_runs
from tests.support.page import Opened, ready_after, started_browser

ROOT = Path(__file__).parents[2]

AGENT = """
cat > /dev/null
case $run in
  T0/00-empty/*) echo poor > poor.txt ;;
  T0/01-crash/*) echo "it broke" >&2; exit 3 ;;
  *) echo good > answer.txt; echo "+1 <b>bold</b>" >> answer.txt ;;
esac
echo "I wrote it: <script>alert(1)</script>"
"""
TIERS = {
    "T0": {"00-empty": {}, "01-crash": claude_md("B09")},
    "T1": {"01-block": claude_md("B01"), "02-blocks": claude_md("B01", "B02")},
}
TWO = rubric(check(id="R1"), check("grep -q good answer.txt", id="R2"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from started_browser()


@pytest.fixture
def results(pytester: pytest.Pytester) -> Path:
    """Six judged runs in two tiers, four of them passed, and two without a verdict."""
    experiment = Experiment(pytester, agent=AGENT, tiers=TIERS, rubric=TWO, runs=2)
    said = experiment.run().outlines
    assert f"page: {experiment.results.relative_to(pytester.path)}/report.html" in said
    return experiment.results


def test_the_page_answers_and_runs_are_filtered_sorted_and_opened(
    results: Path, browser: Browser
) -> None:
    with Opened(browser, results) as opened:
        page = opened.page
        answer = page.locator("#answer").inner_text()
        assert "Highest median score so far: T1/01-block" in answer
        assert "Not enough runs to tell" in answer
        assert len(opened.runs()) == 8

        page.keyboard.press("/")
        page.keyboard.type("t0 crash")
        assert opened.runs() == ["T0::01-crash::run_01", "T0::01-crash::run_02"]
        assert page.locator("#count").inner_text() == "2 of 8 runs"
        page.get_by_role("button", name="Reset").click()
        page.locator("#outcome").select_option("failed")
        assert opened.runs() == ["T0::00-empty::run_01", "T0::00-empty::run_02"]
        page.locator("#outcome").select_option("")
        page.locator("#tier").select_option("T1")
        assert len(opened.runs()) == 4
        page.locator("#tier").select_option("")

        page.locator("#heads button", has_text="score").click()
        page.locator("#heads button", has_text="score").click()
        assert opened.runs()[0].startswith("T1::")
        assert opened.runs()[-2:] == ["T0::01-crash::run_01", "T0::01-crash::run_02"]

        page.locator("#scroll").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert opened.runs()[1] in opened.panel()
        assert page.url.endswith(f"#{opened.runs()[1]}")
        page.keyboard.press("Escape")
        assert not page.locator("#panel").is_visible()
        assert page.evaluate("document.activeElement.id") == "scroll"
        assert (opened.requests, opened.complaints) == ([opened.url], [])


def test_a_run_opens_by_its_node_id_and_its_links_lead_to_its_files(
    results: Path, browser: Browser
) -> None:
    with Opened(browser, results, "#T1::02-blocks::run_02") as opened:
        said = opened.panel()
        for text in ("T1::02-blocks::run_02", "passed", "R1", "+good", "<script>alert(1)</script>"):
            assert text in said or text in (opened.page.locator("#panel").text_content() or "")
        added = opened.page.locator("#panel .patch .add").all_inner_texts()
        assert "+good" in added
        links = [link.get_attribute("href") for link in opened.page.locator("a[href]").all()]
        files = [link for link in links if link and not link.startswith("#")]
        assert {Path(file).name for file in files} >= {"changes.patch", "report.md", "runs.csv"}
        for file in files:
            assert not urlsplit(file).scheme
            assert (results / unquote(file)).exists(), file
        opened.page.locator("#panel .files a", has_text="patch").click()
        opened.page.wait_for_url("**/T1/02-blocks/run_02/agent/changes.patch")
    node = "experiments/toy/experiment.yaml::T0::01-crash::run_01"
    with Opened(browser, results, f"#{node}", scheme="dark") as crash:
        assert "No verdict" in crash.panel()
        assert "it broke" in crash.panel()
        crash.page.keyboard.press("Escape")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        dark = crash.page.evaluate(ground)
        crash.page.locator("#theme").click()
        assert crash.page.evaluate(ground) == "rgb(255, 255, 255)" != dark


def test_two_set_ups_side_by_side_and_decimals_as_everywhere(
    tmp_path: Path, browser: Browser
) -> None:
    results = tmp_path / "2026-01-01T00-00-00-pairs"
    scores = [0.5625, 0.8375, 0.83749999999999, 0.0005, 1.0, 0.1875]
    for number in range(6):
        run = f"run_{number + 1:02d}"
        write_result(results / "T0" / "00-a-set-up-with-a-long-name" / run, 0.6, cost_usd=0.00005)
        write_result(results / "T0" / "01-b" / run, 1.0, cost_usd=0.1)
        write_result(results / "T0" / "02-c" / run, scores[number], cost_usd=0.2)
    failure = RunFailure(kind="crash", message="", stage="agent", at="")
    write_json(results / "T0" / "03-d" / "run_01" / "error.json", failure)
    write_reports(results)
    with Opened(browser, results) as opened:
        page = opened.page
        page.locator("#one").select_option(label="T0/01-b")
        page.locator("#other").select_option(label="T0/00-a-set-up-with-a-long-name")
        said = page.locator("#beside .difference").inner_text()
        assert "Difference: T0/01-b less T0/00-a-set-up-with-a-long-name" in said
        assert "+0.400, higher (p 0.002); corrected for 2 set-ups: p 0.004" in said
        assert "+0 points [-39 to +39 points], not more than chance (p 1.000)" in said
        page.locator("#other").select_option(label="T0/02-c")
        assert "p 0." in page.locator("#beside .difference").inner_text()
        page.locator("#other").select_option(label="T0/03-d")
        assert "scylla compare DIR --between" in page.locator("#beside").inner_text()
        page.locator("#text").fill("02-c")
        shown = page.locator("#rows td:nth-child(5)").all_inner_texts()
        assert shown == [rounded(score, 3) for score in scores]
        page.locator("#text").fill("00-a run_01")
        assert page.locator("#rows td:nth-child(7)").all_inner_texts() == ["$0.0001"]
        page.locator("#answer summary").click()
        for width in (1400, 420):
            page.set_viewport_size({"width": width, "height": 900})
            for name in page.locator("#answer tbody th bdi").all():
                assert name.evaluate("one => one.getClientRects().length") == 1
                height = name.evaluate("one => one.getBoundingClientRect().height")
                assert height < 40, name.inner_text()
        assert opened.complaints == []


HOSTILE = (
    "</script><script>document.title = 'owned'</script><img src=x onerror=\"alert('owned')\">"
    "<!--<script> \x1b[31mred\x1b[0m \x1b]0;title\x07 "
    "\x00 \u202egnp.exe שלום 👩‍🔬 {{x}} ${x} \\u003c"
)


def test_what_an_agent_or_a_judge_wrote_does_nothing(tmp_path: Path, browser: Browser) -> None:
    results = tmp_path / "2026-01-01T00-00-00-hostile"
    run = results / "T0" / "00-<img src=x onerror=alert(1)>" / "run_01"
    write_result(run, 0.5, judge_reasoning=HOSTILE)
    turn = {"number": 1, "text": HOSTILE, "tools": [{"name": HOSTILE, "input": {"x": HOSTILE}}]}
    long = "x" * 5_000_000
    files = {
        "output.txt": f"{HOSTILE}\n{long}",
        "changes.patch": f"+{HOSTILE}\n+{long}",
        "prompt.md": HOSTILE,
        "transcript.jsonl": f"{json.dumps(turn)}\n{json.dumps({'text': long})}\nno json\n",
    }
    for name, text in files.items():
        write_text(run / "agent" / name, text)
    write_reports(results)
    assert (results / "report.html").stat().st_size < 300_000
    hash = "#T0::00-<img src=x onerror=alert(1)>::run_01"
    with Opened(browser, results, hash) as opened:
        opened.panel()
        said = opened.page.locator("#panel").text_content() or ""
        assert said.count("</script><script>") >= 5
        assert "characters cut" in said
        assert "⟨U+202E⟩" in said
        assert "שלום 👩‍🔬" in said
        assert not {"\x1b", "\x00", "\u202e"} & set(said)
        assert opened.page.title() != "owned"
        assert opened.page.locator("img, #panel script").count() == 0
        assert (len(opened.requests), opened.complaints) == (1, [])


@pytest.mark.slow
def test_the_page_of_the_quickstart_opens(pytester: pytest.Pytester, browser: Browser) -> None:
    shutil.copytree(ROOT / "experiments", pytester.path / "experiments")
    pytester.makefile(".ini", pytest="[pytest]\n")
    session = run_pytest(pytester, "-p", "xdist", "-n", "2", "experiments/quickstart")
    session.assert_outcomes(passed=40, xfailed=2)
    [results] = (pytester.path / "results").glob("*-quickstart")
    with Opened(browser, results) as opened:
        assert opened.page.locator("#count").inner_text() == "42 of 42 runs"
        answer = opened.page.locator("#answer").inner_text()
        assert "Cheapest pass so far: T0/00-empty" in answer
        opened.page.keyboard.press("/")
        opened.page.keyboard.type("best-of-all")
        assert opened.runs() == ["T5::03-best-of-all::run_01", "T5::03-best-of-all::run_02"]
        assert (opened.requests, opened.complaints) == ([opened.url], [])


@pytest.mark.slow
def test_ten_thousand_runs_open_in_two_seconds_and_take_less_than_15_mb(
    tmp_path: Path, browser: Browser
) -> None:
    results = write_many_runs(tmp_path, runs=10_000)
    write_reports(results)
    assert (results / "report.html").stat().st_size < 15_000_000
    assert min(ready_after(browser, results) for _ in range(3)) < 2
    with Opened(browser, results) as opened:
        assert len(opened.page.locator("#rows tr").all()) < 100
        opened.page.locator("#scroll").focus()
        opened.page.keyboard.press("End")
        assert opened.runs()[-1] == "T4::19-subtest::run_100"
        opened.page.keyboard.press("Enter")
        assert "T4::19-subtest::run_100" in opened.panel()
        opened.page.wait_for_function("document.querySelector('#panel').children.length > 4")
        opened.page.keyboard.press("Escape")
        opened.page.keyboard.press("/")
        opened.page.keyboard.type("no_quorum")
        assert opened.page.locator("#count").inner_text() == "200 of 10,000 runs"
        assert opened.complaints == []
