"""What a results directory says: an error is never a score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.reports import json_report
from pytest_scylla.reports.panel import panel_figures
from pytest_scylla.reports.spending import Spending
from pytest_scylla.reports.summary import (
    ExperimentSummary,
    Figures,
    RunSummary,
    SubtestSummary,
    summarise,
    summarise_run,
)
from pytest_scylla.results import AgentResult, RunFailure, TokenStats
from pytest_scylla.store import RunDir, write_json
from tests.support.examples import law, make_result, write_files, write_result


def write_error(run: Path, kind: str = "no_cli", cost: float | None = None) -> None:
    """A run without a verdict; with a cost its agent has answered."""
    failure = RunFailure(kind=kind, message="it broke", stage="agent", at="now")
    write_json(run / "error.json", failure)
    if cost is not None:
        agent = AgentResult(
            exit_code=0, stdout="", stderr="", token_stats=TokenStats(), cost_usd=cost, api_calls=1
        )
        write_json(run / "agent" / "result.json", agent)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two tiers and a third without a single verdict."""
    root = tmp_path / "2026-01-01T00-00-00-example"
    write_json(
        root / "config" / "experiment.json",
        {"experiment_id": "example", "tiers_to_run": ["T1", "T0", "T2"]},
    )
    write_result(root / "T0/00-empty/run_01", 0.8, tokens=100)
    write_result(root / "T0/00-empty/run_02", 0.6, tokens=100)
    write_error(root / "T0/00-empty/run_03")
    write_result(root / "T0/01-other/run_01", 0.2, tokens=50)
    write_error(root / "T0/01-other/run_02", "no_quorum", cost=0.25)
    write_result(root / "T1/01-it/run_01", 1.0, cost_usd=0.1)
    write_error(root / "T2/01-it/run_01")
    write_error(root / "T2/01-it/run_02")
    return root


def test_errors_are_counted_and_enter_no_figure(results: Path) -> None:
    summary = summarise(results)
    empty = summary.tiers[1].subtests[0].figures
    assert (len(empty.runs), empty.judged, empty.errors) == (3, 2, 1)
    assert (empty.passed, empty.failed, empty.pass_rate) == (2, 0, 1.0)
    assert empty.mean_score == pytest.approx(0.7)
    assert empty.median_score == pytest.approx(0.7)
    assert (summary.figures.judged, summary.figures.errors) == (4, 4)


def test_where_nothing_was_judged_every_figure_is_none(results: Path) -> None:
    tier = summarise(results).tiers[2]
    figures = tier.figures
    assert (figures.judged, figures.errors) == (0, 2)
    assert tier.best is None
    for figure in (
        figures.pass_rate,
        figures.interval,
        figures.mean_score,
        figures.median_score,
        figures.deviation,
        figures.consistency,
        figures.cost_of_pass,
    ):
        assert figure is None


def test_tiers_come_in_the_order_of_the_experiment(results: Path) -> None:
    summary = summarise(results)
    assert (summary.id, [tier.id for tier in summary.tiers]) == ("example", ["T1", "T0", "T2"])


def test_the_best_of_a_tier_is_chosen_among_those_with_a_verdict(results: Path) -> None:
    bests = {tier.id: tier.best.id if tier.best else None for tier in summarise(results).tiers}
    assert bests == {"T0": "00-empty", "T1": "01-it", "T2": None}


def test_the_cheapest_pass_is_that_of_all_set_ups_and_the_best_has_the_highest_median(
    results: Path,
) -> None:
    summary = summarise(results)
    assert summary.cheapest is not None
    assert summary.cheapest[0].id == "T1"
    assert summary.frontier == pytest.approx(0.1)
    write_result(results / "T0/02-other/run_01", 0.6, cost_usd=0.05)
    write_result(results / "T2/00-costly/run_01", 1.0, cost_usd=50)
    summary = summarise(results)
    assert summary.cheapest is not None
    assert summary.cheapest[1].id == "02-other"
    assert summary.best is not None
    assert summary.best[1].id == "00-costly"


def test_a_set_up_that_never_passed_is_not_the_cheapest_pass(results: Path) -> None:
    write_result(results / "T1/01-it/run_01", 0.0, cost_usd=0.0)
    cheapest = summarise(results).cheapest
    assert cheapest is not None
    assert cheapest[0].id == "T0"


def test_without_any_verdict_nothing_is_best(tmp_path: Path) -> None:
    write_error(tmp_path / "T0/00-empty/run_01")
    summary = summarise(tmp_path)
    assert (summary.best, summary.frontier) == (None, None)


def test_what_a_run_without_a_verdict_cost_is_counted(results: Path) -> None:
    other = summarise(results).tiers[1].subtests[1]
    assert other.figures.cost == pytest.approx(0.75)
    assert other.runs[1].failure is not None
    assert other.runs[1].failure.kind == "no_quorum"


def test_a_cost_that_is_not_known_makes_the_sum_unknown_and_not_smaller(results: Path) -> None:
    write_result(results / "T1/01-it/run_02", 1.0, cost_usd=None)
    figures = summarise(results).tiers[0].figures
    assert figures.cost is None
    assert figures.cost_of_pass is None
    assert figures.mean_score == 1.0


