"""Two sets of results on matched cells: worse, or not enough runs to tell."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_scylla.statistics.comparison import (
    FEWEST_TASKS,
    Difference,
    Pair,
    compare,
    fewest_units,
    more_runs,
)
from pytest_scylla.statistics.figures import Unknown
from tests.support.examples import law

changes = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=8)


def difference(changes: list[float], tasks: list[str] | None = None) -> Difference:
    names = tasks or ["t"] * len(changes)
    pairs = [Pair(task, 0.5, 0.5 + change) for task, change in zip(names, changes, strict=True)]
    found = compare(pairs)
    assert isinstance(found, Difference)
    return found


def test_without_a_matched_cell_there_is_nothing_to_compare() -> None:
    assert compare([]) == Unknown("no cell is judged in both")


def test_one_cell_has_a_change_and_no_interval() -> None:
    found = difference([-0.5])
    assert (found.cells, found.change, found.p) == (1, -0.5, 0.5)
    assert isinstance(found.interval, Unknown)


def test_where_nothing_changed_nothing_is_worse() -> None:
    found = difference([0.0] * 9)
    assert (found.change, found.p) == (0.0, 1.0)
    assert isinstance(found.interval, Unknown)


@law
@given(changes)
def test_p_is_the_share_of_all_signs_that_lose_as_much(values: list[float]) -> None:
    signs = itertools.product((1, -1), repeat=len(values))
    sums = [math.fsum(s * v for s, v in zip(flips, values, strict=True)) for flips in signs]
    share = sum(one <= math.fsum(values) + 1e-9 for one in sums) / len(sums)
    assert difference(values).p == pytest.approx(share)


@law
@given(st.integers(1, 7), st.integers(0, 6))
def test_of_flipped_verdicts_p_is_that_of_mcnemars_exact_test(lost: int, won: int) -> None:
    found = difference([-1.0] * lost + [1.0] * won + [0.0] * 3)
    assert found.p == pytest.approx(stats.binomtest(won, lost + won, alternative="less").pvalue)


def test_of_many_runs_p_is_drawn_and_always_the_same() -> None:
    values = [-1.0] * 16 + [1.0] * 8
    exact = stats.binomtest(8, 24, alternative="less").pvalue
    assert difference(values).p == pytest.approx(exact, abs=0.01)
    assert difference(values) == difference(values)


@law
@given(st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=3, max_size=20))
def test_the_interval_of_runs_is_that_of_students_paired_test(values: list[float]) -> None:
    found = difference(values)
    if isinstance(found.interval, Unknown):
        assert len(set(values)) == 1
        return
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.interval == pytest.approx((theirs.low, theirs.high))


def test_from_six_tasks_on_a_task_is_the_unit() -> None:
    """Ten runs of each task are ten times the same news: p is that of the tasks."""
    tasks = [str(number) for number in range(FEWEST_TASKS) for _ in range(10)]
    found = difference([-0.5] * len(tasks), tasks)
    assert (found.unit, found.tasks, found.cells) == ("task", FEWEST_TASKS, 60)
    assert found.p == pytest.approx(0.5**FEWEST_TASKS)
    few = difference([-0.5] * 10, [*"ababababab"])
    assert few.unit == "run"
    assert few.p == pytest.approx(0.5**10)


def test_the_interval_of_tasks_is_wider_where_their_runs_go_together() -> None:
    tasks = [str(number) for number in range(8) for _ in range(5)]
    together = [(-0.1 if int(task) % 2 else 0.1) for task in tasks]
    apart = [(-0.1 if place % 2 else 0.1) for place in range(len(tasks))]
    wide, narrow = difference(together, tasks).interval, difference(apart, tasks).interval
    assert not isinstance(wide, Unknown)
    assert not isinstance(narrow, Unknown)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


# -- how many more -------------------------------------------------------------------------------


def test_as_many_units_as_the_test_can_reach_alpha_with() -> None:
    for alpha in (0.05, 0.01, 0.25, 0.05 / 7):
        least = fewest_units(alpha)
        assert difference([-1.0] * least).p < alpha
        assert difference([-1.0] * (least - 1)).p >= alpha


def test_how_many_more_runs_by_hand() -> None:
    """Differences of mean -0.1 and deviation 0.2: (1.6449 + 0.8416)^2 * 4 = 24.7, so 25."""
    spread = 0.2 * math.sqrt(9 / 10)
    units = [-0.1 + spread, -0.1 - spread] * 5
    assert more_runs(units, 0.05) == 25 - 10
    assert more_runs([-1.0], 0.05) == fewest_units(0.05) - 1
    assert more_runs([0.0], 0.05) == fewest_units(0.05) - 1
    assert more_runs([], 0.05) == fewest_units(0.05)
    assert more_runs([-1.0] * 10, 0.05) == 0


def test_where_there_is_no_difference_no_number_of_runs_decides() -> None:
    assert more_runs([0.0] * 10, 0.05) == Unknown("there is no difference to decide on")
