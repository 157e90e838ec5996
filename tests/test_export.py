"""Runs as tables: CSV, Parquet, summary.json and statistics.json, and how they are read again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from pytest_scylla.errors import InputError
from pytest_scylla.reports.export import write_parquet
from pytest_scylla.reports.panel import panel_figures
from pytest_scylla.reports.statistics_report import statistics, statistics_of
from pytest_scylla.reports.summary import summarise
from pytest_scylla.reports.table import COLUMNS, Row, read_table, rows_of
from pytest_scylla.reports.writing import write_reports
from pytest_scylla.results import CategoryScore, ItemScore, JudgeVote, RunFailure
from pytest_scylla.store import RunDir, write_json
from tests.support.examples import make_judgment, write_result
from tests.support.experiments import read, snapshot

PROJECTSCYLLA = {
    "runs": "experiment agent_model tier subtest run_number score impl_rate passed grade cost_usd "
    "duration_seconds agent_duration_seconds judge_duration_seconds input_tokens output_tokens "
    "cache_creation_tokens cache_read_tokens total_tokens exit_code api_calls num_turns num_models "
    "delegation_cost_ratio r_prog strategic_drift cfp pr_revert_rate",
    "judges": "experiment agent_model tier subtest run_number judge_model judge_number judge_score "
    "judge_impl_rate judge_passed judge_grade judge_is_valid judge_reasoning",
    "criteria": "experiment agent_model tier subtest run_number judge_model judge_number criterion "
    "criterion_score criterion_achieved criterion_max",
    "subtests": "experiment agent_model tier subtest pass_rate mean_score median_score std_score "
    "mean_impl_rate median_impl_rate std_impl_rate consistency mean_cost total_cost mean_duration "
    "cop grade_S grade_A grade_B grade_C grade_D grade_F modal_grade",
}
"""The columns of its published tables (docs/arxiv/haiku/data, docs/paper-dryrun/data)."""


def vote(number: int, score: float) -> JudgeVote:
    item = ItemScore(achieved=score * 2, max=2)
    rest = ItemScore(achieved="N/A", max="N/A")
    criteria = {
        "works": CategoryScore(achieved=score * 2, max=2, score=score, items={"W1": item}),
        "style": CategoryScore(achieved=0, max=0, score="N/A", items={"S1": rest}),
    }
    return JudgeVote(
        model=f"judge-{number}",
        score=score,
        passed=score >= 0.6,
        grade="A",
        reasoning='says "yes",\nin two lines',
        judge_number=number,
        criteria_scores=criteria,
    )


def write_tree(root: Path, id: str = "toy", agent: str = "model-1") -> Path:
    """Two tiers of six runs, and one run that has no verdict."""
    config = {"experiment_id": id, "models": [agent], "plugin_version": "0", "tiers_to_run": []}
    write_json(root / "config" / "experiment.json", {**config, "tiers_to_run": ["T0", "T1"]})
    for tier, base in (("T0", 0.3), ("T1", 0.75)):
        for number in range(1, 7):
            score = round(base + number / 30, 3)
            votes = [vote(1, score), vote(2, round(score + 0.01, 3))]
            place = root / tier / "00-empty" / f"run_{number:02d}"
            write_result(place, score, judges=votes, cost_usd=number / 100, tokens=number)
    failure = RunFailure(kind="crash", message="it broke", stage="agent", at="now")
    write_json(root / "T1" / "00-empty" / "run_07" / "error.json", failure)
    return root


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "2026-01-01T00-00-00-toy")


def table(results: Path, name: str) -> list[dict[str, str]]:
    with (results / "export" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_begin_with_the_columns_of_projectscylla(results: Path) -> None:
    write_reports(results)
    for name, columns in PROJECTSCYLLA.items():
        head = list(table(results, name)[0])
        assert head[: len(columns.split())] == columns.split()


def test_tables_have_a_line_for_each_run_judge_criterion_and_subtest(results: Path) -> None:
    write_reports(results)
    runs, judges, criteria = (table(results, n) for n in ("runs", "judges", "criteria"))
    assert (len(runs), len(judges), len(criteria)) == (13, 24, 48)
    assert (judges[0]["judge_impl_rate"], judges[0]["judge_passed"]) == ("0.333", "False")
    assert judges[0]["judge_reasoning"] == 'says "yes",\nin two lines'
    assert criteria[1]["criterion_score"] == "", "N/A is no 0"
    first, second = table(results, "subtests")
    report = read(results / "T1" / "00-empty" / "report.json")["summary"]
    assert (first["pass_rate"], second["judged"], second["errors"]) == ("0.0", "6", "1")
    for column, key in (("mean_score", "mean_score"), ("std_score", "std_dev")):
        assert float(second[column]) == report[key]
    assert float(second["cop"]) == report["cost_of_pass"]
    assert float(second["mean_impl_rate"]) == report["implementation_rate"]


def test_a_run_without_a_verdict_has_empty_cells_and_a_reason(results: Path) -> None:
    write_reports(results)
    lost = table(results, "runs")[-1]
    assert (lost["run_number"], lost["error"]) == ("7", "crash")
    for column in ("score", "passed", "cost_usd", "total_tokens", "duration_seconds"):
        assert lost[column] == ""


def test_a_table_read_again_is_the_runs_that_it_was_made_from(results: Path) -> None:
    write_reports(results)
    rows = rows_of(summarise(results))
    assert read_table(results / "export" / "runs.csv") == rows == read_table(results)
    as_json = results / "runs.json"
    as_json.write_text(json.dumps({"runs": [row.model_dump() for row in rows]}))
    assert read_table(as_json) == rows


def test_what_the_agent_left_is_named_as_the_judges_named_it(results: Path) -> None:
    """`agent` of the agent's own stage is its configuration, and says nothing of its work."""
    inputs = {"agent": {"agent": "settings"}, "judge_01": {"agent": "work", "rubric": "r"}}
    write_result(results / "T0" / "00-empty" / "run_01", 0.5, inputs=inputs)
    place = results / "T0" / "00-empty" / "run_02" / "agent"
    place.mkdir()
    (place / "output.txt").write_text("done")
    first, second, third, *_ = rows_of(summarise(results))
    assert first.agent_digest == "work"
    assert second.agent_digest == RunDir(place.parent).execution
    assert third.agent_digest is None


