"""Reports at four levels: there, linked both ways, and of one mind."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    WORKS,
    Experiment,
    claude_md,
    once_each,
    read,
)

AGENT = f"""
case $run in
  *crash/run_02) exit 1 ;;
  *fail*|*crash*) ;;
  *) {WORKS} ;;
esac
printf '{{"result": "ok", "total_cost_usd": 0.25, "usage": {{"output_tokens": 7}}}}\\n'
"""
TIERS: dict[str, Any] = {
    "T0": {"00-pass": claude_md("B01"), "01-fail": claude_md("B02")},
    "T1": {"00-crash": {}},
    "T5": {"00-heir": {"inherit_best_from": ["T0"]}},
}
OUTCOMES = {"passed": 4, "failed": 3, "errors": 1}
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    return Experiment(pytester, agent=AGENT, tiers=TIERS, runs=2)


def levels(toy: Experiment) -> list[Path]:
    """The directories of the experiment, its tiers, subtests and runs."""
    found = [toy.results, *toy.results.glob("T*"), *toy.results.glob("T*/*/")]
    return [*(path for path in found if path.is_dir()), *toy.results.glob("T*/*/run_*")]


def children(report: dict[str, Any]) -> list[str]:
    return [child["report"] for child in report.get("children", [])]


@MODES
def test_every_level_has_reports_that_lead_up_and_down(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.run(*mode).assert_outcomes(**OUTCOMES)
    assert len(levels(toy)) == 1 + 3 + 4 + 8
    for place in levels(toy):
        report = read(place / "report.json")
        for child in children(report):
            below = read(place / child)
            assert (place / child).parent.joinpath(below["parent"]).resolve() == (
                place / "report.json"
            )
        if place != toy.results:
            above = (place / report["parent"]).resolve()
            back = {(above.parent / child).resolve() for child in children(read(above))}
            assert place / "report.json" in back
        if report.get("best"):
            assert (place / report["best"]["report"]).exists()


def test_every_link_in_a_page_leads_somewhere(toy: Experiment) -> None:
    toy.run()
    for place in levels(toy):
        links = LINK.findall((place / "report.md").read_text())
        assert links or place == toy.results
        for link in links:
            assert not os.path.isabs(link)
            assert (place / link).exists(), f"{place}: {link}"
        if place != toy.results:
            assert "../report.md" in links


def test_results_can_be_moved_because_no_report_names_a_place(toy: Experiment) -> None:
    toy.run()
    for place in levels(toy):
        for name in ("report.json", "report.md"):
            assert str(toy.pytester.path) not in (place / name).read_text()


def table(lines: list[str]) -> dict[str, list[str]]:
    """The rows of a table of tiers: name -> cells, without links and lines."""
    rows = [[cell.strip() for cell in re.split(r"\||  +", line.strip("| "))] for line in lines]
    named = {LINK.sub("", row[0]).strip("["): row[1:] for row in rows if row}
    return {name: cells for name, cells in named.items() if re.fullmatch(r"T\d|all", name)}


@MODES
def test_terminal_json_and_page_say_the_same(toy: Experiment, mode: tuple[str, ...]) -> None:
    result = toy.run(*mode, "-q")
    start = next(n for n, line in enumerate(result.outlines) if "scylla: toy" in line)
    terminal = table(result.outlines[start:])
    page = table((toy.results / "report.md").read_text().splitlines())
    figures = {tier: terminal[tier][:8] for tier in ("T0", "T1", "T5")}
    assert {tier: page[tier][:8] for tier in figures} == figures
    for tier, cells in figures.items():
        assert cells == shown(read(toy.path(f"{tier}/report.json"))["summary"])
    assert terminal["all"][:8] == shown(read(toy.path("report.json"))["summary"])
    assert figures["T0"][:4] == ["4", "2", "2", "0"]
    assert figures["T1"][:4] == ["2", "0", "1", "1"]
    assert figures["T1"][6:] == ["$0.2500", "–"]


def shown(summary: dict[str, Any]) -> list[str]:
    """A summary's figures as a table shows them."""
    low, high = summary["pass_rate_interval"]
    cop = summary["cost_of_pass"]
    return [
        *(str(summary[key]) for key in ("total_runs", "passed", "failed", "errors")),
        f"{summary['pass_rate']:.0%} [{low:.0%}–{high:.0%}]",
        f"{summary['mean_score']:.3f}",
        f"${summary['total_cost']:.4f}",
        "–" if cop is None else f"${cop:.4f}",
    ]


