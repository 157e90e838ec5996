"""Several judges: scores from items, rules, quorum, sequential panels, what commands decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    Experiment,
    check,
    once_each,
    read,
    rubric,
    run_pytest,
    snapshot,
)

JUDGES = '''
import json
from pathlib import Path

from pydantic import BaseModel

from pytest_scylla.judges import Grading
from pytest_scylla.results import ItemScore

HERE = Path(__file__).parent


class Told(BaseModel, frozen=True, extra="forbid"):
    """Says what told.json tells it; appends a line to NAME.log for every call."""

    name: str
    model: str = "told"
    paid: bool = False
    executed_too: bool = False

    def identity(self):
        return {"name": self.name, "model": self.model}

    def unready(self):
        return None

    def grade(self, evidence):
        with open(HERE / "calls.log", "a") as log:
            log.write(f"{self.name} {evidence.slot.parent.parent.name}\\n")
        told = json.loads((HERE / "told.json").read_text())[self.name]
        if isinstance(told, str):
            raise ValueError(told)
        said = ItemScore(achieved="N/A", max="N/A")
        items = {
            item.id: ItemScore(achieved=told["item"], max=item.points, reason="told")
            if item.run is None or self.executed_too
            else said
            for item in evidence.task.rubric.items()
        }
        return Grading(
            items,
            reasoning=f"{self.name} was told",
            response="told",
            model=self.model,
            cost_usd=told.get("cost", 0.0),
            own_score=told.get("score"),
            passed=told.get("passed"),
        )


def pytest_scylla_judges():
    return {"told": Told}
'''

QUALITY = {"id": "Q1", "check": "it is good", "points": 1}


class Panel(Experiment):
    """An experiment whose judges A, B, C say what a file tells them."""

    def __init__(self, pytester: pytest.Pytester, told: dict[str, Any], **settings: Any) -> None:
        judges = [{"adapter": "told", "name": name} for name in told]
        super().__init__(
            pytester, **{"judges": judges, "rubric": rubric(QUALITY), "runs": 1, **settings}
        )
        self.write("conftest.py", JUDGES)
        self.tell(told)

    def tell(self, told: dict[str, Any]) -> None:
        said = {n: {"item": v} if isinstance(v, float) else v for n, v in told.items()}
        self.write("told.json", json.dumps(said))

    @property
    def calls(self) -> list[str]:
        log = self.directory / "calls.log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    def result(self, run: str = "T0/00-empty/run_01") -> Any:
        return read(self.path(run) / "run_result.json")

    def slot(self, number: int, run: str = "T0/00-empty/run_01") -> Path:
        return self.path(run) / "judge" / f"judge_{number:02d}"


def test_with_one_judge_of_three_that_always_fails_two_give_the_verdict(
    pytester: pytest.Pytester,
) -> None:
    panel = Panel(pytester, {"A": 0.9, "B": 0.0, "C": 0.8})
    panel.tell({"A": 0.9, "C": 0.8})  # B's adapter has a bug then
    assert panel.run(*IN_PROCESS).ret == 0
    result = panel.result()
    assert result["judge_score"] == pytest.approx(0.85)
    assert [vote["score"] for vote in result["judges"]] == [0.9, None, 0.8]
    assert result["judges"][1]["error"].startswith("KeyError: 'B'\n  next: read the traceback in ")
    assert "in grade\n" in (panel.slot(2) / "error.log").read_text()
    report = panel.path("report.md").read_text()
    assert "| 2 | told | 1 | 0 | 0 | – | $0.0000 | $0.0000 |" in report
    assert "| 1 and 3 | 1 | 0.100 | 100% |" in report


def test_with_two_judges_of_three_that_fail_there_is_no_score_anywhere(
    pytester: pytest.Pytester,
) -> None:
    panel = Panel(pytester, {"A": 0.9, "B": {"item": 0.9, "score": 7.0}, "C": "usage limit"})
    found = panel.run(*IN_PROCESS, "--junitxml=junit.xml", "-rE")
    found.assert_outcomes(errors=1)
    out_of_range = "*judge 2: the judge's own total must be from 0 to 1, not 7.0; judge 3: usage *"
    found.stdout.fnmatch_lines([out_of_range])
    run = panel.path("T0/00-empty/run_01")
    assert not (run / "run_result.json").exists()
    assert not (run / "judge" / "result.json").exists()
    assert read(run / "report.json")["score"] is None
    assert read(run / "report.json")["error"]["kind"] == "no_quorum"
    for place in (".", "T0", "T0/00-empty"):
        summary = read(panel.path(place) / "report.json")["summary"]
        assert (summary["judged"], summary["errors"]) == (0, 1)
        figures = [summary[name] for name in ("mean_score", "median_score", "pass_rate")]
        assert figures == [None, None, None]
    tier = read(panel.path("T0/result.json"))
    assert tier["best_subtest_score"] is None
    assert read(panel.path("T0/best_subtest.json"))["votes"] == []
    assert read(panel.path("checkpoint.json"))["completed_runs"]["T0"]["00-empty"] == {
        "1": "agent_complete"
    }
    assert "scylla_score" not in (pytester.path / "junit.xml").read_text()
    panel.tell({"A": 0.1, "B": 0.7, "C": "usage limit"})
    assert panel.run(*IN_PROCESS).ret == 0
    assert panel.result()["judge_score"] == pytest.approx(0.8)
    assert panel.calls == ["A", "B", "C", "B", "C"]


def test_the_rule_of_a_panel_is_changed_without_judging_again(pytester: pytest.Pytester) -> None:
    panel = Panel(pytester, {"A": 1.0, "B": 0.7, "C": 0.4}, consensus="min")
    found = {}
    for rule in ("min", "median", "majority", "mean"):
        panel.configure(consensus=rule)
        panel.run(*IN_PROCESS)
        result = panel.result()
        found[rule] = (round(result["judge_score"], 6), result["judge_passed"])
        assert read(panel.path("T0/00-empty/run_01/report.json"))["score"] == result["judge_score"]
    assert found == {
        "min": (0.4, False),
        "median": (0.7, True),
        "majority": (0.7, True),
        "mean": (0.7, True),
    }
    assert panel.calls == ["A", "B", "C"]
    assert panel.executions == once_each("T0/00-empty/run_01")


def test_a_judges_own_total_and_vote_decide_nothing_and_are_shown(
    pytester: pytest.Pytester,
) -> None:
    told = {"A": {"item": 0.5, "score": 0.9, "passed": True}, "B": {"item": 0.5, "passed": False}}
    panel = Panel(pytester, told)
    found = panel.run(*IN_PROCESS)
    found.assert_outcomes(failed=1)
    shown = "*judge 1 (told): 0.500 failed (its own total 0.900; its own vote: passed): A was told"
    found.stdout.fnmatch_lines([shown])
    votes = panel.result()["judges"]
    assert [v["own_score"] for v in votes] == [0.9, None]
    assert [v["own_passed"] for v in votes] == [True, False]
    assert [v["passed"] for v in votes] == [False, False]
    text = panel.path("T0/00-empty/run_01/report.md").read_text()
    assert "| 1 | told | 0.500 | failed | C | 0.900 | passed |" in text
    slots = read(panel.path("report.json"))["judges"]["slots"]
    assert slots[0]["own_totals"] == {
        "given": 1,
        "off": 1,
        "mean_difference": 0.4,
        "max_difference": 0.4,
    }
    assert slots[0]["own_votes"] == {"given": 1, "against_threshold": 1}
    assert slots[1]["own_totals"]["given"] == 0
    panel.configure(scores="own")
    assert panel.run(*IN_PROCESS).ret == 0
    assert panel.result()["judge_score"] == pytest.approx(0.7)
    assert panel.calls == ["A", "B"]


# -- what commands decide --------------------------------------------------------------------------


def test_what_a_command_decides_is_executed_once_and_wins_in_every_slot(
    pytester: pytest.Pytester,
) -> None:
    counter = pytester.path / "checks.log"
    counted = f"test ! -f answer.txt || echo x >> {counter}"  # not on the untouched task
    items = [check(f"{counted}; false"), check("true", id="R2"), QUALITY]
    panel = Panel(
        pytester,
        {"A": 1.0},
        rubric=rubric(*items),
        judges=[
            {"adapter": "told", "name": "A", "executed_too": True},
            {"adapter": "rubric-checks"},
        ],
        quorum=1,
    )
    panel.run(*IN_PROCESS)
    run = panel.path("T0/00-empty/run_01")
    slots = [read(panel.slot(n) / "judgment.json") for n in (1, 2)]
    graded = [slot["criteria_scores"]["work"]["items"] for slot in slots]
    for items_of in graded:
        assert (items_of["R1"]["achieved"], items_of["R2"]["achieved"]) == (0.0, 1.0)
    assert graded[0]["R1"]["reason"] == "exit status 1"
    assert graded[0]["Q1"]["achieved"] == 1.0
    assert graded[1]["Q1"]["achieved"] == "N/A"
    assert [slot["score"] for slot in slots] == [pytest.approx(2 / 3), 0.5]
    assert counter.read_text() == "x\n"
    stored = snapshot(run / "judge" / "executed.json")
    panel.tell({"A": 0.0})
    panel.run(*IN_PROCESS, "--scylla-judge-status", "complete")
    assert snapshot(run / "judge" / "executed.json") == stored
    assert panel.calls == ["A", "A"]
    assert read(panel.slot(1) / "judgment.json")["score"] == pytest.approx(1 / 3)
    panel.run(*IN_PROCESS, "--scylla-from", "judge")
    assert counter.read_text() == "x\nx\n"
    panel.write("task/expected/rubric.yaml", rubric(*items, threshold=0.1))
    panel.run(*IN_PROCESS)
    assert counter.read_text() == "x\nx\nx\n"
    assert panel.executions == once_each("T0/00-empty/run_01")


MIXED = {
    "categories": {
        "works": {"weight": 0.7, "items": [check("true")]},
        "quality": {"weight": 0.3, "items": [{**QUALITY, "points": 1}]},
    },
    "grading": {"pass_threshold": 0.8},
}


def test_beside_a_judge_with_a_model_rubric_checks_has_no_vote(pytester: pytest.Pytester) -> None:
    """Weights are the rubric's. Verdicts of before are made again from what is stored, for free."""
    judges = [{"adapter": "rubric-checks"}, *({"adapter": "told", "name": n} for n in "AB")]
    panel = Panel(pytester, {"A": 0.25}, judges=judges, rubric=MIXED)
    collected = panel.run(*IN_PROCESS, "--collect-only")
    collected.stdout.fnmatch_lines(
        [
            "scylla: toy: decided by commands, for all judges: R1 0.700",
            "scylla: toy: graded by judge 2 (told), 3 (told): Q1 0.300",
            "scylla: toy: without a vote of its own: judge 1 (rubric-checks)",
        ]
    )
    found = panel.run(*IN_PROCESS)  # B fails: two of three slots are valid
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*judge 1 (rubric-checks): 1.000 passed, no vote: *"])
    assert panel.result()["judge_score"] == pytest.approx(0.775)
    report = panel.path("T0/00-empty/run_01/report.md").read_text()
    assert "| quality | Q1 | 0.25 | 1.0 | 0.300 | told |" in report
    assert panel.calls == ["A", "B"]

    before = panel.path("T0/00-empty/run_01/run_result.json"), panel.path("T0/00-empty/run_01")
    result = read(before[0])
    del result["inputs"]["verdict"]["commands"]
    result |= {"judge_score": 0.8875, "judge_passed": True}
    before[0].write_text(json.dumps(result))
    panel.write("conftest.py", JUDGES.replace("paid: bool = False", "paid: bool = True"))
    panel.configure(prices={"told": {"input": 1, "output": 1}})
    for told in ({"A": "gone"}, {"A": 1.0, "B": 1.0}):
        panel.tell(told)
        run_pytest(pytester, *IN_PROCESS)  # no experiment is named: nothing paid may start
        assert panel.result()["judge_score"] == pytest.approx(0.775)
    assert panel.calls == ["A", "B"]
    panel.run(*IN_PROCESS, "--scylla-judge-status", "failed")
    assert panel.calls == ["A", "B", "B"]
    assert panel.result()["judge_score"] == pytest.approx(0.8875)
    assert panel.executions == once_each("T0/00-empty/run_01")