def test_parquet_holds_the_same_tables(results: Path) -> None:
    found = {path.stem: parquet.read_table(path) for path in write_parquet(summarise(results))}
    assert set(found) == set(PROJECTSCYLLA)
    runs = found["runs"].to_pylist()
    assert [Row.model_validate(run) for run in runs] == rows_of(summarise(results))
    assert list(runs[0]) == list(COLUMNS)


def every_json(results: Path) -> list[Any]:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    paths = [*results.rglob("*report.json"), *results.glob("export/*.json")]
    assert len(paths) > 5
    return [json.loads(path.read_text(), parse_constant=refuse) for path in paths]


def test_derived_files_name_their_inputs_and_are_strict_json(results: Path) -> None:
    write_reports(results)
    assert all(len(report["made_from"]) == 16 for report in every_json(results))
    pages = [path.read_text() for path in results.rglob("report.md")]
    assert all("<!-- made from: " in page for page in pages)


def test_current_files_are_left_alone_and_stale_ones_made_anew(results: Path) -> None:
    write_reports(results)
    before = snapshot(results)
    write_reports(results)
    assert snapshot(results) == before
    write_result(results / "T0" / "00-empty" / "run_01", 0.5)
    write_reports(results)
    after = snapshot(results)
    changed = {name for name in before if after[name] != before[name] and before[name][3]}
    assert {Path(name).as_posix() for name in changed} == {
        *(f"export/{n}" for n in ("runs.csv", "judges.csv", "criteria.csv", "subtests.csv")),
        *("export/summary.json", "export/statistics.json", "checkpoint.json"),
        *(f"{n}report.{kind}" for n in ("", "T0/", "T0/00-empty/") for kind in ("json", "md")),
        *("T0/result.json", "T0/best_subtest.json", "report.html"),
        *(f"charts/{n}.svg" for n in ("tiers", "cost-and-score", "criteria", "judges")),
        *(f"T0/00-empty/run_01/{n}" for n in ("report.json", "report.md", "run_result.json")),
    }


