"""Parents before children, however the session is started."""

from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    TWO_WORKERS,
    WORKS,
    Experiment,
    claude_md,
    once_each,
    read,
    run_pytest,
)

TIERS: dict[str, Any] = {
    "T0": {"00-a": claude_md("B01"), "01-b": claude_md("B02")},
    "T1": {"00-c": claude_md("B03")},
    "T5": {"00-heir": {"inherit_best_from": ["T0", "T1"]}},
    "T6": {"00-heir-of-heir": {"inherit_best_from": ["T5"]}},
}
EVENTS = f'{WORKS}; echo end >> answer.txt; echo "$run" >> {{ends}}'


def starts_after_ends(toy: Experiment) -> None:
    """Every line of the logs agrees: who inherits starts when all of its parents have ended."""
    starts = list(toy.executions)
    ends = (toy.pytester.path / "ends.log").read_text().splitlines()
    tier = [run.split("/")[0] for run in starts]
    assert sorted(starts) == sorted(ends)
    assert tier[-2:] == ["T5", "T6"]
    assert ends[-2:] == starts[-2:]


@MODES
@pytest.mark.parametrize("order", ["experiments", "T6 T5 T1 T0"])
def test_who_inherits_comes_after_the_parents(
    pytester: pytest.Pytester, mode: tuple[str, ...], order: str
) -> None:
    toy = Experiment(pytester, tiers=TIERS, agent=EVENTS.format(ends=pytester.path / "ends.log"))
    args = [f"{toy.file}::{tier}" if tier[0] == "T" else tier for tier in order.split()]
    run_pytest(pytester, *args, *mode).assert_outcomes(passed=5)
    starts_after_ends(toy)


def test_nobody_waits_for_a_tier_that_is_not_a_parent(pytester: pytest.Pytester) -> None:
    """T1 ends only when T5 has started, which is a child of T0 alone."""
    tiers = {**TIERS, "T5": {"00-heir": {"inherit_best_from": ["T0"]}}}
    del tiers["T6"]
    toy = Experiment(pytester, tiers=tiers)
    wait = f"while ! grep -q T5 {toy.log}; do sleep 0.05; done"
    toy.write_agent(f"case $run in T1*) {wait} ;; esac; {WORKS}")
    toy.configure(agent={**toy.settings["agent"], "timeout": 60})
    toy.run(*TWO_WORKERS).assert_outcomes(passed=4)
    assert not read(toy.path("T1/00-c/run_01/run_result.json"))["timed_out"]


@MODES
def test_a_tier_whose_verdicts_are_all_failed_is_still_a_parent(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=TIERS, agent="echo nothing")
    toy.run(*mode).assert_outcomes(failed=5)
    manifest = read(toy.path("T5/00-heir/config_manifest.json"))
    assert manifest["inherited_from"] == {"T0": "00-a", "T1": "00-c"}


@MODES
def test_a_tier_without_a_verdict_is_a_reason_to_skip(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=TIERS, agent=f"case $run in T1*) exit 1 ;; esac; {WORKS}")
    result = toy.run(*mode, "-rs")
    result.assert_outcomes(passed=2, errors=1, skipped=2)
    said = result.stdout.str()
    assert "no parent to inherit from: no run of T1 has a verdict (next: run T1 first)" in said
    assert "no run of T5 has a verdict" in said
    assert not [run for run in toy.executions if run[:2] in ("T5", "T6")]
    assert not toy.path("T5/00-heir/run_01/workspace").exists()


def test_parents_of_an_earlier_session_will_do(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    only = f"{toy.file}::T5"
    run_pytest(pytester, only).assert_outcomes(skipped=1)
    toy.run("-m", "not inherits").assert_outcomes(passed=3)
    run_pytest(pytester, only).assert_outcomes(passed=1)
    assert toy.executions == once_each(
        "T0/00-a/run_01", "T0/01-b/run_01", "T1/00-c/run_01", "T5/00-heir/run_01"
    )


RULE: dict[str, Any] = {
    # by score: the second is better by more than 0.05, though it takes more tokens
    "T0": {"00-worse": claude_md("B01"), "01-better": claude_md("B02")},
    # a tie within 0.05: the one with fewer tokens, though its score is a little lower
    "T1": {"00-dear": claude_md("B03"), "01-cheap": claude_md("B04")},
    # a whole tie: the lower id
    "T2": {"00-first": claude_md("B05"), "01-second": claude_md("B06")},
    # one that crashes takes no part, however cheap
    "T3": {"00-crash": claude_md("B07"), "01-judged": claude_md("B08")},
    "T5": {"00-heir": {"inherit_best_from": ["T0", "T1", "T2", "T3"]}},
}
RULE_AGENT = """
points() { seq "$1" > points.txt; printf '{"result": "", "usage": {"output_tokens": %s}}\\n' "$2"; }
case $run in
  *worse*) points 50 10 ;;
  *better*) points 60 1000 ;;
  *dear*) points 54 1000 ;;
  *cheap*) points 50 10 ;;
  *crash*) exit 1 ;;
  *judged*) points 0 9999 ;;
  *) points 70 10 ;;
esac
"""


@MODES
def test_the_best_subtest_is_chosen_by_score_then_tokens_then_id(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    items = [
        {"id": f"R{n}", "check": "x", "points": 1, "run": f"grep -qx {n} points.txt"}
        for n in (50, 54, 60, 70)
    ]
    weights = {50: 0.5, 54: 0.04, 60: 0.06, 70: 0.4}
    categories = {
        item["id"]: {"weight": weight, "items": [item]}
        for item, weight in zip(items, weights.values(), strict=True)
    }
    rubric = {"categories": categories, "grading": {"pass_threshold": 0.0}}
    toy = Experiment(pytester, tiers=RULE, agent=RULE_AGENT, rubric=rubric)
    toy.run(*mode).assert_outcomes(passed=8, errors=1)
    best = {"T0": "01-better", "T1": "01-cheap", "T2": "00-first", "T3": "01-judged"}
    manifest = read(toy.path("T5/00-heir/config_manifest.json"))
    assert manifest["inherited_from"] == best
    for tier, subtest in best.items():
        assert read(toy.path(f"{tier}/best_subtest.json"))["winning_subtest"] == subtest
    # claude_md is replaced by the last parent's
    assert (toy.path("T5/00-heir/run_01/workspace") / "CLAUDE.md").read_text() == "B08\n"


@pytest.mark.parametrize("dist", ["each", "loadscope", "loadfile", "loadgroup", "worksteal"])
def test_another_distribution_is_refused_with_the_reason(
    pytester: pytest.Pytester, dist: str
) -> None:
    toy = Experiment(pytester)
    result = toy.run(*TWO_WORKERS, "--dist", dist)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *--dist {dist}*", "*next: leave --dist away*"])
    assert not toy.executions


def test_another_distribution_is_nobodys_business_where_there_is_no_experiment(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_it(): pass")
    args = (*TWO_WORKERS, "--dist", "loadscope")
    run_pytest(pytester, *args).assert_outcomes(passed=1)
