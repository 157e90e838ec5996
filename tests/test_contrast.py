"""Two set-ups: the difference, its interval and p, and how often these are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_scylla.statistics.contrast import (
    DRAWS,
    FLAT,
    MOST_VALUES,
    Contrast,
    contrast_of_rates,
    contrasts_of_means,
)
from pytest_scylla.statistics.figures import Unknown
from tests.support.examples import law

score = st.integers(0, 20).map(lambda n: n / 20)
group = st.lists(score, min_size=4, max_size=6)


def contrast(one: list[float], other: list[float]) -> Contrast:
    (found,) = contrasts_of_means([(one, other)])
    return found


def p_of(found: Contrast) -> float:
    assert not isinstance(found.p, Unknown), found.p
    return found.p


def reason(found: object) -> str:
    assert isinstance(found, Unknown), found
    return found.reason


# -- by hand and as scipy has it -------------------------------------------------------------------


def test_groups_without_spread_have_the_p_that_their_number_allows_and_no_interval() -> None:
    found = contrast([1.0] * 6, [2 / 3] * 6)
    assert found.change == pytest.approx(1 / 3)
    assert found.p == pytest.approx(2 / math.comb(12, 6))
    assert reason(found.interval) == FLAT
    assert reason(contrast([1.0] * 6, [0.1, 0.2, 0.3, 0.4]).interval) == FLAT


def test_equal_values_do_not_differ() -> None:
    found = contrast([0.7] * 5, [0.7] * 9)
    assert found.change == pytest.approx(0)
    assert found.p == 1.0


def test_with_fewer_than_four_values_there_is_a_difference_and_a_reason() -> None:
    found = contrast([1.0, 0.9, 0.8], [0.1] * 12)
    assert found.change == pytest.approx(0.8)
    assert (
        reason(found.p)
        == reason(found.interval)
        == ("each needs 4 judged runs, there are 3 and 12")
    )
    nothing = contrast([], [0.5] * 4)
    assert nothing.change is None
    assert "there are 0 and 4" in reason(nothing.p)


def welch(one: Any, other: Any, axis: int) -> Any:
    spread = one.var(axis=axis, ddof=1) / one.shape[axis]
    spread += other.var(axis=axis, ddof=1) / other.shape[axis]
    return ((one.mean(axis=axis) - other.mean(axis=axis)) / np.sqrt(spread + 1e-9)).round(5)


@settings(law, max_examples=15)
@given(group, group)
def test_p_is_that_of_scipys_permutation_test(one: list[float], other: list[float]) -> None:
    found, values = contrast(one, other), [*one, *other]
    if min(values) == max(values):
        assert found.p == 1.0
        return
    scale = max(values) - min(values)
    data = [(np.array(side) - np.mean(values)) / scale for side in (one, other)]
    theirs = stats.permutation_test(data, welch, vectorized=True, n_resamples=np.inf)
    assert p_of(found) == pytest.approx(theirs.pvalue)
    assert p_of(found) >= 2 / math.comb(len(values), len(one)) - 1e-12


@law
@given(group, group)
def test_the_interval_is_welchs_and_holds_the_difference(
    one: list[float], other: list[float]
) -> None:
    found = contrast(one, other)
    if isinstance(found.interval, Unknown):
        assert len(set(one)) == 1 or len(set(other)) == 1
        return
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((theirs.low, theirs.high))
    low, high = found.interval
    assert low <= (found.change or 0) <= high


def test_pairs_of_many_sizes_together_are_as_each_alone() -> None:
    chance = np.random.default_rng(3)
    pairs = [
        (list(chance.random(n)), list(chance.random(m)))
        for n, m in ((4, 4), (9, 12), (4, 4), (2, 9))
    ]
    assert contrasts_of_means(pairs) == [contrast(*pair) for pair in pairs]
    mirrored = contrasts_of_means([(other, one) for one, other in pairs])
    for found, turned in zip(contrasts_of_means(pairs), mirrored, strict=True):
        assert found.change == pytest.approx(-(turned.change or 0))


def test_of_many_runs_p_is_drawn_never_below_what_was_drawn_and_at_last_students() -> None:
    chance = np.random.default_rng(5)
    one, other = list(chance.normal(0.5, 0.1, 30)), list(chance.normal(0.55, 0.1, 30))
    theirs = stats.ttest_ind(one, other, equal_var=False).pvalue
    assert p_of(contrast(one, other)) == pytest.approx(theirs, abs=0.015)
    assert contrast(one, other) == contrast(one, other)
    far = [value + 10 for value in other]
    assert p_of(contrast(one, far)) == pytest.approx(2 / (DRAWS + 1))
    many, more = list(chance.normal(0.5, 0.1, MOST_VALUES)), list(chance.normal(0.51, 0.1, 50))
    exact = stats.ttest_ind(many, more, equal_var=False).pvalue
    assert p_of(contrast(many, more)) == pytest.approx(exact)


def test_rates_by_hand() -> None:
    """Newcombe's example (1998, table II, method 10): 56/70 less 48/80 is 0.2, 0.0524 to 0.3339."""
    found = contrast_of_rates((56, 70), (48, 80))
    assert found.change == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=0.0001)
    assert found.p == pytest.approx(stats.fisher_exact([[56, 14], [48, 32]]).pvalue)
    clear = contrast_of_rates((4, 4), (0, 4))
    assert clear.p == pytest.approx(2 / math.comb(8, 4))
    few = contrast_of_rates((3, 3), (0, 9))
    assert few.change == 1
    assert reason(few.p) == reason(few.interval) == "each needs 4 judged runs, there are 3 and 9"
    assert contrast_of_rates((0, 0), (1, 4)).change is None


