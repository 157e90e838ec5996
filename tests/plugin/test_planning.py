"""What the next session will do and cost, said before it is done."""

import re
from typing import Any

import pytest

from tests.support.experiments import Experiment, check, rubric

PLAN = ("--collect-only", "--scylla-plan", "-q")
AGENT = """echo done > answer.txt
echo '{"result": "ok", "usage": {"input_tokens": 900, "output_tokens": 100}, "total_cost_usd": 0.5}'
"""
JUDGE = """import json
print(json.dumps({"items": {"J1": {"achieved": 1, "reason": "seen"}}, "reasoning": "I looked.",
                  "score": 1, "passed": True, "total_cost_usd": 0.25,
                  "usage": {"input_tokens": 40, "output_tokens": 10}}))
"""
OURS = {"adapter": "command", "command": ["sh", "{experiment}/agent.sh"], "model": "ours-1"}
PRICES = {"ours-1": {"input": 10, "output": 100, "cache_read": 1}}
ASKS = rubric({"id": "J1", "check": "it is good", "points": 1})


@pytest.fixture
def paid(pytester: pytest.Pytester) -> Experiment:
    """Two tiers, T5 after T0; an agent at half a dollar, a judge at a quarter."""
    tiers: dict[str, Any] = {
        "T0": {"00-a": {}, "01-b": {}},
        "T5": {"01-best": {"inherit_best_from": ["T0"]}},
    }
    toy = Experiment(pytester, agent=AGENT, tiers=tiers, rubric=ASKS, runs=2)
    toy.write("judge.py", JUDGE)
    judge = {"adapter": "command", "command": ["{python}", "{experiment}/judge.py"]}
    toy.configure(agent=OURS, judges=[judge], prices=PRICES)
    return toy


def row(result: pytest.RunResult, tier: str) -> list[str]:
    """runs, cached, to run, to judge, stale, tokens p50, p90, cost p50, p90."""
    (line,) = [line for line in result.outlines if re.match(rf"(toy )?{tier} ", line)]
    return line.removeprefix("toy ").split()[1:]


def dollars(cell: str) -> float:
    return float(cell.removeprefix("$"))


def test_a_plan_before_between_and_after_the_work(paid: Experiment) -> None:
    # before anything: assumptions, which are printed
    first = paid.run(*PLAN, "-p", "xdist", "-n", "4", "--scylla-budget", "1")
    assert row(first, "all")[:5] == ["6", "0", "6", "0", "0"]
    agent = (20_000 * 10 + 8_000 * 100 + 40_000 * 10 + 400_000 * 1) / 1e6
    assert dollars(row(first, "all")[7]) == pytest.approx(6 * (agent + 1.0), abs=1e-3)
    first.stdout.fnmatch_lines(
        [
            "why: 6 × agent: there is no answer of the agent yet (status missing)",
            "basis: assumptions, for 12 executions",
            "assumed: an agent's run costs $1.8000 (ours-1 at prices of 20*) and takes 60 s; *",
            "assumed: a judgment of judge_01 costs $1.0000 (its model has no price)*",
            "duration: about 2 min 10 s at -n 4",
            "disk: about * MB (6 runs, the size of the source*",
            "budget: $1.0000 (--scylla-budget): enough for about 6% of it*",
        ],
        consecutive=True,
    )
    first.stdout.no_fnmatch_line("*created: *workers*")
    assert not paid.executions

    # part of it is done: the rest is like that
    done = paid.run("-k", "run_01 and T0")
    done.assert_outcomes(passed=2, deselected=4)
    done.stdout.fnmatch_lines("2 agent runs and 2 judgments: $1.5000 (forecast $5.6000, p90 *")
    second = paid.run(*PLAN)
    assert row(second, "T0")[:6] == ["4", "2", "2", "0", "0", "2,100"]
    assert dollars(row(second, "T0")[7]) == pytest.approx(1.5)
    assert row(second, "T5")[2] == "2"
    second.stdout.fnmatch_lines(
        [
            "basis: earlier ones of the same subtest, for 4 executions",
            "basis: earlier ones of the same experiment, for 4 executions",
            "duration: about * at -n 1",
            "disk: about * MB (4 runs, as 2 earlier runs; workspaces kept: all)",
        ]
    )

    # all of it is done: forecast against actual, and nothing is left
    done = paid.run("-p", "xdist", "-n", "2")
    done.stdout.fnmatch_lines("4 agent runs and 4 judgments: $3.0000 (forecast $3.0000, p90 *")
    third = paid.run(*PLAN)
    assert row(third, "all")[:4] == ["6", "6", "0", "0"]
    third.stdout.fnmatch_lines("nothing is left to do: the next session costs nothing")
    paid.run().stdout.no_fnmatch_line("*(forecast*")

    # a rubric is edited: judges alone
    paid.write("task/expected/rubric.yaml", {**ASKS, "grading": {"pass_threshold": 0.5}})
    fourth = paid.run(*PLAN)
    assert row(fourth, "all")[:5] == ["6", "0", "0", "6", "6"]
    assert dollars(row(fourth, "all")[7]) == dollars(row(fourth, "all")[8]) == pytest.approx(1.5)
    fourth.stdout.fnmatch_lines("why: 6 × judge_01: changed: *rubric*")
    paid.configure(runs=3)
    paid.write("task/expected/rubric.yaml", ASKS)
    more = paid.run(*PLAN)
    assert row(more, "all")[:4] == ["9", "6", "3", "0"]
    more.stdout.fnmatch_lines("not known yet: 2 cached runs inherit from tiers with work to do;*")


def test_what_the_options_ask_for_is_in_the_plan(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=AGENT, runs=3, rubric=rubric(check()))
    toy.run("--scylla-runs", "1,2")
    again = toy.run(*PLAN, "--scylla-from", "agent", "--scylla-runs", "1")
    assert row(again, "all")[:4] == ["1", "0", "1", "0"]
    assert dollars(row(again, "all")[7]) == 0.5
    until = toy.run(*PLAN, "--scylla-until", "agent")
    assert row(until, "all")[:4] == ["3", "2", "1", "0"]
    until.stdout.fnmatch_lines("basis: earlier ones of the same subtest, for 1 executions")


def test_several_agents_have_a_history_each_and_share_a_budget(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=AGENT, runs=2)
    agent = {**toy.settings.pop("agent"), "paid": True}
    dear = {**agent, "command": ["/bin/echo", '{"usage": {}, "total_cost_usd": 2}']}
    toy.configure(agents=[{"name": "ours", **agent}, {"name": "dear", **dear}], budget_usd=9)
    toy.run("--scylla-runs", "1").stdout.fnmatch_lines("2 agent runs and 2 judgments: $2.5000 *")
    plan = toy.run(*PLAN)
    costs = [dollars(line.split()[-2]) for line in plan.outlines if re.match(r"toy\S* .*T0 ", line)]
    assert sorted(costs) == [0.5, 2.0]
    assert dollars(row(plan, "all")[7]) == 2.5
    plan.stdout.fnmatch_lines("budget: $9.0000 (budget_usd of toy): *enough")
