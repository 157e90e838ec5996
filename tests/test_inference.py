"""Tests of significance and intervals: those of scipy and of the papers, or a reason why not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_scylla.statistics.figures import Unknown
from pytest_scylla.statistics.inference import (
    Effect,
    Interval,
    Test,
    bca,
    benjamini_hochberg,
    cliffs_delta,
    holm,
    kruskal_wallis,
    mann_whitney,
    scheirer_ray_hare,
    shapiro_wilk,
    spearman,
)
from tests.support.examples import law, law_on_disk

score = st.integers(0, 100).map(lambda n: n / 100)
sample = st.lists(score, min_size=0, max_size=12)
two = st.lists(score, min_size=2, max_size=12)
five = st.lists(score, min_size=5, max_size=12)
ps = st.lists(st.floats(0, 1), max_size=8)


def reason(found: object) -> str:
    assert isinstance(found, Unknown), found
    return found.reason


# -- degenerate cases ------------------------------------------------------------------------------

NOTHING: list[float] = []


def test_too_few_values_say_how_many_are_needed() -> None:
    assert reason(bca([0.5] * 4)) == "5 values are needed, there are 4"
    assert reason(shapiro_wilk([0.1, 0.2])) == "5 values are needed, there are 2"
    assert reason(kruskal_wallis([[0.1, 0.2]])) == "2 groups are needed, there are 1"
    assert "every group" in reason(kruskal_wallis([[0.1, 0.2], [0.3]]))
    assert (
        reason(mann_whitney([0.1], [0.2, 0.3])) == "4 values in each are needed, there are 1 and 2"
    )
    assert "no values" in reason(cliffs_delta(NOTHING, [0.1]))
    assert reason(spearman([0.1, 0.2], [1, 2])) == "10 runs are needed, there are 2"
    assert "2 levels" in reason(scheirer_ray_hare([0.1, 0.2], ["a", "a"], ["x", "y"]))
    assert "combination" in reason(scheirer_ray_hare([1, 2, 3, 4], [*"aabb"], [*"xyxy"]))


def test_equal_values_are_said_to_be_equal() -> None:
    same = [0.9] * 6
    assert "equal" in reason(bca(same))
    assert "equal" in reason(shapiro_wilk(same))
    assert "equal" in reason(kruskal_wallis([same, same]))
    assert "equal" in reason(mann_whitney(same, same))
    assert "equal" in reason(spearman([0.9] * 10, [*range(10)]))
    assert "equal" in reason(scheirer_ray_hare([1.0] * 8, [*"aaaabbbb"], [*"xxyyxxyy"]))
    assert cliffs_delta(same, same) == Effect(0.0, Unknown("all values are equal"))


def test_groups_that_do_not_overlap_have_an_effect_and_no_interval() -> None:
    found = cliffs_delta([0.8, 0.9], [0.1, 0.2])
    assert isinstance(found, Effect)
    assert found.delta == 1
    assert "overlap" in reason(found.interval)


@law_on_disk
@given(sample, sample)
def test_there_is_a_finite_figure_or_a_reason_whatever_the_values(
    first: list[float], second: list[float]
) -> None:
    labels = [*"ab" * len(first)][: len(first)]
    pairs = [*zip(first, second, strict=False)]
    for found in (
        bca(first),
        shapiro_wilk(first),
        kruskal_wallis([first, second]),
        mann_whitney(first, second),
        spearman([one for one, _ in pairs], [other for _, other in pairs]),
        scheirer_ray_hare(first, labels, labels[::-1]),
    ):
        assert all(map(math.isfinite, numbers(found)))


def numbers(found: Interval | Test | dict[str, Test] | Unknown) -> list[float]:
    match found:
        case Interval(value, low, high):
            return [value, low, high]
        case Test(statistic, p):
            return [statistic, p]
        case Unknown(reason):
            assert reason
            return []
    return [test.p for test in found.values()]


# -- as scipy has them ---------------------------------------------------------------------------


@law
@given(five, five, five)
def test_tests_of_groups_are_those_of_scipy(a: list[float], b: list[float], c: list[float]) -> None:
    found = kruskal_wallis([a, b, c])
    if isinstance(found, Test):
        theirs = stats.kruskal(a, b, c)
        assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    pair = mann_whitney(a, b)
    if isinstance(pair, Test):
        assert pair.p == pytest.approx(stats.mannwhitneyu(a, b).pvalue)


def test_a_sample_that_is_normal_and_one_that_is_not() -> None:
    normal = [float(x) for x in stats.norm.ppf(np.linspace(0.05, 0.95, 20))]
    straight, skewed = shapiro_wilk(normal), shapiro_wilk([math.exp(3 * x) for x in normal])
    assert isinstance(straight, Test)
    assert isinstance(skewed, Test)
    assert straight.p > 0.9
    assert skewed.p < 0.001


def test_rank_correlation_by_hand() -> None:
    """1 - 6 * sum of squared rank differences / (n (n^2 - 1))."""
    found = spearman([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [2, 1, 4, 3, 5, 6, 7, 8, 9, 10])
    assert isinstance(found, Test)
    assert found.statistic == pytest.approx(1 - 6 * 4 / (10 * 99))


# -- intervals -------------------------------------------------------------------------------------


def test_the_bootstrap_is_the_same_each_time_and_holds_the_mean() -> None:
    values = [0.1, 0.4, 0.5, 0.7, 0.9, 1.0, 1.0]
    found = bca(values)
    assert isinstance(found, Interval)
    assert found == bca(values)
    assert found != bca(values, seed=1)
    assert found.value == pytest.approx(sum(values) / 7)
    assert 0.1 < found.low < found.value < found.high < 1.0


def test_the_bootstrap_of_many_values_is_the_normal_interval() -> None:
    values = [float(x) for x in stats.norm.ppf((np.arange(1000) + 0.5) / 1000)]
    found = bca(values)
    assert isinstance(found, Interval)
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(1000)
    assert (found.low, found.high) == pytest.approx((-half, half), abs=0.15 * half)


# -- Cliff's delta ---------------------------------------------------------------------------------


@law
@given(two, two)
def test_delta_counts_pairs_and_lies_in_its_interval(a: list[float], b: list[float]) -> None:
    signs = [(x > y) - (x < y) for x, y in itertools.product(a, b)]
    found, mirrored = cliffs_delta(a, b), cliffs_delta(b, a)
    assert isinstance(found, Effect)
    assert isinstance(mirrored, Effect)
    assert found.delta == pytest.approx(sum(signs) / len(signs))
    assert mirrored.delta == pytest.approx(-found.delta)
    if not isinstance(found.interval, Unknown):
        low, high = found.interval
        assert -1 <= low <= found.delta + 1e-9
        assert found.delta - 1e-9 <= high <= 1


def test_the_interval_of_delta_by_hand() -> None:
    """Feng and Cliff's formula for 1 2 3 against 1 1 4: rows -1/3 1/3 1/3, columns -2/3 -2/3 1."""
    found = cliffs_delta([1, 2, 3], [1, 1, 4])
    assert isinstance(found, Effect)
    delta = 1 / 9
    assert found.delta == pytest.approx(delta)
    spread = np.var([-1 / 3, 1 / 3, 1 / 3], ddof=1) / 3 + np.var([2 / 3, 2 / 3, -1], ddof=1) / 3
    z = 1.959963984540054
    root = z * math.sqrt(spread * ((1 - delta**2) ** 2 + z**2 * spread))
    scale = 1 - delta**2 + z**2 * spread
    assert found.interval == pytest.approx(
        ((delta - delta**3 - root) / scale, (delta - delta**3 + root) / scale)
    )


