"""What a session may spend, and what was spent so far."""

import json
import signal

import pytest

from tests.support.experiments import (
    MODES,
    TWO_WORKERS,
    Experiment,
    check,
    once_each,
    read,
    rubric,
    signal_group,
    start_pytest,
    wait_until,
)

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


def test_what_is_in_flight_is_waited_for_before_anything_is_skipped(costly: Experiment) -> None:
    costly.configure(agent={**costly.settings["agent"], "paid": True})
    costly.write("task/config.yaml", {"max_cost_usd": 2})
    costly.run("--scylla-budget", "2.2", *TWO_WORKERS).assert_outcomes(passed=4)


def test_an_experiment_may_have_a_budget_of_its_own(costly: Experiment) -> None:
    free = TELLS.replace("0.5", "0")
    costly.write_agent(f'case "$run" in *run_01) {free}exit;; esac\n{TELLS}')
    costly.configure(budget_usd=1.4)
    costly.run().assert_outcomes(passed=3, skipped=1)
    assert costly.executions.total() == 3, "a run that cost nothing makes the others no cheaper"


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


JUDGE = """import json
print(json.dumps({"items": {"J1": {"achieved": 1, "reason": "seen"}}, "reasoning": "I looked.",
                  "score": 1, "passed": True, "total_cost_usd": 0.25}))
"""


@pytest.fixture
def paid(pytester: pytest.Pytester) -> Experiment:
    """Six runs; agent and judge are paid: 0.50 and 0.25 dollars."""
    asks = rubric({"id": "J1", "check": "it is good", "points": 1})
    toy = Experiment(pytester, agent=TELLS, rubric=asks, runs=6)
    toy.write("judge.py", JUDGE)
    judge = {"adapter": "command", "command": ["{python}", "{experiment}/judge.py"]}
    toy.configure(agent={**toy.settings["agent"], "paid": True}, judges=[judge])
    return toy


def spent(toy: Experiment) -> float:
    found: float = read(toy.results / "report.json")["summary"]["spent_usd"]
    return found


@MODES
def test_agents_and_judges_share_a_budget_and_what_is_left_out_is_missing(
    paid: Experiment, mode: tuple[str, ...]
) -> None:
    result = paid.run("--scylla-budget", "2.8", "-rs", *mode)
    result.stdout.fnmatch_lines("SKIPPED*budget: $*of $2.8000 are spent or reserved*")
    assert 1.5 <= spent(paid) <= 2.8, "nothing costs more than was expected of it"
    begun = set(paid.executions)
    left = paid.run("--collect-only", "-q", "--scylla-status", "missing")
    assert left.stdout.str().count("::run_0") == 6 - len(begun)
    unjudged = len(begun) - len(paid.verdicts())
    asks = paid.run("--collect-only", "-q", "--scylla-judge-status", "missing")
    assert asks.stdout.str().count("::run_0") == unjudged
    paid.run(*mode).assert_outcomes(passed=6)
    assert paid.executions == once_each(*(f"T0/00-empty/run_0{n}" for n in range(1, 7)))
    assert spent(paid) == pytest.approx(6 * 0.75)


def test_what_comes_out_dearer_than_expected_is_overshot_by_what_was_in_flight(
    paid: Experiment,
) -> None:
    paid.write("task/config.yaml", {"max_cost_usd": 0.01})
    paid.configure(judges=[{"adapter": "rubric-checks"}])
    paid.write("task/expected/rubric.yaml", rubric(check()))
    paid.run("--scylla-budget", "0.1", *TWO_WORKERS).assert_outcomes(
        passed=sum(paid.executions.values()), skipped=6 - sum(paid.executions.values())
    )
    assert sum(paid.executions.values()) <= 2, "both were in flight when the first one ended"
    # the next session knows better before it starts
    paid.run("--scylla-budget", "0.4", *TWO_WORKERS)
    assert sum(paid.executions.values()) <= 2
    third = paid.run("--scylla-budget", "1.1")
    done = sum(paid.executions.values())
    third.assert_outcomes(passed=done, skipped=6 - done)
    assert 3 <= done <= 4


def test_a_killed_session_takes_no_reservation_along_and_its_logs_are_counted(
    paid: Experiment,
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 400}
    message = {"id": "msg_1", "model": "claude-haiku-4-5", "content": [], "usage": usage}
    said = json.dumps({"type": "assistant", "message": message})
    paid.write_agent(f"echo '{said}'; echo '{said}'; touch {paid.directory}/works; sleep 300")
    paid.configure(runs=1)
    session = start_pytest(paid.pytester, paid.file, "--scylla-budget", "1.5")
    wait_until(lambda: (paid.directory / "works").exists())
    signal_group(session, signal.SIGKILL)
    session.wait()
    locks = paid.results.parent / ".locks"
    assert list(locks.glob("session-*/*.budget.jsonl"))
    paid.run("--collect-only").stdout.fnmatch_lines(
        "scylla:*spent so far $0.0030 (1 cut off: as far as their logs show)*"
    )
    paid.write_agent(TELLS)
    paid.run("--scylla-budget", "1.5").assert_outcomes(passed=1)
    assert not list(locks.rglob("*budget*"))
    assert spent(paid) == pytest.approx(0.753)


def test_an_amount_that_no_sum_can_reach_is_refused(costly: Experiment) -> None:
    result = costly.run("--scylla-budget", "nan")
    result.stderr.fnmatch_lines("*--scylla-budget: expected an amount in USD, found 'nan'")
    assert not costly.executions
