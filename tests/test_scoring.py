"""From graded items to a score."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_scylla.results import ItemScore
from pytest_scylla.rubric import Category, Item, Rubric
from pytest_scylla.scoring import item_weights, score_categories, total_score
from tests.support.examples import law, make_rubric

NA = ItemScore(achieved="N/A", max="N/A")

Scores = dict[str, ItemScore]


def score(rubric: Rubric, items: Mapping[str, ItemScore]) -> float:
    return total_score(rubric, score_categories(rubric, items))


decimals = st.integers(1, 40).map(lambda n: n / 20)


@st.composite
def rubrics(draw: st.DrawFn) -> Rubric:
    names = [f"c{n}" for n in range(draw(st.integers(1, 4)))]
    weights = {name: draw(decimals | st.just(0.0)) for name in names}
    assume(any(weights.values()))
    points = {
        name: {f"{name}i{k}": draw(decimals) for k in range(draw(st.integers(1, 4)))}
        for name in names
    }
    return make_rubric(weights, points)


@st.composite
def graded(draw: st.DrawFn) -> tuple[Rubric, Scores]:
    """A rubric and scores of its items, at least one of which counts."""
    rubric = draw(rubrics())
    scores = {}
    for item in rubric.items():
        share = draw(st.integers(-1, 4))
        achieved = "N/A" if share < 0 else item.points * share / 4
        scores[item.id] = ItemScore.model_validate({"achieved": achieved, "max": item.points})
    assume(any(counts(rubric, scores, name) for name in rubric.categories))
    return rubric, scores


def counts(rubric: Rubric, scores: Scores, category: str) -> bool:
    items = rubric.categories[category].items
    applicable = any(scores[item.id].achieved != "N/A" for item in items)
    return applicable and rubric.categories[category].weight > 0


def exactly(rubric: Rubric, scores: Scores) -> Fraction:
    """The score by the rule, in the rubric's own decimal numbers."""
    total = weights = Fraction(0)
    for name, category in rubric.categories.items():
        if counts(rubric, scores, name):
            items = [item for item in category.items if scores[item.id].achieved != "N/A"]
            most = sum(Fraction(str(item.points)) for item in items)
            achieved = sum(Fraction(str(scores[item.id].achieved)) for item in items)
            total += Fraction(str(category.weight)) * achieved / most
            weights += Fraction(str(category.weight))
    return total / weights


@law
@given(graded())
def test_a_score_lies_between_0_and_1(example: tuple[Rubric, Scores]) -> None:
    assert 0 <= score(*example) <= 1


@law
@given(graded())
def test_a_score_is_the_weighted_mean_of_what_applies(example: tuple[Rubric, Scores]) -> None:
    assert score(*example) == pytest.approx(float(exactly(*example)), abs=1e-12)


@law
@given(graded())
def test_the_weights_of_items_are_1_together_and_give_the_score(
    example: tuple[Rubric, Scores],
) -> None:
    rubric, scores = example
    weights = item_weights(rubric, {id for id, item in scores.items() if item.achieved == "N/A"})
    assert sum(weights.values()) == pytest.approx(1)
    points = {item.id: item.points for item in rubric.items()}
    parts = [w * float(scores[id].achieved) / points[id] for id, w in weights.items()]
    assert sum(parts) == pytest.approx(score(*example), abs=1e-12)


@law
@given(graded())
def test_a_run_that_reaches_the_threshold_in_decimals_reaches_it(
    example: tuple[Rubric, Scores],
) -> None:
    exact = exactly(*example)
    threshold = float(exact)
    assume(Fraction(str(threshold)) == exact)
    assert score(*example) == threshold


@law
@given(rubrics())
def test_a_score_is_1_when_all_is_met_and_0_when_nothing_is(rubric: Rubric) -> None:
    met = {i.id: ItemScore(achieved=i.points, max=i.points) for i in rubric.items()}
    unmet = {i.id: ItemScore(achieved=0.0, max=i.points) for i in rubric.items()}
    assert score(rubric, met) == 1
    assert score(rubric, unmet) == 0


@law
@given(graded())
def test_a_score_is_1_only_when_all_that_counts_is_met(example: tuple[Rubric, Scores]) -> None:
    rubric, scores = example
    counted = [
        item
        for category in rubric.categories.values()
        for item in category.items
        if category.weight > 0 and scores[item.id].achieved != "N/A"
    ]
    assert (score(*example) == 1) == all(scores[i.id].achieved == i.points for i in counted)


@law
@given(graded(), st.data())
def test_to_gain_points_never_lowers_a_score(
    example: tuple[Rubric, Scores], data: st.DataObject
) -> None:
    rubric, scores = example
    item = data.draw(st.sampled_from(rubric.items()))
    before = scores[item.id].achieved
    assume(before != "N/A")
    more = data.draw(st.floats(float(before), item.points))
    better = {**scores, item.id: ItemScore(achieved=more, max=item.points)}
    assert score(rubric, better) >= score(rubric, scores)