def test_commands_alone_are_no_verdict_where_a_model_is_to_grade_the_rest(
    pytester: pytest.Pytester,
) -> None:
    judges = [{"adapter": "rubric-checks"}, {"adapter": "told", "name": "A"}]
    panel = Panel(pytester, {"A": "gone"}, judges=judges, rubric=MIXED, quorum=1)
    found = panel.run(*IN_PROCESS)
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*1 are needed (rubric-checks alone is not enough)*judge 2: gone*"])


def test_a_rubric_that_cannot_be_graded_here_is_an_error_and_starts_no_agent(
    pytester: pytest.Pytester,
) -> None:
    model = {"adapter": "command", "command": ["cat"], "paid": False}
    toy = Experiment(pytester, judges=[model], rubric=rubric(check("no-such-tool .")))
    nothing = toy.run(*IN_PROCESS)
    nothing.assert_outcomes(errors=1)
    nothing.stdout.fnmatch_lines(["*0 of 1 judges can grade anything, 1 are needed: judge 1: *"])
    assert not toy.executions
    toy.configure(judges=[{"adapter": "rubric-checks"}])
    missing = toy.run(*IN_PROCESS)
    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(["*rubric.yaml: item R1: no-such-tool, which its `run:` needs, *"])
    assert toy.verdicts() == {}
    toy.write("task/expected/rubric.yaml", rubric(check("./to-be-made.sh")))
    toy.run(*IN_PROCESS).assert_outcomes(failed=1)
    assert toy.executions == once_each("T0/00-empty/run_01")


