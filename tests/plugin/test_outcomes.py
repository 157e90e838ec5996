"""Pytest's words mean something exact; an error is never a score."""

from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    TWO_WORKERS,
    WORKS,
    Experiment,
    check,
    claude_md,
    once_each,
    read,
    rubric,
    run_pytest,
)

ALL_OUTCOMES = f"""
case $run in
  *pass*) {WORKS} ;;
  *fail*) echo nothing ;;
  *crash*) echo "out of luck" >&2; exit 3 ;;
esac
"""

TIERS: dict[str, Any] = {
    "T0": {
        "00-pass": claude_md("B00"),
        "01-fail": claude_md("B01"),
        "02-crash": claude_md("B02"),
        "03-frontier-fail": claude_md("B03", frontier=True),
        "04-frontier-pass": claude_md("B04", frontier=True),
        "05-frontier-crash": claude_md("B05", frontier=True),
    },
    "T1": {"00-crash": {}},
    "T5": {"00-pass": {"inherit_best_from": ["T1"]}},
}
OUTCOMES = {"passed": 1, "failed": 1, "errors": 3, "skipped": 1, "xfailed": 1, "xpassed": 1}


@MODES
def test_every_outcome_has_its_own_word(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    toy = Experiment(pytester, agent=ALL_OUTCOMES, tiers=TIERS)
    result = toy.run(*mode, "-rA")
    result.assert_outcomes(**OUTCOMES)
    assert result.ret == 1
    lines = [line for line in result.outlines if line.startswith((*OUTCOMES_WORDS,))]
    said = {line.split("::")[2]: line.split()[0] for line in lines if "::T0::" in line}
    assert said == {
        "00-pass": "PASSED",
        "01-fail": "FAILED",
        "02-crash": "ERROR",
        "03-frontier-fail": "XFAIL",
        "04-frontier-pass": "XPASS",
        "05-frontier-crash": "ERROR",
    }
    result.stdout.fnmatch_lines(["SKIPPED * no parent to inherit from: no run of T1 *"])
    assert "T5/00-pass/run_01" not in toy.executions


OUTCOMES_WORDS = ("PASSED", "FAILED", "ERROR", "XFAIL", "XPASS")


def test_an_error_has_a_reason_on_disk_and_a_score_nowhere(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=ALL_OUTCOMES, tiers=TIERS)
    result = toy.run()
    result.stdout.fnmatch_lines(["the agent ended with exit status 3: out of luck"])
    crashed = toy.path("T0/02-crash/run_01")
    error = read(crashed / "error.json")
    assert (error["kind"], error["stage"]) == ("crash", "agent")
    assert "out of luck" in error["message"]
    assert not (crashed / "run_result.json").exists()
    report = read(crashed / "report.json")
    assert (report["score"], report["passed"], report["grade"]) == (None, None, None)
    assert report["error"]["kind"] == "crash"
    tier = read(toy.path("T0/report.json"))["summary"]
    assert (tier["total_runs"], tier["judged"], tier["errors"]) == (6, 4, 2)
    assert (tier["mean_score"], tier["pass_rate"]) == (0.5, 0.5)
    empty = read(toy.path("T1/report.json"))
    assert (empty["best"], empty["summary"]["mean_score"]) == (None, None)
    assert read(toy.path("T1/result.json"))["best_subtest"] is None


@MODES
def test_a_missing_program_is_an_error(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    agent = {"adapter": "command", "command": ["no-such-agent"], "paid": False}
    toy = Experiment(pytester, agent="", runs=2)
    toy.configure(agent=agent)
    result = toy.run(*mode)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*there is no program 'no-such-agent'", "*next: install it*"])
    assert "Traceback" not in result.stdout.str()
    assert read(toy.path("T0/00-empty/run_01/error.json"))["kind"] == "no_cli"
    assert toy.verdicts() == {}


def test_an_agent_that_is_ended_by_a_signal_is_an_error(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent="echo done > answer.txt; kill -SEGV $$")
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the agent was ended by signal 11*"])


def test_a_rubric_that_no_quorum_of_judges_can_grade_starts_no_agent(
    pytester: pytest.Pytester,
) -> None:
    item = check()
    del item["run"]
    toy = Experiment(pytester, rubric=rubric(item), judges=[{"adapter": "rubric-checks"}] * 2)
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["no agent is started: 0 of 2 judges can grade anything, 2 are needed: *", "*next: *"]
    )
    assert not toy.executions
    assert read(toy.path("T0/00-empty/run_01/error.json"))["kind"] == "rubric"
    assert toy.verdicts() == {}


def test_an_agent_that_reaches_its_time_limit_is_judged_on_what_it_left(
    pytester: pytest.Pytester,
) -> None:
    tiers = {"T0": {"00-pass": claude_md("B00"), "01-fail": claude_md("B01")}}
    toy = Experiment(
        pytester,
        agent="case $run in *pass*) echo done > answer.txt; esac; exec sleep 600",
        tiers=tiers,
    )
    toy.configure(agent={**toy.settings["agent"], "timeout": 1.5})
    result = toy.run(*TWO_WORKERS)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the agent reached its limit and was judged on what it left*"])
    for name in ("00-pass", "01-fail"):
        assert read(toy.path(f"T0/{name}/run_01/run_result.json"))["timed_out"] is True
        assert read(toy.path(f"T0/{name}/run_01/agent/result.json"))["timed_out"] is True


@MODES
def test_without_a_key_the_runs_of_claude_code_are_skipped(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, runs=2)
    toy.configure(agent={"adapter": "claude-code", "model": "claude-haiku-4-5"})
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
    result = toy.run(*mode, "-rs", env=dict.fromkeys(keys, ""))
    result.assert_outcomes(skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED *claude-code: no key: set ANTHROPIC_API_KEY"])


@MODES
def test_a_paid_run_wants_to_be_asked_for(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    toy = Experiment(pytester)
    toy.configure(agent={**toy.settings["agent"], "paid": True})
    result = run_pytest(pytester, *mode, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED *paid run: name the experiment*{toy.file})"])
    assert not toy.executions
    run_pytest(pytester, "experiments", *mode).assert_outcomes(passed=1)
    run_pytest(pytester, *mode).assert_outcomes(passed=1)
    assert toy.executions == once_each("T0/00-empty/run_01")


def test_testpaths_do_not_ask_for_paid_runs(pytester: pytest.Pytester) -> None:
    pytester.makefile(".ini", pytest="[pytest]\ntestpaths = experiments\n")
    toy = Experiment(pytester)
    toy.configure(agent={**toy.settings["agent"], "paid": True})
    run_pytest(pytester).assert_outcomes(skipped=1)
    assert not toy.executions


@MODES
def test_replayed_runs_are_said_to_be_cached(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    tiers = {"T0": {name: TIERS["T0"][name] for name in ("00-pass", "01-fail")}}
    tiers["T1"] = {"00-frontier-fail": {"frontier": True}}
    toy = Experiment(pytester, agent=ALL_OUTCOMES, tiers=tiers)
    outcomes = {"passed": 1, "failed": 1, "xfailed": 1}
    toy.run(*mode).assert_outcomes(**outcomes)
    result = toy.run(*mode, "-v")
    result.assert_outcomes(**outcomes)
    assert result.ret == 1
    said = result.stdout.str()
    for name, word in (("00-pass", "CACHED"), ("01-fail", "FAILED (cached)")):
        lines = [line for line in said.splitlines() if f"::{name}::" in line]
        assert any(word in line for line in lines), lines
    assert toy.executions.total() == 3


def test_a_replayed_pass_has_a_letter_of_its_own(pytester: pytest.Pytester) -> None:
    tiers = {"T0": {name: TIERS["T0"][name] for name in ("00-pass", "01-fail")}}
    toy = Experiment(pytester, agent=ALL_OUTCOMES, tiers=tiers)
    toy.run("-q").stdout.re_match_lines([r"\.F +\["])
    toy.run("-q").stdout.re_match_lines([r"cF +\["])