def test_a_second_chance_is_counted_as_an_attempt_and_not_as_a_result(results: Path) -> None:
    run = results / "T1" / "01-it" / "run_01"
    write_result(run / "attempts" / "attempt_01", 0.0)
    summary = summarise_run(RunDir(run))
    assert summary.attempts == 2
    assert summary.result is not None
    assert summary.result.judge_score == 0.0


def test_what_is_no_run_is_not_counted(results: Path) -> None:
    write_files(results, {"T0/00-empty/workspace/x": "", "T0/00-empty/run_x/y": "", "T9/z": ""})
    assert summarise(results).figures.runs == summarise(results).figures.runs
    assert len(summarise(results).figures.runs) == 8


def test_a_broken_result_is_an_error_and_no_score(results: Path) -> None:
    (results / "T1/01-it/run_01/run_result.json").write_text('{"judge_score": 1.0')
    figures = summarise(results).tiers[0].figures
    assert (figures.errors, figures.mean_score) == (1, None)


# -- the reports' figures --------------------------------------------------------------------------


def zeros(value: Any, place: str = "") -> list[str]:
    """Where a report says 0 of something that is a score, a rate or a price."""
    found = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        here = f"{place}.{key}"
        if isinstance(inner, dict | list):
            found += zeros(inner, here)
        elif inner == 0 and any(word in str(key) for word in ("score", "rate", "cop", "of_pass")):
            found.append(here)
    return found


def reports(summary: ExperimentSummary) -> list[dict[str, Any]]:
    tiers = [
        report
        for tier in summary.tiers
        for report in (
            json_report.tier_report(tier),
            json_report.tier_result(tier),
            json_report.best_subtest(tier),
            *(json_report.subtest_report(subtest, tier.id) for subtest in tier.subtests),
            *(json_report.run_report(run) for subtest in tier.subtests for run in subtest.runs),
        )
    ]
    return [
        json_report.experiment_report(summary, Spending(0.5, 1), panel_figures(summary)),
        *tiers,
    ]


def test_no_report_says_zero_where_nothing_was_judged(tmp_path: Path) -> None:
    for number in (1, 2):
        write_error(tmp_path / f"T0/00-empty/run_{number:02d}")
    for report in reports(summarise(tmp_path)):
        assert zeros(report) == []
        json.dumps(report, allow_nan=False)


def test_a_report_counts_errors_beside_failures(results: Path) -> None:
    experiment = summarise(results)
    panel = panel_figures(experiment)
    report = json_report.experiment_report(experiment, Spending(0.5, 1), panel)["summary"]
    counts = {name: report[name] for name in ("total_runs", "judged", "passed", "failed", "errors")}
    assert counts == {"total_runs": 8, "judged": 4, "passed": 3, "failed": 1, "errors": 4}


# -- laws ------------------------------------------------------------------------------------------

scores = st.integers(0, 20).map(lambda n: n / 20)
runs = st.lists(st.none() | scores, max_size=8)


def figures(scores: list[float | None]) -> Figures:
    return Figures(
        tuple(
            RunSummary(
                number=number,
                path=Path(f"run_{number:02d}"),
                result=None if score is None else make_result(score),
                failure=None,
                attempts=1,
                cost_usd=0.5,
            )
            for number, score in enumerate(scores, 1)
        )
    )


@law
@given(runs, st.integers(1, 5))
def test_more_errors_change_the_number_of_errors_and_the_bill_alone(
    scores: list[float | None], errors: int
) -> None:
    few, many = figures(scores), figures([*scores, *[None] * errors])
    assert many.errors == few.errors + errors
    assert many.cost == pytest.approx((few.cost or 0) + errors * 0.5)
    for name in ("judged", "passed", "failed", "pass_rate", "interval", "mean_score"):
        assert getattr(many, name) == getattr(few, name)
    for name in ("median_score", "deviation", "consistency", "tokens", "duration", "grades"):
        assert getattr(many, name) == getattr(few, name)


@law
@given(runs)
def test_every_run_is_passed_failed_or_an_error(scores: list[float | None]) -> None:
    found = figures(scores)
    assert found.passed + found.failed + found.errors == len(scores)
    assert found.judged == found.passed + found.failed == sum(found.grades.values())
    assert found.errors == scores.count(None)
    if found.consistency is not None:
        assert 0 <= found.consistency <= 1


def test_a_subtest_has_the_runs_of_its_figures() -> None:
    subtest = SubtestSummary("00-empty", Path("00-empty"), figures([0.5, None]))
    assert [run.name for run in subtest.runs] == ["run_01", "run_02"]


@pytest.mark.parametrize(
    ("other", "tokens", "best", "needed"),
    [
        (0.90, 10, "00-a", False),
        (0.95, 10, "01-b", True),  # within 0.05: fewer tokens win
        (0.95, 900, "00-a", True),  # the one with the higher score, and it was tokens that decided
        (1.00, 100, "00-a", True),  # the lower id
    ],
)
def test_a_tier_whose_best_was_chosen_by_tokens_or_id_says_so(
    tmp_path: Path, other: float, tokens: int, best: str, needed: bool
) -> None:
    stats = {"input_tokens": 100}
    write_result(tmp_path / "T0/00-a/run_01", 1.0, token_stats=stats)
    write_result(tmp_path / "T0/01-b/run_01", other, token_stats={"input_tokens": tokens})
    (tier,) = summarise(tmp_path).tiers
    found = json_report.best_subtest(tier)
    assert (found["winning_subtest"], found["tiebreaker_needed"]) == (best, needed)
