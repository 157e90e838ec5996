"""What other reporters show of a run: JUnit properties, pytest-html's columns and links."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from tests.support.experiments import MODES, WORKS, Experiment, claude_md, read

HTML = ("-p", "html", "-p", "html_fixtures", "-p", "metadata")
AGENT = f"""
case $run in *pass*) {WORKS} ;; *crash*) exit 1 ;; esac
printf '{{"result": "", "total_cost_usd": 0.5, "usage": {{"input_tokens": 1200}}}}\\n'
"""
TIERS: dict[str, Any] = {
    "T0": {"00-pass": claude_md("B01"), "01-fail": claude_md("B02")},
    "T1": {"00-crash": {}},
}


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    return Experiment(pytester, agent=AGENT, tiers=TIERS)


@MODES
def test_junit_properties_arrive(toy: Experiment, mode: tuple[str, ...]) -> None:
    toy.run(*mode, "--junitxml=junit.xml").assert_outcomes(passed=1, failed=1, errors=1)
    cases = ElementTree.parse(toy.pytester.path / "junit.xml").findall(".//testcase")
    properties = {
        f"{case.get('classname')}.{case.get('name')}": {
            p.get("name"): p.get("value") for p in case.iter("property")
        }
        for case in cases
    }
    assert len(properties) == 3
    for name, found in properties.items():
        assert found["scylla_experiment"] == "toy"
        assert found["scylla_run"] == "1"
        tier, subtest = found["scylla_tier"], found["scylla_subtest"]
        if subtest == "00-crash":
            assert "scylla_score" not in found, name
            assert (tier, found["scylla_error"]) == ("T1", "crash")
        else:
            passed = subtest == "00-pass"
            assert tier == "T0"
            assert float(str(found["scylla_score"])) == passed
            assert found["scylla_cost_usd"] == "0.5"
            assert found["scylla_tokens_input"] == "1200"
    [failure] = [case.find("failure") for case in cases if case.find("failure") is not None]
    assert failure is not None
    assert "below the pass threshold" in str(failure.text)


def rows(page: str) -> list[str]:
    """The table's rows, as HTML."""
    found = re.search(r'data-jsonblob="([^"]*)"', page)
    assert found is not None
    tests = json.loads(html.unescape(found[1]))["tests"]
    return ["".join(run["resultsTableRow"]) for runs in tests.values() for run in runs]


def cells(row: str) -> dict[str, str]:
    return dict(re.findall(r'<td class="col-(\w+)">(.*?)</td>', row))


@MODES
def test_the_html_report_has_our_columns_links_and_table(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    page = toy.pytester.path / "pages" / "report.html"
    toy.run(*HTML, *mode, f"--html={page}")
    text = page.read_text()
    heads = ["Tier", "Subtest", "Run", "Score", "Grade", "Cost ($)", "Tokens"]
    found = [re.sub("<.*?>", "", head) for head in re.findall(r"<th[^>]*>.*?</th>", text)]
    assert [head for head in found if head in heads][-len(heads) :] == heads
    by_subtest = {cells(row)["subtest"]: row for row in rows(text) if cells(row).get("subtest")}
    passed = cells(by_subtest["00-pass"])
    assert (passed["tier"], passed["run"], passed["score"]) == ("T0", "run_01", "1.000")
    assert (passed["grade"], passed["cost"], passed["tokens"]) == ("S", "0.5000", "1,200")
    assert cells(by_subtest["00-crash"])["score"] == ""
    for row in by_subtest.values():
        links_resolve(page, row)
    for name in ("00-pass", "01-fail"):
        links = re.findall(r'href="([^"]+)"', cells(by_subtest[name])["files"])
        assert {Path(link).name for link in links} == {"report.md", "changes.patch"}
    title = text.split("<h3>toy")[1].split("</h3>")[0]
    links_resolve(page, title)
    assert re.findall(r'/(report\.\w+)">', title) == ["report.html", "report.md"]
    summary = read(toy.path("report.json"))["summary"]
    experiment = text.split("<h3>toy")[1].split("</table>")[0]
    assert f"{summary['mean_score']:.3f}" in experiment
    assert re.findall(r"<tr><td[^>]*>(\w+)</td>", experiment) == ["T0", "T1", "all"]


def links_resolve(page: Path, text: str) -> None:
    for link in re.findall(r'href="([^"#]+)"', text):
        assert (page.parent / unquote(html.unescape(link))).exists(), link


def test_cached_runs_are_marked_in_the_html_report(toy: Experiment) -> None:
    toy.run("-k", "pass")
    toy.run("-k", "pass", *HTML, "--html=report.html")
    [row] = rows((toy.pytester.path / "report.html").read_text())
    assert cells(row)["run"] == "run_01 (cached)"


def test_ordinary_tests_keep_their_rows(toy: Experiment) -> None:
    toy.pytester.makepyfile(test_ordinary="def test_it(): pass")
    result = toy.run("-k", "pass or it", *HTML, "--html=report.html", "test_ordinary.py")
    result.assert_outcomes(passed=2, deselected=2)
    found = [cells(row) for row in rows((toy.pytester.path / "report.html").read_text())]
    assert sorted(row["tier"] for row in found) == ["", "T0"]
