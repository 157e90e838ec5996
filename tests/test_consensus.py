"""From the judge slots to one verdict."""

from __future__ import annotations

import statistics
from fractions import Fraction
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.consensus import agree, settled
from pytest_scylla.errors import RunError
from pytest_scylla.experiment import PanelRules, Rule, Sequential
from pytest_scylla.results import Judgment
from tests.support.examples import law, make_judgment, make_rubric

RUBRIC = make_rubric({"c": 1.0}, {"c": {"a": 1}}, threshold=0.6)

INVALID = [
    make_judgment(None, error="no answer"),
    make_judgment(1.0, is_valid=False, error="cut off"),
    make_judgment(0.0, fallback=True, fallback_reason="usage limit", error="usage limit"),
]


def rules(quorum: int | None = 1, **changes: Any) -> PanelRules:
    return PanelRules(slots=1, quorum=quorum, **changes)


hundredths = st.integers(0, 100).map(lambda n: n / 100)
panels = st.lists(hundredths.map(make_judgment), min_size=1, max_size=7)


@law
@given(panels)
def test_the_score_is_the_mean_of_the_valid_ones(panel: list[Judgment]) -> None:
    mean = sum(Fraction(str(j.score)) for j in panel) / len(panel)
    consensus = agree(RUBRIC, panel, rules())
    assert consensus.score == pytest.approx(float(mean), abs=1e-12)
    assert consensus.passed == (mean >= Fraction("0.6"))
    assert consensus.grade == RUBRIC.grade(consensus.score)


@law
@given(hundredths, st.integers(1, 9))
def test_judges_who_agree_give_their_own_score(score: float, slots: int) -> None:
    rubric = make_rubric({"c": 1.0}, {"c": {"a": 1}}, threshold=score)
    consensus = agree(rubric, [make_judgment(score)] * slots, rules(slots))
    assert consensus.score == score
    assert consensus.passed


@law
@given(panels, st.data())
def test_the_order_of_the_slots_does_not_matter(panel: list[Judgment], data: st.DataObject) -> None:
    turned = data.draw(st.permutations(panel))
    fields = {"score", "passed", "grade", "split"}
    first, second = (agree(RUBRIC, p, rules()).model_dump(include=fields) for p in (panel, turned))
    assert first == second


@law
@given(panels, st.lists(hundredths, min_size=1, max_size=3), st.data())
def test_slots_that_repeat_commands_change_nothing_where_others_grade(
    panel: list[Judgment], repeated: list[float], data: st.DataObject
) -> None:
    mixed = list(panel)
    for score in repeated:
        name = {"model": "rubric-checks"} if data.draw(st.booleans()) else {"by_commands": True}
        mixed.insert(data.draw(st.integers(0, len(mixed))), make_judgment(score, **name))
    found = agree(RUBRIC, mixed, rules(mixed=True))
    assert found.score == agree(RUBRIC, panel, rules()).score
    margin = Sequential(margin=0.1)
    asked = settled(RUBRIC, mixed, rules(mixed=True, sequential=margin))
    assert asked == settled(RUBRIC, panel, rules(sequential=margin))


@law
@given(panels, st.lists(st.sampled_from(INVALID), max_size=4), st.data())
def test_invalid_and_fallback_judgments_never_count(
    panel: list[Judgment], invalid: list[Judgment], data: st.DataObject
) -> None:
    mixed = list(panel)
    for judgment in invalid:
        mixed.insert(data.draw(st.integers(0, len(mixed))), judgment)
    assert agree(RUBRIC, mixed, rules(len(panel))) == agree(RUBRIC, panel, rules(len(panel)))


@law
@given(panels, st.lists(st.sampled_from(INVALID), max_size=4), st.integers(1, 12))
def test_fewer_valid_judgments_than_the_quorum_are_an_error_and_never_a_score(
    panel: list[Judgment], invalid: list[Judgment], quorum: int
) -> None:
    if len(panel) >= quorum:
        assert agree(RUBRIC, [*invalid, *panel], rules(quorum)).score is not None
        return
    with pytest.raises(RunError) as caught:
        agree(RUBRIC, [*invalid, *panel], rules(quorum))
    assert caught.value.kind == "no_quorum"
    assert f"{len(panel)} of {len(panel) + len(invalid)}" in str(caught.value)


def test_without_any_judgment_there_is_no_verdict() -> None:
    with pytest.raises(RunError):
        agree(RUBRIC, [], rules())


def test_the_error_says_why_each_slot_is_not_valid() -> None:
    with pytest.raises(RunError) as caught:
        agree(RUBRIC, [INVALID[0], make_judgment(0.9), INVALID[2]], rules(2))
    message = str(caught.value)
    assert "judge 1: no answer" in message
    assert "judge 3: usage limit" in message
    assert "judge 2" not in message
    assert "next: " in message


def test_the_reasoning_is_that_of_the_slot_nearest_the_mean() -> None:
    panel = [make_judgment(score, reasoning=str(score)) for score in (0.1, 0.5, 1.0)]
    assert agree(RUBRIC, panel, rules(2)).reasoning == "0.5"


@pytest.mark.parametrize(("scores", "split"), [((0.6, 0.9), False), ((0.7, 0.5), True)])
def test_judges_who_disagree_are_said_to(scores: tuple[float, float], split: bool) -> None:
    panel = [make_judgment(score) for score in scores]
    assert agree(RUBRIC, panel, rules(2)).split == split


