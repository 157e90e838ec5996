"""Figures over runs."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.results import CategoryScore
from pytest_scylla.statistics import (
    Z95,
    Scale,
    Unknown,
    consistency,
    cost_of_pass,
    deviation,
    implementation_rate,
    krippendorff_alpha,
    mean,
    median,
    pass_at_k,
    pass_hat_k,
    total,
    wilson,
)
from tests.support.examples import law

judged = st.integers(1, 2000)
SCALES: tuple[Scale, ...] = get_args(Scale)

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
    assert consistency([]) is None
    assert implementation_rate({}) is None


def test_one_run_has_a_mean_and_no_spread() -> None:
    assert (mean([0.7]), median([0.7])) == (0.7, 0.7)
    assert deviation([0.7]) is None
    assert consistency([0.7]) is None


def test_equal_runs_are_wholly_consistent_and_runs_of_zero_say_nothing() -> None:
    assert consistency([0.5, 0.5, 0.5]) == 1
    assert consistency([0.0, 1.0]) == 0
    assert consistency([0.8, 1.0]) == pytest.approx(1 - 0.141421356 / 0.9)
    assert consistency([0.0, 0.0]) is None


@law
@given(scores)
def test_figures_are_those_of_the_standard_library(values: list[float]) -> None:
    assert mean(values) == pytest.approx(statistics.mean(values))
    assert median(values) == statistics.median(values)
    spread = statistics.stdev(values) if len(values) > 1 else None
    assert deviation(values) == (None if spread is None else pytest.approx(spread))


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


N: float | None = None
KRIPPENDORFF: list[list[float | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""Four observers, twelve units: the example of Krippendorff (2011), section C."""


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    units = [[v for v in unit if v is not None] for unit in zip(*KRIPPENDORFF, strict=True)]
    nominal, interval = (krippendorff_alpha(units, scale) for scale in SCALES)
    assert nominal == pytest.approx(0.743, abs=5e-4)
    assert interval == pytest.approx(0.849, abs=5e-4)


def test_alpha_by_hand() -> None:
    # Nominal: the pairs 0 0 and 0 1; the lone 1 says nothing. Observed 2 (0 1, both ways);
    # expected, over all ordered pairs of 0 0 0 1: 6, and 6 / 3 = 2: alpha 1 - 2 / 2.
    assert krippendorff_alpha([[0, 0], [0, 1], [1]], "nominal") == pytest.approx(0)
    # Interval: the pairs 0 1 and 0 3. Observed 2 * 1 + 2 * 9 = 20; expected, over all ordered
    # pairs of 0 1 0 3: 2 * (1 + 0 + 9 + 1 + 4 + 9) = 48, and 48 / 3 = 16: alpha 1 - 20 / 16.
    assert krippendorff_alpha([[0, 1], [0, 3]], "interval") == pytest.approx(-0.25)


def test_where_nothing_can_be_compared_there_is_no_agreement() -> None:
    for scale in SCALES:
        assert krippendorff_alpha([], scale) is None
        assert krippendorff_alpha([[1], [2]], scale) is None
        assert krippendorff_alpha([[0.7, 0.7], [0.7, 0.7]], scale) is None


units = st.lists(st.lists(st.integers(0, 5).map(float), min_size=2, max_size=4), min_size=2)


@law
@given(units, st.data())
def test_alpha_is_1_at_most_and_the_order_of_judges_and_runs_does_not_matter(
    values: list[list[float]], data: st.DataObject
) -> None:
    turned = data.draw(st.permutations([data.draw(st.permutations(unit)) for unit in values]))
    for scale in SCALES:
        alpha = krippendorff_alpha(values, scale)
        assert krippendorff_alpha(turned, scale) == pytest.approx(alpha)
        if alpha is not None:
            assert alpha <= 1
            agreed = all(len(set(unit)) == 1 for unit in values)
            assert (alpha == 1) == agreed
            moved = [[3 * value + 1 for value in unit] for unit in values]
            assert krippendorff_alpha(moved, scale) == pytest.approx(alpha)


# -- several runs at once ----------------------------------------------------------------------

few = st.integers(1, 7).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(1, n))
)


@law
@given(few)
def test_pass_at_k_and_pass_hat_k_are_shares_of_all_draws_of_k_runs(
    case: tuple[int, int, int],
) -> None:
    passed, judged, k = case
    draws = list(itertools.combinations([True] * passed + [False] * (judged - passed), k))
    assert pass_at_k(passed, judged, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_hat_k(passed, judged, k) == pytest.approx(sum(map(all, draws)) / len(draws))


def test_more_runs_are_asked_for_than_there_are() -> None:
    for figure in (pass_at_k(1, 2, 3), pass_hat_k(1, 2, 3)):
        assert figure == Unknown("3 judged runs are needed, there are 2")
    assert isinstance(pass_at_k(0, 0, 1), Unknown)


def category(achieved: float, most: float) -> CategoryScore:
    return CategoryScore(achieved=achieved, max=most, score=1.0, items={})


def test_the_implementation_rate_has_no_weights_and_nothing_that_is_not_applicable() -> None:
    """A published judgment: 12.9 of 13 points, N/A items left out."""
    points = [(3.5, 3.5), (3.0, 3.0), (3.5, 3.5), (1.0, 1.0), (1.9, 2.0)]
    found = {str(number): category(*pair) for number, pair in enumerate(points)}
    assert implementation_rate(found) == pytest.approx(0.9923076923)
    assert implementation_rate({"empty": category(0, 0)}) is None
