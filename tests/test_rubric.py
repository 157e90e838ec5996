"""Rubrics: both forms, what is refused, what is warned about, grades."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.errors import InputError
from pytest_scylla.rubric import DEFAULT_GRADES, Grading, Rubric, load_rubric
from tests.support.examples import law, write_yaml

FORM_A: dict[str, Any] = {
    "categories": {
        "functional": {
            "weight": 0.75,
            "scoring_type": "checklist",
            "items": [
                {"id": "F1", "check": "hello.py exists", "points": 1.0, "run": "test -f hello.py"},
                {"id": "F2", "check": "ruff passes", "points": 0.5, "na_condition": "no ruff"},
            ],
        },
        "overall": {
            "weight": 0.25,
            "scoring_type": "subjective",
            "items": [{"id": "O1", "check": "A senior engineer would approve", "points": 2.0}],
        },
    },
    "grading": {"pass_threshold": 0.7, "grade_scale": DEFAULT_GRADES},
}

FORM_B: dict[str, Any] = {
    "requirements": [
        {"id": "R001", "description": "hello.mojo exists", "weight": 2.0, "evaluation": "binary"},
        {
            "id": "R002",
            "description": "Standard style",
            "weight": 1.5,
            "evaluation": "scaled",
            "criteria": ["no deprecated patterns", "docstrings"],
            "skill_source": "https://example.org/skills/format",
            "skill_validation": "format",
        },
        {"id": "R003", "description": "It runs", "run": "python hello.py"},
    ],
    "grading": {"pass_threshold": 0.6},
}


def load(tmp_path: Path, value: Any) -> Rubric:
    return load_rubric(write_yaml(tmp_path / "rubric.yaml", value))


def refused(tmp_path: Path, value: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        load(tmp_path, value)
    assert caught.value.path == str(tmp_path / "rubric.yaml")
    assert caught.value.next_step
    return caught.value


def one_category(weight: Any = 1.0, points: Any = 1.0, **grading: Any) -> dict[str, Any]:
    item = {"id": "a", "check": "b", "points": points}
    return {"categories": {"c": {"weight": weight, "items": [item]}}, "grading": grading}


# -- the two forms ---------------------------------------------------------------------------------


def test_form_a_has_categories_of_items(tmp_path: Path) -> None:
    rubric = load(tmp_path, FORM_A)
    assert rubric.warnings == ()
    assert {name: c.weight for name, c in rubric.categories.items()} == {
        "functional": 0.75,
        "overall": 0.25,
    }
    assert [item.id for item in rubric.items()] == ["F1", "F2", "O1"]
    assert [item.run for item in rubric.items()] == ["test -f hello.py", None, None]
    assert rubric.items()[1].na_condition == "no ruff"
    assert rubric.categories["overall"].scoring_type == "subjective"
    assert rubric.pass_threshold == 0.7


def test_form_b_is_one_category_in_which_weights_are_points(tmp_path: Path) -> None:
    rubric = load(tmp_path, FORM_B)
    assert rubric.warnings == ()
    assert list(rubric.categories) == ["requirements"]
    assert [(i.id, i.check, i.points) for i in rubric.items()] == [
        ("R001", "hello.mojo exists", 2.0),
        ("R002", "Standard style", 1.5),
        ("R003", "It runs", 1.0),
    ]
    assert [item.evaluation for item in rubric.items()] == ["binary", "scaled", "binary"]
    assert rubric.items()[1].criteria == ("no deprecated patterns", "docstrings")
    assert rubric.items()[2].run == "python hello.py"


def test_the_rubric_keeps_what_was_written_for_its_digest(tmp_path: Path) -> None:
    assert load(tmp_path, FORM_A).source == FORM_A


def test_a_rubric_need_not_say_how_it_is_graded(tmp_path: Path) -> None:
    rubric = load(tmp_path, {"requirements": [{"id": "R1", "description": "It runs"}]})
    assert rubric.pass_threshold == 0.6
    assert rubric.grading.grade_scale == DEFAULT_GRADES


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"grading": {}}, {"categories": {}}, {"requirements": []}])
def test_a_rubric_that_grades_nothing_is_refused(tmp_path: Path, value: Any) -> None:
    assert refused(tmp_path, value).key == "categories"


def test_a_rubric_of_both_forms_is_refused(tmp_path: Path) -> None:
    assert "requirements" in str(refused(tmp_path, {**FORM_A, **FORM_B}))


def test_an_item_id_that_is_there_twice_is_refused_also_in_another_category(
    tmp_path: Path,
) -> None:
    item = {"id": "X1", "check": "a", "points": 1}
    category = {"weight": 0.5, "items": [item]}
    error = refused(tmp_path, {"categories": {"a": category, "b": category}})
    assert "X1" in error.problem


def test_a_requirement_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    requirement = {"id": "R1", "description": "a"}
    assert "R1" in refused(tmp_path, {"requirements": [requirement, requirement]}).problem


def test_a_rubric_in_which_nothing_has_weight_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, one_category(weight=0)).key == "categories"


@pytest.mark.parametrize("number", [-1, float("nan"), float("inf"), "much", None])
def test_a_number_that_cannot_be_counted_with_is_refused(tmp_path: Path, number: Any) -> None:
    assert refused(tmp_path, one_category(weight=number)).key == "categories.c.weight"
    assert refused(tmp_path, one_category(points=number)).key == "categories.c.items.0.points"
    requirement = {"id": "R1", "description": "a", "weight": number}
    assert refused(tmp_path, {"requirements": [requirement]}).key == "requirements.0.weight"


def test_an_item_that_is_worth_nothing_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, one_category(points=0)).key == "categories.c.items.0.points"


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 60, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(tmp_path: Path, threshold: float) -> None:
    error = refused(tmp_path, one_category(pass_threshold=threshold))
    assert error.key == "grading.pass_threshold"


@pytest.mark.parametrize("scale", [{}, {"A": 1.5}, {"A": -1}, {"A": float("nan")}, {"A": "good"}])
def test_a_grade_scale_outside_0_to_1_is_refused(tmp_path: Path, scale: Any) -> None:
    error = refused(tmp_path, one_category(grade_scale=scale))
    assert error.key.startswith("grading.grade_scale")


@pytest.mark.parametrize(
    "item",
    [
        {"check": "no id", "points": 1},
        {"id": "X", "points": 1},
        {"id": "X", "check": "no points"},
        {"id": "X", "check": "an empty command", "points": 1, "run": ""},
    ],
)
def test_an_item_that_lacks_something_is_refused(tmp_path: Path, item: Any) -> None:
    error = refused(tmp_path, {"categories": {"c": {"weight": 1, "items": [item]}}})
    assert error.key.startswith("categories.c.items.0")


def test_a_category_without_items_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, {"categories": {"c": {"weight": 1, "items": []}}})
    assert error.key == "categories.c.items"


# -- what is warned about --------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "warned"), [((0.5, 0.4), True), ((0.9, 0.1), False)])
def test_weights_that_do_not_add_up_to_1_are_warned_about(
    tmp_path: Path, weights: tuple[float, float], warned: bool
) -> None:
    categories = {
        f"c{n}": {"weight": weight, "items": [{"id": f"i{n}", "check": "a", "points": 1}]}
        for n, weight in enumerate(weights)
    }
    warnings = load(tmp_path, {"categories": categories}).warnings
    assert ["0.9, not 1" in warning for warning in warnings] == [True] * warned


def test_ten_weights_of_a_tenth_add_up_to_1(tmp_path: Path) -> None:
    categories = {
        f"c{n}": {"weight": 0.1, "items": [{"id": f"i{n}", "check": "a", "points": 1}]}
        for n in range(10)
    }
    assert load(tmp_path, {"categories": categories}).warnings == ()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"surprise": 1}, "surprise"),
        ({"grading": {"pass_threshold": 0.9, "surprise": 1}}, "grading.surprise"),
    ],
)
def test_an_unknown_key_is_warned_about(tmp_path: Path, change: Any, key: str) -> None:
    for form in (FORM_A, FORM_B):
        (warning,) = load(tmp_path, {**form, **change}).warnings
        assert f"rubric.yaml: {key}: unknown key" in warning


@pytest.mark.parametrize("name", ["pionts", "runn", "evaluate", "criterea"])
def test_a_misspelt_key_of_an_item_is_refused(tmp_path: Path, name: str) -> None:
    value = one_category()
    value["categories"]["c"]["items"][0][name] = 1
    with pytest.raises(InputError, match="did you mean `"):
        load(tmp_path, value)


def test_an_unknown_key_of_an_item_is_warned_about(tmp_path: Path) -> None:
    value = one_category()
    value["categories"]["c"]["items"][0]["surprise"] = 1
    (warning,) = load(tmp_path, value).warnings
    assert "categories.c.items" in warning
    assert "surprise" in warning


# -- grades ----------------------------------------------------------------------------------------

ORDER = list(DEFAULT_GRADES)
scores = st.floats(0, 1)


@law
@given(scores, scores)
def test_a_higher_score_never_has_a_lower_grade(a: float, b: float) -> None:
    rubric = Rubric(categories={}, grading=Grading(), source={})
    low, high = sorted((a, b))
    assert ORDER.index(rubric.grade(high)) <= ORDER.index(rubric.grade(low))
    assert (rubric.grade(a) == "S") == (a == 1)


@pytest.mark.parametrize(("grade", "bound"), DEFAULT_GRADES.items())
def test_the_bound_of_a_grade_belongs_to_it(grade: str, bound: float) -> None:
    assert Rubric(categories={}, grading=Grading(), source={}).grade(bound) == grade


@law
@given(st.permutations(ORDER), scores)
def test_the_order_in_which_grades_are_written_does_not_matter(
    order: list[str], score: float
) -> None:
    scale = {grade: DEFAULT_GRADES[grade] for grade in order}
    shuffled = Rubric(categories={}, grading=Grading(grade_scale=scale), source={})
    assert shuffled.grade(score) == Rubric(categories={}, grading=Grading(), source={}).grade(score)


def test_a_score_below_every_bound_has_the_lowest_grade() -> None:
    grading = Grading(grade_scale={"good": 0.8, "poor": 0.5})
    assert Rubric(categories={}, grading=grading, source={}).grade(0.1) == "poor"
