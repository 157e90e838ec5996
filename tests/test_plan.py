"""The plan: a pure state machine, driven through every kind of accident."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pytest_scylla.plan import Plan, Spec
from tests.support.examples import law

GROUPS = "ABCD"
THINGS = ("key", "shared")
LIMITS = {"key": 2}


@st.composite
def specs(draw: st.DrawFn) -> list[Spec]:
    """Items of groups that wait for earlier groups only; a group may be empty."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(GROUPS) - 1))
        after = draw(st.lists(st.sampled_from("ABCD"[:place] or "Z"), unique=True, max_size=2))
        holds = draw(st.lists(st.sampled_from(THINGS), unique=True))
        cost = float(draw(st.integers(1, 4)))
        found.append(Spec(f"i{number}", GROUPS[place], tuple(after), cost, tuple(holds)))
    return found


class Accidents(RuleBasedStateMachine):
    """Workers take items, finish them, die with them, or never begin them, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = Plan([])
        self.specs: dict[str, Spec] = {}
        self.running: list[str] = []
        self.finished: list[str] = []
        self.lost: Counter[str] = Counter()

    @initialize(specs=specs())
    def start(self, specs: list[Spec]) -> None:
        self.plan = Plan(specs, LIMITS)
        self.specs = {spec.id: spec for spec in specs}

    def may_start(self, id: str) -> bool:
        done = all(s.id in self.finished for s in self.specs.values() if s.group in self.after(id))
        held = Counter(thing for other in self.running for thing in self.specs[other].holds)
        free = all(held[thing] < LIMITS.get(thing, 1) for thing in self.specs[id].holds)
        return done and free and id not in self.running and id not in self.finished

    def after(self, id: str) -> tuple[str, ...]:
        return self.specs[id].after

    @rule()
    def take(self) -> None:
        able = [id for id in self.specs if self.may_start(id)]
        id = self.plan.next()
        assert (id in able) if able else id is None
        if id is not None:
            self.running.append(id)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.plan.finish(self.stopped(data))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        self.plan.unstart(self.stopped(data, done=False))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.running))
        self.lost[id] += 1
        again = self.plan.lose(id)
        assert again == (self.lost[id] <= 2)
        self.running.remove(id)
        if not again:
            self.finished.append(id)

    @precondition(lambda self: len(self.finished) < len(self.specs))
    @rule(data=st.data())
    def finish_unasked(self, data: st.DataObject) -> None:
        left = [id for id in self.specs if id not in self.finished and id not in self.running]
        if left:
            id = data.draw(st.sampled_from(left))
            self.plan.finish(id)
            self.finished.append(id)

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """News of what is finished already, from a worker that was slow to say it."""
        id = data.draw(st.sampled_from(self.finished))
        self.plan.finish(id)
        self.plan.unstart(id)
        assert not self.plan.lose(id)

    def stopped(self, data: st.DataObject, done: bool = True) -> str:
        id = data.draw(st.sampled_from(self.running))
        self.running.remove(id)
        if done:
            self.finished.append(id)
        return id

    @invariant()
    def every_item_is_in_one_state(self) -> None:
        assert sorted(self.plan.running) == sorted(self.running)
        assert sorted(self.plan.finished) == sorted(self.finished)
        assert self.plan.done == (len(self.finished) == len(self.specs))
        assert all(count <= 3 for count in self.lost.values())

    @invariant()
    def nothing_is_held_too_often(self) -> None:
        held = Counter(thing for id in self.running for thing in self.specs[id].holds)
        assert all(count <= LIMITS.get(thing, 1) for thing, count in held.items())

    def teardown(self) -> None:
        """Whatever happened, the plan can be worked off: nothing sticks."""
        while not self.plan.done:
            while (id := self.plan.next()) is not None:
                assert self.may_start(id)
                self.running.append(id)
            assert self.running
            id = self.running.pop(0)
            self.plan.finish(id)
            self.finished.append(id)
        assert sorted(self.finished) == sorted(self.specs)


Accidents.TestCase.settings = law
test_no_accident_makes_an_item_finish_twice_start_early_or_stick = Accidents.TestCase


def order(plan: Plan) -> list[str]:
    """The items in the order of one worker."""
    found = []
    while (id := plan.next()) is not None:
        found.append(id)
        plan.finish(id)
    return found


@law
@given(specs())
def test_one_worker_does_everything_once_and_always_in_the_same_order(specs: list[Spec]) -> None:
    first = order(Plan(specs, LIMITS))
    assert sorted(first) == sorted(spec.id for spec in specs)
    assert order(Plan(specs, LIMITS)) == first


def test_an_item_whose_children_take_long_goes_first() -> None:
    plan = Plan(
        [
            Spec("long", cost=5),
            Spec("parent", "A", cost=1),
            Spec("child", "B", after=("A",), cost=10),
            Spec("short", cost=1),
        ]
    )
    assert order(plan) == ["parent", "child", "long", "short"]


def test_equal_items_keep_their_order() -> None:
    assert order(Plan([Spec(name) for name in "cab"])) == ["c", "a", "b"]


def test_a_group_is_finished_when_its_last_item_is() -> None:
    plan = Plan([Spec("a1", "A"), Spec("a2", "A"), Spec("b", "B", after=("A",))])
    assert [plan.next(), plan.next(), plan.next()] == ["a1", "a2", None]
    plan.finish("a1")
    assert plan.next() is None
    plan.finish("a2")
    assert plan.next() == "b"


def test_an_item_that_is_lost_for_the_third_time_releases_who_waits_for_it() -> None:
    plan = Plan([Spec("a", "A"), Spec("b", "B", after=("A",))])
    for again in (True, True, False):
        assert plan.next() == "a"
        assert plan.lose("a") is again
    assert plan.next() == "b"


def test_a_group_without_items_is_finished() -> None:
    assert Plan([Spec("a", "A", after=("nobody",))]).next() == "a"


def test_what_is_held_does_not_keep_others_from_starting() -> None:
    plan = Plan([Spec("a", cost=3, holds=("key",)), Spec("b", cost=2, holds=("key",)), Spec("c")])
    assert [plan.next(), plan.next(), plan.next()] == ["a", "c", None]
    plan.lose("a")
    assert plan.next() == "a"
    plan.finish("a")
    assert plan.next() == "b"


@pytest.mark.parametrize(
    "specs",
    [
        [Spec("a", "A", after=("A",))],
        [Spec("a", "A", after=("B",)), Spec("b", "B", after=("A",))],
        [Spec("a", "A", ("C",)), Spec("b", "B", ("A",)), Spec("c", "C", ("B",))],
    ],
)
def test_groups_that_wait_for_each_other_are_refused(specs: list[Spec]) -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        Plan(specs)


def test_an_empty_plan_is_done() -> None:
    assert Plan([]).done
    assert Plan([]).next() is None