# -- sequential ------------------------------------------------------------------------------------


def test_a_sequential_panel_asks_a_third_judge_only_where_two_do_not_agree(
    pytester: pytest.Pytester,
) -> None:
    told: dict[str, Any] = {"A": {"item": 0.9, "cost": 0.25}, "B": 0.8, "C": 0.1}
    panel = Panel(pytester, told, sequential=True)
    assert panel.run(*IN_PROCESS).ret == 0
    assert panel.calls == ["A", "B"]
    result = panel.result()
    assert result["judge_score"] == pytest.approx(0.85)
    assert [vote["asked"] for vote in result["judges"]] == [True, True, False]
    run = panel.path("T0/00-empty/run_01")
    assert "not asked" in (run / "report.md").read_text()
    table = panel.run("--collect-only", "--scylla-status", "completed")
    table.stdout.fnmatch_lines(["*judge slots: 2 complete, 1 not_asked"])
    saved = read(panel.path("report.json"))["judges"]["saved"]
    assert saved == {"calls": 1, "usd": None}
    before = snapshot(run)
    assert panel.run(*IN_PROCESS).ret == 0
    assert snapshot(run) == before

    kept = snapshot(panel.slot(1))
    panel.tell({"A": 0.9, "B": 0.6, "C": {"item": 0.0, "cost": 0.5}})
    panel.configure(
        judges=[
            {"adapter": "told", "name": "A"},
            {"adapter": "told", "name": "B", "model": "new"},
            {"adapter": "told", "name": "C"},
        ]
    )
    panel.run(*IN_PROCESS)
    assert panel.calls == ["A", "B", "B", "C"]
    assert panel.result()["judge_score"] == pytest.approx(0.5)
    assert snapshot(panel.slot(1)) == kept
    assert panel.executions == once_each("T0/00-empty/run_01")


