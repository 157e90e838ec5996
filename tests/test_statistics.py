"""Figures over runs."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.statistics import (
    Z95,
    cost_of_pass,
    deviation,
    mean,
    median,
    total,
    wilson,
)
from tests.support.examples import law

judged = st.integers(1, 2000)
scores = st.lists(st.floats(0, 1), min_size=1, max_size=20)
counts = judged.flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def interval(passed: int, runs: int) -> tuple[float, float]:
    found = wilson(passed, runs)
    assert found is not None
    return found


@law
@given(counts)
def test_the_interval_ends_where_the_rate_is_just_believable(count: tuple[int, int]) -> None:
    """Both ends solve (rate - p)^2 = z^2 p (1 - p) / n, which is Wilson's condition."""
    passed, runs = count
    rate, share = passed / runs, Z95 * Z95 / runs
    root = math.sqrt((2 * rate + share) ** 2 - 4 * (1 + share) * rate * rate)
    low, high = interval(passed, runs)
    assert low == pytest.approx((2 * rate + share - root) / (2 * (1 + share)), abs=1e-9)
    assert high == pytest.approx((2 * rate + share + root) / (2 * (1 + share)), abs=1e-9)


@law
@given(counts)
def test_the_interval_holds_the_rate_and_lies_between_0_and_1(count: tuple[int, int]) -> None:
    low, high = interval(*count)
    assert 0 <= low <= count[0] / count[1] <= high <= 1
    assert low < high


@law
@given(counts)
def test_passes_and_failures_mirror_each_other(count: tuple[int, int]) -> None:
    passed, runs = count
    low, high = interval(passed, runs)
    assert interval(runs - passed, runs) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@law
@given(counts)
def test_more_passes_move_the_interval_up_and_more_runs_make_it_narrower(
    count: tuple[int, int],
) -> None:
    passed, runs = count
    low, high = interval(passed, runs)
    if passed < runs:
        assert interval(passed + 1, runs)[0] > low
    narrow = interval(10 * passed, 10 * runs)
    assert narrow[1] - narrow[0] < high - low


def test_the_interval_is_the_published_one() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_without_runs_there_is_no_figure() -> None:
    assert wilson(0, 0) is None
    assert mean([]) is None
    assert median([]) is None
    assert deviation([]) is None


@law
@given(scores)
def test_figures_are_those_of_the_standard_library(values: list[float]) -> None:
    assert mean(values) == pytest.approx(statistics.mean(values))
    assert median(values) == statistics.median(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    assert deviation(values) == pytest.approx(spread)


def test_a_sum_of_which_a_part_is_unknown_is_unknown() -> None:
    assert total([0.1, 0.2]) == pytest.approx(0.3)
    assert total([0.1, None]) is None
    assert total([]) == 0


@law
@given(st.floats(0, 1000), st.integers(1, 100))
def test_every_pass_costs_its_share_of_all_runs(cost: float, passed: int) -> None:
    each = cost_of_pass(cost, passed)
    assert each is not None
    assert each * passed == pytest.approx(cost)


def test_where_nothing_passed_or_no_cost_is_known_a_pass_has_no_price() -> None:
    assert cost_of_pass(1.0, 0) is None
    assert cost_of_pass(None, 3) is None
    assert cost_of_pass(0.0, 3) == 0
