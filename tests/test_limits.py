"""A budget is never overshot by more than what was in flight."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_scylla.errors import NotRun
from pytest_scylla.limits import Budget, reserve_all

COSTS = st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=20)


def key(number: int, subtest: str = "00", stage: str = "agent") -> str:
    return f"e::T0::{subtest}::run_{number:02d}::{stage}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budgets")


@settings(max_examples=40)
@given(COSTS, st.floats(0.1, 5), st.integers(1, 4))
def test_a_budget_is_not_overshot_by_more_than_what_was_in_flight(
    place: Path, costs: list[float], limit: float, workers: int
) -> None:
    path = place / "one.json"
    path.unlink(missing_ok=True)
    budget = Budget(path, limit)
    flying: list[tuple[str, float]] = []
    spent = 0.0
    for number, cost in enumerate(costs):
        if len(flying) == workers:
            done, paid = flying.pop(0)
            budget.settle(done, paid)
            spent += paid
        try:
            budget.reserve(key(number), 1.0)
        except NotRun:
            continue
        assert spent < limit, "nothing starts once the limit is reached"
        flying.append((key(number), cost))
    in_flight = sum(cost for _, cost in flying)
    assert spent <= limit + max(costs) * workers
    assert budget.committed <= limit + max(costs) * workers
    for done, paid in flying:
        budget.settle(done, paid)
    assert budget.committed == pytest.approx(spent + in_flight)


def test_what_is_expected_is_the_mean_of_the_nearest_of_its_kind(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "budget.json", 100)
    assert budget.reserve(key(1), 7.0) == 7.0
    budget.settle(key(1), 2.0)
    assert budget.reserve(key(2), 7.0) == 2.0
    budget.settle(key(2), 4.0)
    assert budget.reserve(key(3), 7.0) == 3.0
    assert budget.reserve(key(1, subtest="01"), 7.0) == 3.0, "another subtest: its tier"
    assert budget.reserve(key(1, stage="judge_01"), 7.0) == 7.0, "another stage"


def test_what_a_dead_worker_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "budget.json", 2.5)
    budget.reserve(key(1), 1.0)
    budget.reserve(key(1), 1.0)
    assert budget.committed == 2.0
    with pytest.raises(NotRun, match=r"\$2\.0000 of \$2\.5000"):
        budget.reserve(key(1), 1.0)


def test_a_cost_that_nobody_knows_stands_as_it_was_expected(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "budget.json", 5)
    budget.reserve(key(1), 1.5)
    budget.settle(key(1), None)
    assert budget.committed == 1.5


def test_two_budgets_are_both_kept(tmp_path: Path) -> None:
    wide, narrow = Budget(tmp_path / "wide.json", 10), Budget(tmp_path / "narrow.json", 1)
    reserve_all([wide, narrow], key(1), 0.75)
    with pytest.raises(NotRun):
        reserve_all([wide, narrow], key(2), 0.75)
    assert wide.committed == 0.75


def _reserve_many(path: Path, worker: int) -> int:
    taken = 0
    for number in range(20):
        try:
            Budget(path, 10.0).reserve(f"e::T0::{worker}::run_{number}::agent", 1.0)
            taken += 1
        except NotRun:
            pass
    return taken


def test_many_workers_share_one_budget(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        taken = pool.starmap(_reserve_many, [(path, worker) for worker in range(4)])
    assert sum(taken) == 10