def test_a_slot_that_was_not_asked_can_be_asked_for(pytester: pytest.Pytester) -> None:
    panel = Panel(pytester, {"A": 0.9, "B": 0.9, "C": 0.3}, sequential={"margin": 0.5})
    panel.run(*IN_PROCESS)
    panel.run(*IN_PROCESS, "--scylla-judge-status", "missing")
    panel.run(*IN_PROCESS, "--scylla-judge-status", "failed")
    assert panel.calls == ["A", "B"]
    panel.run(*IN_PROCESS, "--scylla-judge-status", "not_asked")
    assert panel.calls == ["A", "B", "C"]
    assert panel.result()["judge_score"] == pytest.approx(0.7)
    panel.configure(sequential=False)
    panel.run(*IN_PROCESS)
    assert panel.calls == ["A", "B", "C"]


def test_a_third_judge_stands_in_for_one_of_the_first_two_that_fails(
    pytester: pytest.Pytester,
) -> None:
    panel = Panel(pytester, {"A": "cut off", "B": 0.9, "C": 0.8}, sequential=True)
    assert panel.run(*IN_PROCESS).ret == 0
    assert panel.calls == ["A", "B", "C"]
    assert panel.result()["judge_score"] == pytest.approx(0.85)


# -- judges alone ----------------------------------------------------------------------------------