# -- how often they are wrong ----------------------------------------------------------------------

REPEATS = 1000
NOISE = 3 * math.sqrt(0.05 * 0.95 / REPEATS)
"""Three standard errors of a share of 5 %."""

Draw = Callable[[np.random.Generator, tuple[int, int]], Any]
SCORES: dict[str, tuple[Draw, float]] = {
    "continuous": (lambda chance, shape: chance.beta(4, 2, shape), 2 / 3),
    "thirds": (lambda chance, shape: chance.choice([0, 1 / 3, 2 / 3, 1], shape), 1 / 2),
    "mostly perfect": (
        lambda chance, shape: chance.choice([0.5, 1.0], shape, p=[0.2, 0.8]),
        0.9,
    ),
    "narrow": (lambda chance, shape: chance.normal(0.5, 0.05, shape), 1 / 2),
}


def drawn(name: str, runs: int, seed: int) -> list[list[float]]:
    values = SCORES[name][0](np.random.default_rng(seed), (REPEATS, runs))
    return [[float(value) for value in line] for line in values]


@pytest.mark.parametrize(("n", "m"), [(4, 4), (5, 8), (6, 6), (10, 10)])
@pytest.mark.parametrize("name", SCORES)
def test_where_nothing_differs_at_most_one_in_twenty_is_an_alarm(name: str, n: int, m: int) -> None:
    pairs = list(zip(drawn(name, n, 1), drawn(name, m, 2), strict=True))
    alarms = sum(p_of(found) < 0.05 for found in contrasts_of_means(pairs)) / REPEATS
    assert alarms <= 0.05 + NOISE


@pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 6), (8, 5)])
def test_nineteen_of_twenty_intervals_hold_the_true_difference(n: int, m: int) -> None:
    for place, one in enumerate(SCORES):
        for other in list(SCORES)[place:]:
            truth = SCORES[one][1] - SCORES[other][1]
            pairs = list(zip(drawn(one, n, 3), drawn(other, m, 4), strict=True))
            limits = [found.interval for found in contrasts_of_means(pairs)]
            known = [found for found in limits if not isinstance(found, Unknown)]
            held = sum(low <= truth <= high for low, high in known) / len(known)
            assert held >= 0.93 - NOISE, (one, other, held)


@pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 6), (5, 10), (12, 12)])
@pytest.mark.parametrize(("one", "other"), [(0.5, 0.5), (0.9, 0.9), (0.9, 0.5), (0.2, 0.6)])
def test_of_pass_rates_alarms_are_as_rare_and_intervals_as_true(
    one: float, other: float, n: int, m: int
) -> None:
    """Exactly: over all counts, each as probable as it is."""
    wrong = missed = 0.0
    for a in range(n + 1):
        for b in range(m + 1):
            share = stats.binom.pmf(a, n, one) * stats.binom.pmf(b, m, other)
            found = contrast_of_rates((a, n), (b, m))
            assert not isinstance(found.interval, Unknown)
            low, high = found.interval
            wrong += share * (p_of(found) < 0.05)
            missed += share * (not low <= one - other <= high)
    assert missed <= 0.08
    if one == other:
        assert wrong <= 0.05