def test_figures_of_a_level_are_those_of_the_runs_below(toy: Experiment) -> None:
    toy.run()
    for place in toy.results.glob("T*"):
        runs = [read(path) for path in place.glob("*/run_*/report.json")]
        scores = [run["score"] for run in runs if run["score"] is not None]
        summary = read(place / "report.json")["summary"]
        assert summary["total_runs"] == len(runs)
        assert summary["judged"] == len(scores)
        assert summary["passed"] == sum(run["passed"] is True for run in runs)
        assert summary["mean_score"] == pytest.approx(sum(scores) / len(scores))


def test_the_checkpoint_says_what_is_completed(toy: Experiment) -> None:
    toy.run()
    checkpoint = read(toy.path("checkpoint.json"))
    assert checkpoint["completed_runs"] == {
        "T0": {
            "00-pass": {"1": "passed", "2": "passed"},
            "01-fail": {"1": "failed", "2": "failed"},
        },
        "T1": {"00-crash": {"1": "failed"}},
        "T5": {"00-heir": {"1": "passed", "2": "passed"}},
    }
    assert checkpoint["experiment_id"] == "toy"
    assert all(checkpoint[key] for key in ("version", "experiment_dir", "config_hash", "status"))
    assert checkpoint["started_at"] <= checkpoint["last_updated_at"]


def test_a_lost_checkpoint_is_derived_again(toy: Experiment) -> None:
    toy.run()
    path = toy.path("checkpoint.json")
    before = read(path)["completed_runs"]
    path.write_text(json.dumps({"completed_runs": {"T0": {"00-pass": {"1": "failed"}}}}))
    toy.run("-k", "T0")
    assert read(path)["completed_runs"] == before


@MODES
def test_rerunning_one_run_still_reports_all(toy: Experiment, mode: tuple[str, ...]) -> None:
    toy.run(*mode)
    before = read(toy.path("report.json"))["summary"]
    args = ("--deselect", toy.node("T0"), "--deselect", toy.node("T5"), "-k", "run_02")
    result = toy.run(*mode, *args)
    result.assert_outcomes(errors=1)
    result.stdout.re_match_lines([r"all +8 +4 +3 +1 .*"])
    after = read(toy.path("report.json"))["summary"]
    assert (after["total_runs"], after["mean_score"]) == (8, before["mean_score"])
    assert toy.executions == once_each(*toy.executions, "T1/00-crash/run_02")


def test_copies_of_what_is_the_same_for_all_runs_are_at_the_root(toy: Experiment) -> None:
    toy.run()
    for name, source in (("prompt.md", "prompt.md"), ("rubric.yaml", "expected/rubric.yaml")):
        assert toy.path(name).read_text() == (toy.directory / "task" / source).read_text()
    for name in ("criteria.md", "judge_prompt.md", "config/experiment.json"):
        assert toy.path(name).exists()


def test_the_closing_table_is_short_and_without_colour_where_asked(toy: Experiment) -> None:
    result = toy.run("-q", env={"PY_COLORS": "", "FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b[" not in result.stdout.str()
    start = next(n for n, line in enumerate(result.outlines) if "scylla: toy" in line)
    end = next(n for n, line in enumerate(result.outlines) if line.startswith("report: "))
    assert end - start <= 15
