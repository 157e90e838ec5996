"""A budget is never overshot by more than what was in flight."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_scylla.errors import NotRun
from pytest_scylla.limits import Budget, NoRoomYet, reserve_all


def key(number: int, subtest: str = "00", stage: str = "agent") -> str:
    return f"e::T0::{subtest}::run_{number:02d}::{stage}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budgets")


Step = tuple[str, int, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "end", "end", "unknown", "die", "void"]),
        st.integers(0, 3),
        st.floats(0, 3, allow_nan=False),
    ),
    max_size=40,
)


class Workers:
    """Four processes that start work, end it, die at it or find that it cannot begin; what each
    has really spent is known here."""

    def __init__(self, path: Path, limit: float) -> None:
        self.budgets = [Budget(path, limit) for _ in range(4)]
        self.flying: dict[int, tuple[str, float]] = {}
        self.paid = 0.0
        """What has ended, at its real cost; what nobody knows, and what died, as expected."""
        self.over = 0.0
        """By how much everything that was started came out dearer than expected."""
        self.number = 0

    def do(self, step: Step) -> None:
        action, worker, cost = step
        if action == "start" and worker not in self.flying:
            self.start(worker)
        elif worker in self.flying and action != "start":
            self.end(worker, action, cost)

    def start(self, worker: int) -> None:
        self.number += 1
        name, before = key(self.number), self.committed
        limit = self.budgets[worker].limit
        try:
            expected = self.budgets[worker].reserve(name, 1.0)
        except NotRun:
            assert before + 3.0 > limit - 1e-9, "refused only where there is no room"
            return
        assert before + expected <= limit + 1e-9
        self.flying[worker] = (name, expected)

    def end(self, worker: int, action: str, cost: float) -> None:
        name, expected = self.flying.pop(worker)
        if action == "die":
            self.budgets[worker] = Budget(self.budgets[worker].path, self.budgets[worker].limit)
            self.paid += expected
        elif action == "void":
            self.budgets[worker].release(name)
        else:
            self.budgets[worker].settle(name, cost if action == "end" else None)
            self.paid += cost if action == "end" else expected
            self.over += max(0.0, cost - expected) if action == "end" else 0.0

    @property
    def committed(self) -> float:
        return self.paid + sum(expected for _, expected in self.flying.values())


@settings(max_examples=60, deadline=None)
@given(STEPS, st.floats(0.1, 8))
def test_a_budget_is_never_overshot_by_more_than_what_was_in_flight(
    place: Path, steps: list[Step], limit: float
) -> None:
    path = place / "one.jsonl"
    path.unlink(missing_ok=True)
    workers = Workers(path, limit)
    for step in steps:
        workers.do(step)
        for budget in workers.budgets:
            assert budget.committed == pytest.approx(workers.committed, abs=1e-6)
        assert workers.committed <= limit + workers.over + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400), STEPS)
def test_a_line_that_a_dead_worker_left_unfinished_is_none(
    place: Path, cut: int, steps: list[Step]
) -> None:
    path = place / "torn.jsonl"
    path.unlink(missing_ok=True)
    first, second = Workers(path, 100), Workers(path, 100)
    for step in steps:
        first.do(step)
    if path.exists():
        path.write_bytes(path.read_bytes()[: max(0, path.stat().st_size - cut)])
    budget = Budget(path, 1000.0)
    before = budget.committed
    budget.reserve("e::T0::00::run_99::other", 2.0)
    assert second.budgets[0].committed == pytest.approx(before + 2.0)
    assert Budget(path, 1.0).committed == pytest.approx(before + 2.0)


def test_a_reservation_costs_the_same_in_a_long_session(tmp_path: Path) -> None:
    """Bytes that are read and written for each, not seconds: a machine may be slow."""
    budget = Budget(tmp_path / "b.jsonl", 1e9)
    sizes = []
    for number in range(300):
        before = budget.path.stat().st_size if number else 0
        budget.reserve(key(number), 1.0)
        budget.settle(key(number), 0.5)
        sizes.append(budget.path.stat().st_size - before)
    assert max(sizes) < 2 * min(sizes)


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
    budget.reserve(key(1), 0.75)
    budget.reserve(key(1), 0.75)
    budget.reserve(key(1), 0.75)
    assert budget.committed == 2.25
    with pytest.raises(NotRun, match=r"\$2\.2500 of \$2\.5000"):
        budget.reserve(key(1), 0.75)


def _hold(path: Path, started: Any) -> None:
    Budget(path, 2.0).reserve(key(1), 1.5)
    started.set()
    time.sleep(600)


def test_what_a_living_worker_has_reserved_may_leave_room_and_that_of_a_dead_one_not(
    tmp_path: Path,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    started = spawn.Event()
    worker = spawn.Process(target=_hold, args=(tmp_path / "b", started), daemon=True)
    worker.start()
    assert started.wait(60)
    budget = Budget(tmp_path / "b", 2.0)
    with pytest.raises(NoRoomYet):
        budget.reserve(key(2), 1.0)
    with pytest.raises(NotRun) as never:
        budget.reserve(key(2), 2.5)
    worker.kill()
    worker.join()
    with pytest.raises(NotRun) as dead:
        budget.reserve(key(2), 1.0)
    assert not isinstance(never.value, NoRoomYet)
    assert not isinstance(dead.value, NoRoomYet)


def test_what_no_session_has_room_for_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match=r"this alone would cost about \$3\.0000, and all .* raise it"):
        Budget(tmp_path / "b", 2.5).reserve(key(1), 3.0)


def test_what_costs_nothing_is_not_held_back_by_a_budget_that_is_overshot(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "b", 1.0)
    budget.reserve(key(1), 0.9)
    budget.settle(key(1), 1.5)
    assert budget.reserve("free::T0::00::run_01::agent", 0.0) == 0.0
    with pytest.raises(NotRun):
        budget.reserve("dear::T0::00::run_01::agent", 0.01)


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
    assert wide.reserve(key(3), 0.5) == 0.5, "what never began says nothing of others"


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
