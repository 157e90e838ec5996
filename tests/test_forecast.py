"""Sums of what is not known yet, and how long a plan takes."""

import math
import random
import statistics
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.forecast import (
    Basis,
    Cell,
    Outcome,
    Sum,
    comparison,
    duration,
    outcome,
    said_duration,
    sum_of,
)
from pytest_scylla.history import Execution, History
from pytest_scylla.plan import Spec
from tests.support.examples import law

values = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=20)


@law
@given(st.integers(1, 1000), values)
def test_a_sum_is_expected_at_the_mean_and_its_p90_is_above(number: int, like: list[float]) -> None:
    found = sum_of(number, like)
    assert found.p50 == pytest.approx(number * statistics.fmean(like))
    assert found.p90 >= found.p50
    if len(set(like)) == 1 and len(like) > 1:
        assert found.p90 == pytest.approx(found.p50, abs=1e-6)


def test_the_share_of_sums_below_p90_is_about_nine_in_ten() -> None:
    """Samples and sums drawn anew from one skewed distribution, as costs are."""
    chance, below, trials = random.Random(7), 0, 3000
    for _ in range(trials):
        earlier = [chance.gammavariate(2, 1) for _ in range(12)]
        actual = sum(chance.gammavariate(2, 1) for _ in range(30))
        below += actual <= sum_of(30, earlier).p90
    assert 0.85 < below / trials < 0.94


def test_sums_that_rest_on_the_same_executions_err_together() -> None:
    def one(subtest: str, usd: float) -> Execution:
        return Execution("T0", subtest, "agent", "", usd, 100, 1.0)

    basis = Basis(History([one("a", 1.0), one("a", 3.0)]), lambda stage: 5.0)
    apart = basis.usd(Counter({Cell("T0", "b", "agent"): 4, Cell("T0", "c", "agent"): 4}))
    assert apart == basis.usd(Counter({Cell("T0", "b", "agent"): 8}))
    assert apart.p90 > (sum_of(4, [1.0, 3.0]) + sum_of(4, [1.0, 3.0])).p90
    assumed = basis.usd(Counter({Cell("T0", "a", "judge_01"): 2}))
    assert assumed == sum_of(2, [5.0])
    assert assumed.p90 == pytest.approx(10 + 1.2816 * 5 * math.sqrt(6))
    assert basis.usd(Counter()) == Sum()


def test_one_value_says_nothing_of_the_spread_which_is_taken_to_be_as_large() -> None:
    assert sum_of(1, [2.0]).p90 == pytest.approx(2 + 1.2816 * 2 * math.sqrt(2))


SECONDS = st.lists(st.floats(0.1, 50), min_size=1, max_size=25)


@law
@given(SECONDS, st.integers(1, 8))
def test_a_plan_takes_no_less_than_its_work_and_no_more_than_in_a_row(
    seconds: list[float], workers: int
) -> None:
    items = {f"i{number}": took for number, took in enumerate(seconds)}
    specs = [Spec(id, cost=took) for id, took in items.items()]
    took = duration(specs, items, workers)
    floor = max(sum(seconds) / workers, max(seconds))
    assert floor - 1e-6 <= took <= sum(seconds) + 1e-6
    assert duration(specs, items, 1) == pytest.approx(sum(seconds))
    assert took <= (4 / 3) * floor * 1.5 + 1e-6, "the longest first is near the best"


def test_those_that_inherit_wait_for_their_parents_however_many_workers_there_are() -> None:
    parents = [Spec(f"p{n}", "T0", cost=10) for n in range(4)]
    children = [Spec(f"c{n}", "T5", after=("T0",), cost=10) for n in range(2)]
    took = {spec.id: 10.0 for spec in [*parents, *children]}
    assert duration([*parents, *children], took, 64) == 20
    assert duration([*parents, *children], took, 2) == 30
    shared = [Spec(f"s{n}", holds=("workspace",)) for n in range(3)]
    assert duration(shared, {spec.id: 10.0 for spec in shared}, 8) == 30


def test_what_is_kept_takes_no_time() -> None:
    assert duration([Spec("kept", cost=500), Spec("new")], {"new": 3.0}, 1) == 3.0


def third(path: str, usd: float = 0.0, *, asked: bool = True) -> Execution:
    """A turn of the third slot of a sequential panel."""
    seconds = 8.0 if asked else 0.0
    return Execution("T0", "a", "judge_03", path, usd, 10, seconds, asked=asked)


def test_a_third_judge_costs_as_often_as_he_was_asked_and_a_budget_reserves_for_all_of_him() -> (
    None
):
    turns = [third("1", 4.0), third("2", asked=False), third("3", asked=False), third("4", 2.0)]
    known = Basis(History(turns), lambda stage: 50.0, sequential=True)
    cell = known.cell("T0", "a", "judge_03")
    assert (known.usd({cell: 10}), known.seconds(cell)) == (sum_of(10, [4.0, 0.0, 0.0, 2.0]), 4.0)
    sure = cell._replace(sure=True)  # by name, or all at once
    assert (known.usd({sure: 10}), known.seconds(sure)) == (sum_of(10, [4.0, 2.0]), 8.0)
    asked = known.history.sample("T0", "a", "judge_03")
    assert asked
    assert asked.usd == (4.0, 2.0)
    assert known.cell("T0", "a", "judge_02").sure
    before = Basis(History(turns[1:3]), lambda stage: 50.0, sequential=True)
    assert before.usd({cell: 1}) == Sum(), "two turns, and nobody was asked"
    assert before.usd({sure: 1}) == sum_of(1, [50.0])


def test_a_comparison_is_of_like_with_like() -> None:
    def run(path: str, usd: float | None, subtest: str = "a", **more: Any) -> Execution:
        return Execution("T0", subtest, "agent", path, usd, 10, 4.0, **more)

    known = Basis(History([run("before", 1.0)]), lambda stage: 0.0)
    done = [
        run("1", 1.5),
        run("2", None),
        run("3", 0.25, whole=False, cut_off=True),
        run("4", None, whole=False),
        third("5", 0.5),
        third("6", asked=False),
    ]
    found = outcome(known, done)
    assert (found.agents, found.judgments, found.usd, found.spent) == (2, 1, sum_of(1, [1.0]), 1.5)
    assert comparison([found], 9.0, 3.0) == (
        "2 agent runs and 1 judgment: $1.5000 (forecast $1.0000, p90 $2.8125), "
        "$0.5000 reported by free adapters (not forecast), 1 of unknown cost, "
        "2 more interrupted or failed (known cost: $0.2500), 3.0 s"
    )
    whole = outcome(known, done[:1])
    assert comparison([whole, Outcome()], 9.0, 3.0).endswith("p90 $2.8125), 3.0 s (forecast 9.0 s)")
    free = comparison([outcome(known, done[4:])], 9.0, 3.0)
    assert free.startswith("0 agent runs and 1 judgment: $0.5000 reported by free adapters (")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59, "59.0 s"), (125, "2 min 05 s"), (3599.9, "1 h 00 min")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert said_duration(seconds) == said