# -- two factors -----------------------------------------------------------------------------------


def test_two_factors_by_hand() -> None:
    """2 x 2 x 2, ranks 1 to 8: the first factor parts 1-4 from 5-8. H = SS / (SS total / 7).

    Means 2.5 and 6.5 against 4.5: SS = 8 * 4 = 32. Second factor: 3.5 and 5.5: SS = 8. Total: 42.
    """
    found = scheirer_ray_hare([1, 2, 3, 4, 5, 6, 7, 8], [*"aaaabbbb"], [*"xxyyxxyy"])
    assert isinstance(found, dict)
    assert found["first"].statistic == pytest.approx(32 / 6)
    assert found["second"].statistic == pytest.approx(8 / 6)
    assert found["interaction"].statistic == pytest.approx(0, abs=1e-9)
    assert found["first"].p == pytest.approx(stats.chi2.sf(32 / 6, 1))


@law
@given(st.lists(score, min_size=12, max_size=12))
def test_of_a_design_with_equal_cells_the_effects_add_up(values: list[float]) -> None:
    """With cells of one size, the effects of both, their interaction and the rest are the total."""
    rows, columns = [*"aaaaaabbbbbb"], [*"xxyyzzxxyyzz"]
    found = scheirer_ray_hare(values, rows, columns)
    if isinstance(found, Unknown):
        return
    ranks = stats.rankdata(values)
    cells = [ranks[place : place + 2] for place in range(0, 12, 2)]
    between = sum(2 * (cell.mean() - ranks.mean()) ** 2 for cell in cells)
    whole = sum(test.statistic for test in found.values())
    assert whole == pytest.approx(between / ranks.var(ddof=1), abs=1e-6)


# -- many tests ------------------------------------------------------------------------------------


def test_corrections_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([]) == []
    assert benjamini_hochberg([]) == []


@law
@given(ps)
def test_corrections_never_make_a_p_smaller_and_holm_is_the_stricter(raw: list[float]) -> None:
    strict, loose = holm(raw), benjamini_hochberg(raw)
    for one, other, p in zip(strict, loose, raw, strict=True):
        assert p <= other + 1e-12
        assert other <= one + 1e-12 <= 1 + 2e-12
    if raw:
        assert loose == pytest.approx(list(stats.false_discovery_control(raw)))
        assert min(strict) == pytest.approx(min(1.0, len(raw) * min(raw)))
