"""From the judge slots to one verdict."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.consensus import agree
from pytest_scylla.errors import RunError
from pytest_scylla.results import Judgment
from tests.support.examples import law, make_judgment, make_rubric

RUBRIC = make_rubric({"c": 1.0}, {"c": {"a": 1}}, threshold=0.6)

INVALID = [
    make_judgment(None, error="no answer"),
    make_judgment(1.0, is_valid=False, error="cut off"),
    make_judgment(0.0, fallback=True, fallback_reason="usage limit", error="usage limit"),
]

hundredths = st.integers(0, 100).map(lambda n: n / 100)
panels = st.lists(hundredths.map(make_judgment), min_size=1, max_size=7)


@law
@given(panels)
def test_the_score_is_the_mean_of_the_valid_ones(panel: list[Judgment]) -> None:
    mean = sum(Fraction(str(j.score)) for j in panel) / len(panel)
    consensus = agree(RUBRIC, panel, 1)
    assert consensus.score == pytest.approx(float(mean), abs=1e-12)
    assert consensus.passed == (mean >= Fraction("0.6"))
    assert consensus.grade == RUBRIC.grade(consensus.score)


@law
@given(hundredths, st.integers(1, 9))
def test_judges_who_agree_give_their_own_score(score: float, slots: int) -> None:
    rubric = make_rubric({"c": 1.0}, {"c": {"a": 1}}, threshold=score)
    consensus = agree(rubric, [make_judgment(score)] * slots, slots)
    assert consensus.score == score
    assert consensus.passed


@law
@given(panels, st.data())
def test_the_order_of_the_slots_does_not_matter(panel: list[Judgment], data: st.DataObject) -> None:
    turned = data.draw(st.permutations(panel))
    fields = {"score", "passed", "grade", "split"}
    first, second = (agree(RUBRIC, p, 1).model_dump(include=fields) for p in (panel, turned))
    assert first == second


@law
@given(panels, st.lists(st.sampled_from(INVALID), max_size=4), st.data())
def test_invalid_and_fallback_judgments_never_count(
    panel: list[Judgment], invalid: list[Judgment], data: st.DataObject
) -> None:
    mixed = list(panel)
    for judgment in invalid:
        mixed.insert(data.draw(st.integers(0, len(mixed))), judgment)
    assert agree(RUBRIC, mixed, len(panel)) == agree(RUBRIC, panel, len(panel))


@law
@given(panels, st.lists(st.sampled_from(INVALID), max_size=4), st.integers(1, 12))
def test_fewer_valid_judgments_than_the_quorum_are_an_error_and_never_a_score(
    panel: list[Judgment], invalid: list[Judgment], quorum: int
) -> None:
    if len(panel) >= quorum:
        assert agree(RUBRIC, [*invalid, *panel], quorum).score is not None
        return
    with pytest.raises(RunError) as caught:
        agree(RUBRIC, [*invalid, *panel], quorum)
    assert caught.value.kind == "no_quorum"
    assert f"{len(panel)} of {len(panel) + len(invalid)}" in str(caught.value)


def test_without_any_judgment_there_is_no_verdict() -> None:
    with pytest.raises(RunError):
        agree(RUBRIC, [], 1)


def test_the_error_says_why_each_slot_is_not_valid() -> None:
    with pytest.raises(RunError) as caught:
        agree(RUBRIC, [INVALID[0], make_judgment(0.9), INVALID[2]], 2)
    message = str(caught.value)
    assert "judge 1: no answer" in message
    assert "judge 3: usage limit" in message
    assert "judge 2" not in message
    assert "next: " in message


def test_the_reasoning_is_that_of_the_slot_nearest_the_mean() -> None:
    panel = [make_judgment(score, reasoning=str(score)) for score in (0.1, 0.5, 1.0)]
    assert agree(RUBRIC, panel, 2).reasoning == "0.5"


@pytest.mark.parametrize(("votes", "split"), [((True, True), False), ((True, False), True)])
def test_judges_who_disagree_are_said_to(votes: tuple[bool, bool], split: bool) -> None:
    panel = [make_judgment(0.7, passed=vote) for vote in votes]
    assert agree(RUBRIC, panel, 2).split == split


def test_the_score_decides_and_not_the_number_of_votes() -> None:
    panel = [make_judgment(0.1, passed=True), make_judgment(0.2, passed=True)]
    assert not agree(RUBRIC, panel, 2).passed