def test_the_score_decides_and_not_the_number_of_votes() -> None:
    panel = [make_judgment(0.1, passed=True), make_judgment(0.2, passed=True)]
    assert not agree(RUBRIC, panel, rules(2)).passed


# -- the rules -------------------------------------------------------------------------------------

any_rule = st.sampled_from(get_args(Rule))


@law
@given(panels, any_rule)
def test_a_consensus_lies_between_the_lowest_and_the_highest_score(
    panel: list[Judgment], rule: Rule
) -> None:
    scores = [j.score for j in panel if j.score is not None]
    assert min(scores) <= agree(RUBRIC, panel, rules(consensus=rule)).score <= max(scores)


@law
@given(panels, any_rule, st.data())
def test_a_slot_that_gives_more_never_lowers_the_consensus(
    panel: list[Judgment], rule: Rule, data: st.DataObject
) -> None:
    slot = data.draw(st.integers(0, len(panel) - 1))
    more = data.draw(hundredths.filter(lambda n: n >= (panel[slot].score or 0)))
    better = [*panel[:slot], make_judgment(more), *panel[slot + 1 :]]
    found = rules(consensus=rule)
    assert agree(RUBRIC, better, found).score >= agree(RUBRIC, panel, found).score


@law
@given(panels, any_rule)
def test_a_run_passes_where_the_score_reaches_the_threshold_and_the_grade_is_the_scores(
    panel: list[Judgment], rule: Rule
) -> None:
    found = agree(RUBRIC, panel, rules(consensus=rule))
    assert found.passed == (found.score >= 0.6)
    assert found.grade == RUBRIC.grade(found.score)


@law
@given(panels)
def test_by_majority_a_run_passes_where_more_than_half_of_the_slots_pass_it(
    panel: list[Judgment],
) -> None:
    votes = sum(bool(j.passed) for j in panel)
    assert agree(RUBRIC, panel, rules(consensus="majority")).passed == (2 * votes > len(panel))


@law
@given(panels)
def test_by_min_a_run_passes_where_every_slot_passes_it(panel: list[Judgment]) -> None:
    assert agree(RUBRIC, panel, rules(consensus="min")).passed == all(j.passed for j in panel)


@law
@given(panels)
def test_the_median_is_the_one_in_the_middle(panel: list[Judgment]) -> None:
    scores = [j.score for j in panel if j.score is not None]
    found = agree(RUBRIC, panel, rules(consensus="median"))
    assert found.score == pytest.approx(statistics.median(scores), abs=1e-12)


@pytest.mark.parametrize(
    ("rule", "score", "passed"),
    [("mean", 0.6, True), ("median", 0.6, True), ("majority", 0.5, False), ("min", 0.5, False)],
)
def test_a_tie_between_two_slots_fails_by_majority(rule: Rule, score: float, passed: bool) -> None:
    found = agree(RUBRIC, [make_judgment(0.5), make_judgment(0.7)], rules(consensus=rule))
    assert (found.score, found.passed) == (score, passed)


def test_the_judges_own_totals_count_where_that_is_asked() -> None:
    panel = [make_judgment(0.5, own_score=0.9), make_judgment(0.7)]
    assert agree(RUBRIC, panel, rules(scores="own")).score == 0.8
    assert agree(RUBRIC, panel, rules()).score == 0.6


def test_a_judges_own_vote_decides_nothing() -> None:
    panel = [make_judgment(0.5, own_passed=True)] * 3
    assert not agree(RUBRIC, panel, rules(consensus="majority")).passed


# -- a sequential panel ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "enough"),
    [
        ([], False),
        ([0.7], False),
        ([0.7, 0.9], True),
        ([0.7, 0.91], False),
        ([0.5, 0.7], False),
        ([0.1, 0.3], True),
        ([None, 0.7], False),
        ([None, 0.7, 0.8], True),
    ],
)
def test_a_panel_is_settled_by_two_valid_judgments_that_agree(
    scores: list[float | None], enough: bool
) -> None:
    panel = [make_judgment(score) for score in scores]
    assert settled(RUBRIC, panel, rules(sequential=True)) == enough
    assert not settled(RUBRIC, panel, rules())


@law
@given(panels, st.integers(0, 100).map(lambda n: n / 100))
def test_a_wider_margin_settles_no_later(panel: list[Judgment], margin: float) -> None:
    narrow, wide = (rules(sequential={"margin": m}) for m in (margin, 1))
    assert settled(RUBRIC, panel, wide) or not settled(RUBRIC, panel, narrow)


NOT_ASKED = make_judgment(None, asked=False)


def test_the_default_quorum_is_a_majority_of_the_slots_that_were_asked() -> None:
    two = [make_judgment(0.7), make_judgment(0.8)]
    assert agree(RUBRIC, [*two, NOT_ASKED, NOT_ASKED, NOT_ASKED], rules(None)).score == 0.75
    with pytest.raises(RunError, match="2 of 5 judgments are valid and 3 are needed"):
        agree(RUBRIC, [*two, *INVALID], rules(None))
    with pytest.raises(RunError, match="2 of 5 judgments are valid and 3 are needed"):
        agree(RUBRIC, two, PanelRules(slots=5))  # three slots have left nothing at all


def test_a_slot_that_was_not_asked_is_no_reason_for_an_error() -> None:
    with pytest.raises(RunError) as caught:
        agree(RUBRIC, [INVALID[0], NOT_ASKED], rules(None))
    assert "judge 2" not in str(caught.value)