FOUR: dict[str, Any] = {"T0": {"00-empty": {}, "01-other": {"agent_teams": True}}}


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False], ids=["workspace there", "workspace gone"])
def test_slots_of_several_runs_are_judged_again_at_once_and_no_agent_runs(
    pytester: pytest.Pytester, there: bool
) -> None:
    retention = "all" if there else "none"
    panel = Panel(
        pytester,
        {"A": 0.9, "B": "usage limit", "C": 0.7},
        runs=2,
        tiers=FOUR,
        workspace={"retention": retention},
        rubric=rubric(check(), QUALITY),
    )
    four = ("-p", "xdist", "-n", "4")
    panel.run(*four).assert_outcomes(passed=4)
    runs = [f"T0/{subtest}/run_0{n}" for subtest in FOUR["T0"] for n in (1, 2)]
    executed = panel.executions
    assert executed == once_each(*runs)
    assert (panel.path(runs[0]) / "workspace").exists() == there
    assert [round(score, 9) for score in panel.verdicts().values()] == [0.9] * 4

    kept = {run: [snapshot(panel.slot(n, run)) for n in (1, 3)] for run in runs}
    agents = {run: snapshot(panel.path(run) / "agent") for run in runs}
    panel.tell({"A": 0.0, "B": 0.5, "C": 0.0})
    panel.run(*four, "--scylla-judge-status", "failed").assert_outcomes(passed=4)
    assert [round(score, 9) for score in panel.verdicts().values()] == [0.85] * 4
    assert kept == {run: [snapshot(panel.slot(n, run)) for n in (1, 3)] for run in runs}
    assert sorted(panel.calls) == ["A"] * 4 + ["B"] * 8 + ["C"] * 4
    mean = read(panel.path("report.json"))["summary"]["mean_score"]
    assert mean == pytest.approx(0.85)

    panel.write("task/expected/rubric.yaml", rubric(check(), {**QUALITY, "points": 0.5}))
    panel.tell({"A": 0.5, "B": 0.5, "C": 0.5})
    panel.run(*four).assert_outcomes(passed=4)
    assert set(panel.verdicts().values()) == {1.0}
    judges = read(panel.path("report.json"))["judges"]["slots"]
    assert [slot["mean_score"] for slot in judges] == [1.0, 1.0, 1.0]
    assert panel.executions == executed
    assert agents == {run: snapshot(panel.path(run) / "agent") for run in runs}