@law
@given(graded(), st.data())
def test_the_order_of_the_items_does_not_matter(
    example: tuple[Rubric, Scores], data: st.DataObject
) -> None:
    rubric, scores = example
    shuffled = dict(data.draw(st.permutations(list(scores.items()))))
    names = data.draw(st.permutations(list(rubric.categories)))
    turned = rubric.model_copy(update={"categories": {n: rubric.categories[n] for n in names}})
    assert score(rubric, shuffled) == score(turned, scores) == score(rubric, scores)


@law
@given(graded())
def test_what_does_not_apply_counts_as_if_it_were_not_in_the_rubric(
    example: tuple[Rubric, Scores],
) -> None:
    rubric, scores = example
    left = {name: c for name, c in rubric.categories.items() if counts(rubric, scores, name)}
    applicable = {name: value for name, value in scores.items() if value.achieved != "N/A"}
    smaller = make_rubric(
        {name: category.weight for name, category in left.items()},
        {n: {i.id: i.points for i in c.items if i.id in applicable} for n, c in left.items()},
    )
    kept = {item.id: scores[item.id] for item in smaller.items()}
    assert score(smaller, kept) == score(rubric, scores)


@law
@given(graded(), st.integers(1, 10))
def test_only_the_proportion_of_the_weights_matters(
    example: tuple[Rubric, Scores], factor: int
) -> None:
    rubric, scores = example
    heavier = {
        name: category.model_copy(update={"weight": category.weight * factor})
        for name, category in rubric.categories.items()
    }
    scaled = rubric.model_copy(update={"categories": heavier})
    assert score(scaled, scores) == pytest.approx(score(rubric, scores), abs=1e-12)


def test_a_category_says_which_of_its_items_did_not_apply() -> None:
    rubric = make_rubric({"c": 1.0, "d": 1.0}, {"c": {"a": 2, "b": 1}, "d": {"e": 1}})
    scores = {"a": ItemScore(achieved=1.0, max=9.0, reason="half"), "b": NA, "e": NA}
    categories = score_categories(rubric, scores)
    assert (categories["c"].achieved, categories["c"].max, categories["c"].score) == (1, 2, 0.5)
    assert categories["c"].na_items == ("b",)
    assert categories["c"].items["a"].reason == "half"
    assert (categories["d"].score, categories["d"].na_items) == ("N/A", ("e",))


RUBRIC = make_rubric({"c": 1.0}, {"c": {"a": 2, "b": 1}})
MET = ItemScore(achieved=1.0, max=1.0)


@pytest.mark.parametrize(
    ("items", "named"),
    [
        ({"a": MET}, "b"),
        ({"a": MET, "b": MET, "z": MET}, "z"),
        ({"a": MET, "b": ItemScore(achieved=1.01, max=5.0)}, "b"),
        ({"a": ItemScore(achieved=-0.1, max=2.0), "b": MET}, "a"),
        ({"a": MET, "b": ItemScore(achieved=float("nan"), max=1.0)}, "b"),
        ({"a": MET, "b": ItemScore(achieved=float("inf"), max=1.0)}, "b"),
    ],
)
def test_scores_that_do_not_fit_the_rubric_are_refused_by_name(items: Scores, named: str) -> None:
    with pytest.raises(ValueError, match=rf"\b{named}\b"):
        score_categories(RUBRIC, items)


def test_a_binary_item_is_met_or_not() -> None:
    items = (Item(id="a", check="a", points=2, evaluation="binary"),)
    rubric = RUBRIC.model_copy(update={"categories": {"one": Category(weight=1, items=items)}})
    for achieved in (0.0, 2.0):
        score_categories(rubric, {"a": ItemScore(achieved=achieved, max=2.0)})
    with pytest.raises(ValueError, match="item a got 1, and is worth 0 or 2: it is binary"):
        score_categories(rubric, {"a": ItemScore(achieved=1.0, max=2.0)})


def test_where_only_what_counts_nothing_applies_there_is_no_score() -> None:
    rubric = make_rubric(
        {"heavy": 1.0, "weightless": 0.0}, {"heavy": {"a": 1}, "weightless": {"b": 1}}
    )
    with pytest.raises(ValueError, match="nothing to score"):
        score(rubric, {"a": NA, "b": MET})


def test_a_judge_cannot_change_what_an_item_is_worth() -> None:
    cheap = {"a": ItemScore(achieved=1.0, max=1.0), "b": ItemScore(achieved=1.0, max=100.0)}
    assert score(RUBRIC, cheap) == pytest.approx(2 / 3)


def test_where_nothing_applies_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="N/A"):
        score(RUBRIC, {"a": NA, "b": NA})
