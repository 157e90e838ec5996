"""What judges gave and cost, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.consensus import agree
from pytest_scylla.experiment import PanelRules
from pytest_scylla.rebuild import stored_judgments, vote
from pytest_scylla.reports.json_report import judges
from pytest_scylla.reports.panel import PanelFigures, own_totals, panel_figures
from pytest_scylla.reports.summary import summarise
from pytest_scylla.results import ItemScore, JudgeVote, Judgment
from pytest_scylla.rubric import load_rubric
from pytest_scylla.scoring import score_of_items
from pytest_scylla.store import RunDir, write_json
from tests.support.examples import law, make_judgment, write_yaml


def votes(*judgments: Judgment) -> tuple[JudgeVote, ...]:
    return tuple(vote(number, judgment) for number, judgment in enumerate(judgments, 1))


def panel(*runs: tuple[Judgment, ...]) -> PanelFigures:
    return PanelFigures(tuple(votes(*run) for run in runs))


NOT_ASKED = make_judgment(None, asked=False, model="c")
FAILED = make_judgment(None, error="cut off", model="b", cost_usd=0.3)


def test_each_judge_has_its_cost_its_mean_and_its_failures() -> None:
    figures = panel(
        (make_judgment(0.8, model="a", cost_usd=0.1), FAILED, NOT_ASKED),
        (make_judgment(0.6, model="a", cost_usd=0.3), make_judgment(0.4, cost_usd=None)),
    )
    a, b, c = judges(figures)["slots"]
    assert (a["model"], a["asked"], a["valid"], a["not_asked"]) == ("a", 2, 2, 0)
    assert a["mean_score"] == pytest.approx(0.7)
    assert (a["cost_usd"], a["mean_cost_usd"]) == (pytest.approx(0.4), pytest.approx(0.2))
    assert (b["asked"], b["valid"], b["cost_usd"]) == (2, 1, None)
    assert (c["asked"], c["not_asked"], c["mean_score"], c["mean_cost_usd"]) == (0, 1, None, None)


def test_agreement_is_that_of_the_runs_that_two_judges_have_in_common() -> None:
    figures = panel(
        (make_judgment(0.9), make_judgment(0.8), FAILED),
        (make_judgment(0.7), make_judgment(0.5), FAILED),
        (make_judgment(0.2), FAILED, FAILED),
    )
    (pair,) = judges(figures)["pairs"]
    assert (pair["slots"], pair["runs"], pair["same_verdict"]) == ([1, 2], 2, 0.5)
    assert pair["mean_difference"] == pytest.approx(0.15)
    # By hand, of the pairs 0.9 0.8 and 0.7 0.5: observed 2 * 0.01 + 2 * 0.04 = 0.1; expected
    # 2 * (0.01 + 0.04 + 0.16 + 0.01 + 0.09 + 0.04) / 3 = 0.7 / 3.
    assert figures.alpha_scores() == pytest.approx(1 - 0.1 / (0.7 / 3))
    # Passed and failed: 1 1 and 1 0, so observed 2, expected 6 / 3.
    assert figures.alpha_passes() == pytest.approx(0)


def test_what_a_sequential_panel_saved_has_the_mean_price_of_the_slot() -> None:
    two = (make_judgment(0.8), make_judgment(0.8))
    dear = make_judgment(0.8, cost_usd=0.5)
    assert judges(panel((*two, NOT_ASKED), (*two, NOT_ASKED), (*two, dear)))["saved"] == {
        "calls": 2,
        "usd": pytest.approx(1.0),
    }
    assert judges(panel((*two, NOT_ASKED)))["saved"] == {"calls": 1, "usd": None}
    assert judges(panel((*two, dear)))["saved"] == {"calls": 0, "usd": 0}


def test_rounding_to_two_decimals_is_no_wrong_sum() -> None:
    rounded = panel((make_judgment(0.6667, own_score=0.67), make_judgment(0.5)))
    assert own_totals(rounded.seats) == ""
    wrong = panel((make_judgment(0.6, own_score=0.7), make_judgment(0.5, own_score=0.5)))
    assert "in 1 of 2 judgments (mean +0.0500, at most +0.1000)" in own_totals(wrong.seats)


@law
@given(st.lists(st.lists(st.integers(0, 10), min_size=3, max_size=3), min_size=1, max_size=6))
def test_two_judges_lie_between_0_and_1_apart_and_alpha_is_1_where_all_are_equal(
    runs: list[list[int]],
) -> None:
    figures = panel(*(tuple(make_judgment(n / 10) for n in run) for run in runs))
    assert all(0 <= pair.mean_difference <= 1 for pair in figures.pairs)
    if all(len(set(run)) == 1 for run in runs):
        assert figures.alpha_scores() in (1, None)


# -- trees of ProjectScylla ------------------------------------------------------------------------

FORM_A: dict[str, Any] = {
    "categories": {
        "functional": {
            "weight": 0.7,
            "items": [
                {"id": "F1", "check": "it runs", "points": 1},
                {"id": "F2", "check": "it is fast", "points": 1, "na_condition": "no clock"},
            ],
        },
        "overall": {
            "weight": 0.3,
            "scoring_type": "subjective",
            "items": [{"id": "OQ1", "check": "a senior approves", "points": 2}],
        },
    }
}
FORM_B: dict[str, Any] = {
    "requirements": [
        {"id": "R1", "description": "it runs", "weight": 3, "evaluation": "binary"},
        {"id": "R2", "description": "it is tidy", "weight": 1, "evaluation": "scaled"},
    ],
    "grading": {"pass_threshold": 0.8},
}
A_ITEMS = {"functional": {"F1": 1.0, "F2": "N/A"}, "overall": {"OQ1": 1.5}}
B_ITEMS = {"requirements": {"R1": 3.0, "R2": 0.5}}


def write_foreign(
    root: Path, rubric: dict[str, Any], items: Mapping[str, Mapping[str, Any]], own: list[float]
) -> Path:
    """A tree as ProjectScylla leaves it, with a run whose judges gave these totals of their own."""
    write_yaml(root / "rubric.yaml", rubric)
    write_json(root / "config/experiment.json", {"experiment_id": "theirs"})
    run = root / "T0/00/run_01"
    for number, score in enumerate(own, 1):
        graded = {
            name: {
                "achieved": 9.0,
                "max": 10.0,
                "score": 0.9,
                "items": {
                    id: ItemScore(achieved=value, max="N/A" if value == "N/A" else 1.0)
                    for id, value in of.items()
                },
            }
            for name, of in items.items()
        }
        judgment = make_judgment(score, criteria_scores=graded).model_dump(mode="json")
        known = {"score", "passed", "grade", "reasoning", "is_valid", "criteria_scores"}
        path = run / f"judge/judge_{number:02d}/judgment.json"
        path.parent.mkdir(parents=True)
        write_json(path, {name: judgment[name] for name in known})
    return run


@pytest.mark.parametrize(
    ("rubric", "items", "computed"),
    [(FORM_A, A_ITEMS, 0.7 + 0.3 * 0.75), (FORM_B, B_ITEMS, 3.5 / 4)],
    ids=["form A", "form B"],
)
def test_scores_are_recomputed_from_items_and_the_judges_own_means_can_be_had(
    tmp_path: Path, rubric: dict[str, Any], items: dict[str, Any], computed: float
) -> None:
    given = [0.95, computed, 0.9]
    run = write_foreign(tmp_path, rubric, items, given)
    figures = panel_figures(summarise(tmp_path))
    assert [seat.mean_score for seat in figures.seats] == [pytest.approx(computed)] * 3
    assert [len(seat.own_totals_off) for seat in figures.seats] == [1, 0, 1]
    assert [seat.cost_usd for seat in figures.seats] == [None] * 3
    read = load_rubric(tmp_path / "rubric.yaml")
    again = [
        judgment.model_copy(
            update={
                "score": score_of_items(read, judgment.criteria_scores),
                "own_score": judgment.score,
            }
        )
        for judgment in stored_judgments(RunDir(run)).values()
    ]
    own = agree(read, again, PanelRules(slots=3, scores="own"))
    assert own.score == pytest.approx(sum(given) / 3, abs=1e-9)
    assert agree(read, again, PanelRules(slots=3)).score == pytest.approx(computed, abs=1e-9)