# -- statistics.json -----------------------------------------------------------------------------


def lines(found: dict[str, Any], name: str, **wanted: Any) -> list[dict[str, Any]]:
    return [line for line in found[name] if wanted.items() <= line.items()]


def test_statistics_tell_tiers_apart(results: Path) -> None:
    found = statistics_of([summarise(results)])
    (omnibus,) = lines(found, "omnibus_tests", metric="score")
    assert omnibus["is_significant"] is True
    (pair,) = lines(found, "pairwise_comparisons", metric="score")
    assert (pair["tier1"], pair["tier2"], pair["n1"], pair["n2"]) == ("T0", "T1", 6, 6)
    assert pair["p_value"] == pair["p_value_raw"] == pytest.approx(2 / 924)
    (effect,) = lines(found, "effect_sizes", metric="score")
    assert effect["cliffs_delta"] == 1
    (interval,) = lines(found, "intervals", metric="score", tier="T1")
    assert interval["low"] < interval["mean"] < interval["high"]
    (agreement,) = found["judge_agreement"]
    assert 0.9 < agreement["alpha_score"] < 1
    for number, score in ((1, 0.1), (2, 0.9)):
        slot = results / f"T1/00-empty/run_07/judge/judge_{number:02d}"
        write_json(slot / "judgment.json", make_judgment(score))
    summary = summarise(results)
    (agreement,) = statistics_of([summary])["judge_agreement"]
    assert agreement["alpha_score"] == panel_figures(summary).alpha_scores()
    assert agreement["alpha_score"] < 0.9
    assert agreement["n"] == 13
    (several, _) = found["pass_at_k"]
    assert several["pass_at_k"] == {"1": 0.0, "2": 0.0, "3": 0.0, "5": 0.0}
    (described,) = lines(found, "tier_descriptives", tier="T1")
    assert (described["n"], described["pass_rate"]) == (6, 1.0)


def test_the_page_says_how_sure_the_differences_are(results: Path, tmp_path: Path) -> None:
    write_reports(results)
    page = (results / "report.md").read_text()
    assert (
        "Scores of tiers differ (Kruskal-Wallis p 0.0039); apart, corrected for all pairs" in page
    )
    subtest = (results / "T1" / "00-empty" / "report.md").read_text()
    assert "| 5 | 1.000 | 1.000 |" in subtest
    summary = read(results / "T1" / "00-empty" / "report.json")["summary"]
    assert (
        f"Median score {summary['median_score']:.3f}, deviation {summary['std_dev']:.3f}" in subtest
    )
    write_result(tmp_path / "one" / "T0" / "00-empty" / "run_01", 0.5)
    write_reports(tmp_path / "one")
    said = (tmp_path / "one" / "report.md").read_text()
    assert "Whether tiers differ" not in said
    assert "There is no other set-up to compare it with" in said
    assert "deviation –, consistency –, implementation rate –" in said


def test_a_single_run_or_none_gives_reasons_and_no_numbers(tmp_path: Path) -> None:
    root = tmp_path / "one"
    write_result(root / "T0" / "00-empty" / "run_01", 0.5)
    one = statistics_of([summarise(root)])
    tested = ("intervals", "normality_tests", "omnibus_tests", "correlations", "interaction_tests")
    for name in tested:
        assert one[name], name
        assert all(line["reason"] and "p_value" not in line for line in one[name])
    assert one["pairwise_comparisons"] == []
    none = statistics([], {})
    assert [none[name] for name in ("tier_descriptives", "pass_at_k", "intervals")] == [[], [], []]


