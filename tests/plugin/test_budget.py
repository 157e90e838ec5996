"""What a session may spend, and what was spent so far."""

import pytest

from tests.support.experiments import MODES, Experiment, read

TELLS = """
echo done > answer.txt
echo '{"type": "result", "result": "ok", "usage": {"output_tokens": 5}, "total_cost_usd": 0.5}'
"""


@pytest.fixture
def costly(pytester: pytest.Pytester) -> Experiment:
    """Four runs of half a dollar each."""
    return Experiment(pytester, agent=TELLS, runs=4)


@MODES
def test_what_does_not_fit_is_skipped_and_stays_for_the_next_session(
    costly: Experiment, mode: tuple[str, ...]
) -> None:
    result = costly.run("--scylla-budget", "1.2", "-rs", *mode)
    result.stdout.fnmatch_lines("SKIPPED*budget: $*of $1.2000*next session")
    first = sum(costly.executions.values())
    assert 2 <= first <= 3, "no more than the budget and what was in flight"
    costly.run(*mode).assert_outcomes(passed=4)
    assert set(costly.executions.values()) == {1}


def test_an_experiment_may_have_a_budget_of_its_own(costly: Experiment) -> None:
    costly.configure(budget_usd=1.1)
    costly.run().assert_outcomes(passed=2, skipped=2)


def test_a_free_judge_is_not_held_back_by_a_spent_budget(costly: Experiment) -> None:
    costly.run("--scylla-budget", "0.5").assert_outcomes(passed=1, skipped=3)


def test_what_was_spent_is_counted_over_sessions_and_attempts(costly: Experiment) -> None:
    costly.run()
    costly.run("--scylla-from", "agent", "--scylla-runs", "1")
    summary = read(costly.results / "report.json")["summary"]
    assert summary["spent_usd"] == pytest.approx(2.5)
    assert summary["total_cost"] == pytest.approx(2.0)
    costly.run("--collect-only").stdout.fnmatch_lines("scylla:*spent so far $2.5000*")


def test_a_session_leaves_nothing_of_its_budget(costly: Experiment) -> None:
    costly.run("--scylla-budget", "9")
    assert not list(costly.results.parent.rglob("*budget*"))
