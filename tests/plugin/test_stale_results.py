"""Stale results: marked in every report, counted apart, and deciding nothing."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from pytest_scylla.command import main
from tests.support.experiments import MODES, TWO_WORKERS, Experiment, claude_md, read

TIERS: dict[str, Any] = {
    "T0": {"00-plain": claude_md("B01"), "01-other": claude_md("B02")},
    "T1": {"00-more": claude_md("B03")},
    "T2": {"00-heir": {"inherit_best_from": ["T0"]}},
}
AGENT = """
grep -q changed CLAUDE.md || echo done > answer.txt
echo '{"result": "done", "usage": {"output_tokens": 10}, "total_cost_usd": 0.5}'
"""


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    toy = Experiment(pytester, agent=AGENT, tiers=TIERS, runs=2)
    toy.run("-p", "xdist", "-n", "2").assert_outcomes(passed=8)
    return toy


def another_agent(toy: Experiment, **changes: Any) -> None:
    toy.configure(agent={**toy.settings["agent"], "env": {"MODEL": "new"}, **changes})


def check_marked(toy: Experiment, stale: dict[str, int]) -> None:
    """Every report names the stale runs, and counts the others alone."""
    left = 8 - sum(stale.values())
    report = read(toy.path("report.json"))
    assert report["summary"]["stale"] == stale
    assert report["summary"]["total_runs"] == left
    words = f"{sum(stale.values())} stale runs left out"
    for name in ("report.md", "report.html"):
        assert words in toy.path(name).read_text()
    with open(toy.path("export/runs.csv")) as file:
        assert len([*csv.DictReader(file)]) == left
    for setup in stale:
        assert "Stale" in toy.path(f"{setup}/run_01/report.md").read_text()
        assert read(toy.path(f"{setup}/report.json"))["stale"] == ["run_01", "run_02"]


@MODES
def test_a_session_of_one_tier_leaves_the_others_stale_and_out_of_all_figures(
    toy: Experiment, mode: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    another_agent(toy)
    summary = toy.pytester.path / "summary.md"
    result = toy.run(
        *mode, "-k", "T1", "--junitxml=junit.xml", env={"GITHUB_STEP_SUMMARY": str(summary)}
    )
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [r"T1 +2 +2 +0 +0 ", r"all +2 +2 +0 +0 .* T1/00-more$", r"6 stale runs left out \(T0/00-"]
    )
    assert "T0  " not in result.stdout.str()
    stale = {"T0/00-plain": 2, "T0/01-other": 2, "T2/00-heir": 2}
    check_marked(toy, stale)
    assert "6 stale runs left out" in summary.read_text()
    assert 'name="scylla.toy.stale_runs" value="6"' in (toy.pytester.path / "junit.xml").read_text()
    assert main(["status", str(toy.results)]) == 0
    said = capsys.readouterr().out
    assert "6 stale runs left out" in said
    assert any(line.split() == ["all", "2", "0", "0", "0", "0", "6"] for line in said.splitlines())
    toy.run(*mode).assert_outcomes(passed=8)
    assert read(toy.path("report.json"))["summary"]["stale"] == {}
    assert toy.executions["T1/00-more/run_01"] == 2, "what was current was not run again"


def test_results_of_another_agent_are_not_shown_under_one_that_was_skipped(
    toy: Experiment,
) -> None:
    another_agent(toy, pass_env=["A_KEY_THAT_IS_NOT_SET"])
    result = toy.run()
    result.assert_outcomes(skipped=8)
    result.stdout.re_match_lines([r"all +0 +0 +0 +0 ", r"8 stale runs left out"])
    assert "No answer yet" in toy.path("report.html").read_text()


def test_heirs_of_another_best_set_up_are_stale(toy: Experiment) -> None:
    """And a tier inherits from current results alone."""
    best = read(toy.path("T0/best_subtest.json"))["winning_subtest"]
    assert best == "00-plain"
    (toy.directory / "tiers/blocks/B01-text.md").write_text("changed\n")
    toy.run("-k", "00-plain", *TWO_WORKERS).assert_outcomes(failed=2)
    assert read(toy.path("T0/best_subtest.json"))["winning_subtest"] == "01-other"
    assert read(toy.path("report.json"))["summary"]["stale"] == {"T2/00-heir": 2}
    toy.run().assert_outcomes(failed=2, passed=6)
    assert read(toy.path("report.json"))["summary"]["stale"] == {}
    manifest = read(toy.path("T2/00-heir/config_manifest.json"))
    assert manifest["inherited_from"] == {"T0": "01-other"}


def test_no_tier_inherits_from_stale_results(toy: Experiment) -> None:
    another_agent(toy)
    result = toy.run("-k", "T2", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*no parent to inherit from: no run of T0 has a verdict*"])


def test_set_ups_that_are_no_longer_in_the_experiment_are_left_out(toy: Experiment) -> None:
    subtests = toy.directory / "tiers/subtests/t0"
    (subtests / "01-other.yaml").rename(subtests / "02-renamed.yaml")
    result = toy.run("-k", "00-plain or T1")
    result.assert_outcomes(passed=4)
    assert read(toy.path("report.json"))["summary"]["stale"] == {"T0/01-other": 2}
    report = json.dumps(read(toy.path("report.json")))
    assert "renamed" not in report


CHANGES: dict[str, Any] = {
    "agent": lambda toy: another_agent(toy),
    "prompt": lambda toy: toy.write("task/prompt.md", "Write it.\n"),
    "source": lambda toy: toy.write("task/files/more.txt", "more\n"),
    "judge": lambda toy: toy.configure(judges=[{"adapter": "rubric-checks"}] * 2),
    "panel": lambda toy: toy.configure(consensus="min"),
    "rubric": lambda toy: toy.write("task/expected/notes.txt", "other checks\n"),
    "nothing": lambda toy: None,
}


def test_what_is_stale_is_just_what_the_next_session_does_again(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    toy.run().assert_outcomes(passed=4)
    for name, change in CHANGES.items():
        change(toy)
        before = {path: path.stat().st_mtime_ns for path in toy.results.rglob("run_result.json")}
        counted = toy.run("--collect-only")
        stale = int(counted.stdout.str().split("\nall ")[1].split()[5])
        toy.run().assert_outcomes(passed=4)
        again = sum(before[path] != path.stat().st_mtime_ns for path in before)
        assert again == stale == (0 if name == "nothing" else 4), name
        assert read(toy.path("report.json"))["summary"]["stale"] == {}