def test_experiments_are_not_mixed_and_their_interaction_is_tested(tmp_path: Path) -> None:
    first = summarise(write_tree(tmp_path / "a", "first"))
    second = summarise(write_tree(tmp_path / "b", "second", "model-2"))
    found = statistics_of([first, second])
    assert [line["experiment"] for line in found["omnibus_tests"]] == ["first"] * 4 + ["second"] * 4
    assert all(line["n"] == 6 for line in found["tier_descriptives"])
    (effects,) = lines(found, "interaction_tests", factor1="model", metric="score")
    assert effects["effects"]["tier"]["is_significant"] is True
    assert effects["effects"]["model"]["is_significant"] is False


def test_statistics_of_an_earlier_version_are_read_and_made_whole(results: Path) -> None:
    write_reports(results)
    path = results / "export" / "statistics.json"
    whole = read(path)
    write_json(path, {"made_from": whole["made_from"], "left_out": "scipy", "pass_at_k": []})
    write_reports(results, keep=True)
    assert read(path)["left_out"] == "scipy"
    write_reports(results)
    found = read(path)
    assert {**found, "generated_at": ""} == {**whole, "generated_at": ""}
    assert found["intervals"]
    assert found["pairs"]


# -- reading ---------------------------------------------------------------------------------------


def test_the_newest_results_of_each_experiment_are_read_together(tmp_path: Path) -> None:
    write_tree(tmp_path / "2026-01-01T00-00-00-toy")
    write_result(tmp_path / "2026-01-01T00-00-00-toy" / "T0" / "00-empty" / "run_01", 0.0)
    write_tree(tmp_path / "2026-01-02T00-00-00-toy")
    write_tree(tmp_path / "2026-01-01T00-00-00-other", "other")
    write_tree(tmp_path / "2026-01-01T00-00-00-agents" / "a", "agents/a")
    rows = read_table(tmp_path)
    assert len(rows) == 39
    assert all(row.score != 0 for row in rows)
    assert len({row.key for row in rows}) == 39


def problem(path: Path, text: str | None = None) -> str:
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_table(path)
    return str(caught.value)


def test_what_is_no_table_of_runs_is_named_with_a_next_step(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    head = "experiment,tier,subtest,run_number,score\n"
    assert "no results in it" in problem(tmp_path)
    assert "No such file" in problem(tmp_path / "none.csv")
    assert "no runs in it" in problem(path, "")
    assert "run 1.tier: missing" in problem(path, "experiment\ntoy\n")
    assert "run 1.score: " in problem(path, head + "toy,T0,00,1,high\n")
    assert "run 1.score: " in problem(path, head + "toy,T0,00,1,inf\n")
    assert "toy//T0/00/1 is in it twice" in problem(path, head + "toy,T0,00,1,\n" * 2)
    assert "it cannot be read" in problem(tmp_path / "x.json", "{")
    assert "no list of runs" in problem(tmp_path / "x.json", '{"runs": 3}')


def test_cells_of_pandas_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "experiment,agent_model,tier,subtest,run_number,score,passed,total_tokens,new\n"
        "toy,m,T0,00,1,0.5,True,12.0,x\ntoy,m,T0,00,2,nan,,NaN,\n"
    )
    first, second = read_table(path)
    assert (first.subtest, first.passed, first.total_tokens) == ("00", True, 12)
    assert (second.score, second.passed, second.total_tokens) == (None, None, None)


def test_after_a_session_a_subtest_report_that_names_its_runs_is_left_alone(results: Path) -> None:
    write_reports(results)
    folder = results / "T0" / "00-empty"
    report, text = folder / "report.json", (folder / "report.md").read_text()
    whole = read(report)
    write_json(report, {**whole, "mark": 1})
    write_reports(results, afresh=False)
    assert read(report) == {**whole, "mark": 1}
    (folder / "report.md").unlink()
    write_reports(results, afresh=False)
    assert (folder / "report.md").read_text() == text, "what is gone comes back"
    write_json(report, {**whole, "mark": 1})
    write_result(folder / "run_01", 0.9)
    write_reports(results, afresh=False)
    assert read(report)["made_from"] != whole["made_from"], "another run, another report"
    write_json(report, {**read(report), "mark": 1})
    write_reports(results)
    assert "mark" not in read(report), "made anew where that is asked for"
