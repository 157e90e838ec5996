"""Sums of what is not known yet, and how long a plan takes."""

import math
import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.forecast import Basis, Sum, duration, executed, said_duration, sum_of
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
    apart = basis.usd(Counter({("T0", "b", "agent"): 4, ("T0", "c", "agent"): 4}))
    assert apart == basis.usd(Counter({("T0", "b", "agent"): 8}))
    assert apart.p90 > (sum_of(4, [1.0, 3.0]) + sum_of(4, [1.0, 3.0])).p90
    assumed = basis.usd(Counter({("T0", "a", "judge_01"): 2}))
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


def test_what_was_executed_is_the_difference_of_two_looks() -> None:
    one = Execution("T0", "a", "agent", "", 1.0)
    found = executed(History([one]), History([one, one, Execution("T0", "a", "judge_01", "", 0.1)]))
    assert found == {("T0", "a", "agent"): 1, ("T0", "a", "judge_01"): 1}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59, "59.0 s"), (125, "2 min 05 s"), (3599.9, "1 h 00 min")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert said_duration(seconds) == said
