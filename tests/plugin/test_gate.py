"""--scylla-baseline: a tier that got worse fails the session; and what a CI is shown."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.experiments import MODES, WORKS, Experiment, claude_md, read

TIERS = {"T0": {"00-empty": claude_md("B01")}, "T1": {"00-empty": claude_md("B02")}}
BREAKS = f"case $run in T0/*) ;; *) {WORKS} ;; esac"
REGRESSION = 8


@MODES
def test_a_tier_that_got_worse_fails_the_session(
    pytester: pytest.Pytester, mode: tuple[str, ...], tmp_path: Path
) -> None:
    toy = Experiment(pytester, agent=WORKS, tiers=TIERS, runs=6)
    toy.run(*mode).assert_outcomes(passed=12)
    baseline = toy.results
    again = toy.run(*mode, f"--scylla-baseline={baseline}")
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    assert "it cannot be compared with itself" in again.stderr.str()
    toy.write_agent(BREAKS)
    summary = tmp_path / "summary.md"
    found = toy.run(
        *mode,
        "--scylla-fresh",
        f"--scylla-baseline={baseline}",
        "--junitxml=junit.xml",
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert found.ret == REGRESSION
    found.stdout.re_match_lines(
        [
            r"=+ scylla: against .*-toy =+",
            r"T0 +6 +6 → 0 +1.000 +0.000 +-1.000 .* worse",
            r"T1 +6 +6 → 6 +1.000 +1.000 +\+0.000 .* no worse",
            r"flipped verdicts: 6",
            r"  toy/T0/00-empty/run_01: passed → failed: the agent did something else",
            r"T0: worse \(p < 0.05, corrected for the number of tiers\)",
        ]
    )
    text = summary.read_text()
    assert "## toy" in text
    assert "| T0 | 6 | 0 | 6 | 0 |" in text
    assert "**T0: worse" in text
    compared = read(toy.path("comparison.json"))
    assert [(t["tier"], t["change"], t["standing"]) for t in compared["tiers"]] == [
        ("T0", -1.0, "worse"),
        ("T1", 0.0, "no worse"),
    ]
    page, report = toy.path("report.html").read_text(), toy.path("report.md").read_text()
    shown = page.partition("Against the baseline</h2>")[2].partition("</section>")[0]
    for line in compared["table"]:
        assert all(f"<bdi>{cell}</bdi>" in shown for cell in line) or line[0] == "tier"
        assert f"| {' | '.join(line)} |" in text
        assert f"| {' | '.join(line)} |" in report
    assert compared["verdict"].replace("<", "&lt;") in shown
    assert compared["notes"][0] == "flipped verdicts: 6"
    assert "flipped verdicts: 6" in shown
    suite = ElementTree.parse(pytester.path / "junit.xml").find(".//testsuite/properties")
    assert suite is not None
    properties = {p.get("name"): p.get("value") for p in suite}
    report = read(toy.path("T1/report.json"))["summary"]
    assert properties["scylla.toy.T1.pass_rate"] == str(report["pass_rate"]) == "1.0"
    assert properties["scylla.toy.T0.failed"] == "6"
    assert "scylla.toy.T0.cost_of_pass" not in properties


def test_a_table_is_a_baseline_and_too_few_runs_say_so(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=WORKS, tiers=TIERS)
    toy.run("-q")
    table = toy.path("export/runs.csv")
    toy.write_agent(BREAKS)
    found = toy.run("--scylla-fresh", f"--scylla-baseline={table}")
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.stdout.fnmatch_lines(["T0 *not enough runs to tell: * more runs would decide"])


NOTHING = 9


def test_a_gate_that_compares_nothing_fails_the_session(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=WORKS, tiers={"T0": {"00-empty": claude_md("B01")}}, runs=2)
    toy.run("-q")
    table = toy.path("export/runs.csv")
    for old, new in (("toy", "tea"), ("T0", "T9"), ("00-empty", "00")):
        renamed = pytester.path / f"{new}.csv"
        renamed.write_text(table.read_text().replace(old, new))
        found = toy.run(f"--scylla-baseline={renamed}", "--scylla-live=no", "-q")
        assert found.ret == NOTHING
        found.stdout.fnmatch_lines(
            [
                "runs left out: 2 only before, 2 only now",
                f"only before: *{new}* (2 runs)",
                "only now: toy/T0/00-empty (2 runs)",
                "nothing was compared: no run is judged in both*",
            ]
        )
        assert "nothing was compared" in toy.path("report.html").read_text()
    partly = pytester.path / "partly.csv"
    gone = [line.replace("T0", "T9") for line in table.read_text().splitlines()[1:]]
    partly.write_text(table.read_text() + "\n".join(gone) + "\n")
    both = toy.run(f"--scylla-baseline={partly}", "-q")
    assert both.ret == 0
    both.stdout.fnmatch_lines(["only before: toy/T9/00-empty (2 runs)"])
    skips = "def pytest_collection_modifyitems(items):\n    for item in items:\n"
    pytester.makeconftest(f"{skips}        item.add_marker('skip')\n")
    skipped = toy.run("--scylla-fresh", f"--scylla-baseline={table}", "-q")
    assert skipped.ret == NOTHING
    skipped.stdout.fnmatch_lines(["nothing was compared: this session has no results"])


def test_what_cannot_be_compared_is_said_before_anything_runs(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=WORKS)
    for arguments, said in (
        (["--scylla-baseline=nowhere"], "nowhere: No such file or directory"),
        (["--scylla-baseline=.", "--scylla-alpha=2"], "expected a number between 0 and 1"),
        (["--scylla-baseline=experiments"], "no results in it"),
    ):
        found = toy.run(*arguments)
        assert found.ret == pytest.ExitCode.USAGE_ERROR
        assert said in found.stderr.str()
    assert not toy.executions
