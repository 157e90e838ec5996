"""Judges alone: another model, edited rubrics, and what was said before."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.support.experiments import MODES, Experiment, check, once_each, read, rubric, snapshot

ONE = "T0/00-empty/run_01"

ORACLE = """
from pathlib import Path
from pytest_scylla.errors import RunError
from pytest_scylla.judges.rubric_checks import RubricChecks
from pytest_scylla.judges import Grading
from pytest_scylla.results import ItemScore, TokenStats
from pytest_scylla.yamlfile import Strict

HERE = Path(__file__).parent
SCORES = {"strict": 0.0, "mild": 1.0}

class Oracle(Strict):
    model: str
    paid: bool = False

    def identity(self):
        return {"adapter": "oracle", "model": self.model}

    def unready(self):
        return None

    def grade(self, evidence):
        with open(HERE / "asked.log", "a") as log:
            print(self.model, evidence.slot.name, file=log)
        if (HERE / "limit").exists() and evidence.slot.name != "judge_01":
            raise RunError("rate_limit", "the limit is reached")
        items = {
            item.id: ItemScore(achieved=item.points * SCORES[self.model], max=item.points)
            for item in evidence.task.rubric.items()
        }
        return Grading(items, self.model, "said", self.model, TokenStats(), 0.25)

def pytest_scylla_judges():
    return {"oracle": Oracle}
"""


ASKED = {"id": "R1", "check": "it is good", "points": 9}
"""An item that no command decides."""


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """One run, judged by a mild model and by checks."""
    toy = Experiment(pytester, judges=judges("mild"), rubric=rubric(ASKED, check(id="R2")))
    toy.write("conftest.py", ORACLE)
    return toy


def judges(model: str) -> list[dict[str, str]]:
    return [{"adapter": "oracle", "model": model}, {"adapter": "rubric-checks"}]


def asked(toy: Experiment) -> Counter[str]:
    """Model and slot -> how often it was asked."""
    return Counter((toy.directory / "asked.log").read_text().splitlines())


def models(toy: Experiment) -> list[str]:
    """The models of the verdict's votes."""
    return [vote["model"] for vote in read(toy.path(ONE) / "run_result.json")["judges"]]


@MODES
def test_another_model_judges_and_the_first_comes_back_at_no_cost(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.run(*mode).assert_outcomes(passed=1)
    checks = toy.path(ONE) / "judge/judge_02/judgment.json"
    before = checks.stat().st_mtime_ns
    other = ("--scylla-judge-model", "strict", *mode)
    toy.run("--collect-only", *other).stdout.fnmatch_lines("toy T0 *0*0*0*0*0*1")
    toy.run(*other).assert_outcomes(failed=1)
    assert models(toy) == ["strict", "rubric-checks"]
    toy.run(*other).assert_outcomes(failed=1)
    assert asked(toy) == once_each("mild judge_01", "strict judge_01")
    explained = toy.run("--scylla-explain", *mode)
    explained.stdout.fnmatch_lines("*judge_01 *again *judge; an earlier judgment*at no cost")
    toy.run(*mode).assert_outcomes(passed=1)
    assert models(toy) == ["mild", "rubric-checks"]
    toy.configure(judges=judges("strict"))
    toy.run(*mode).assert_outcomes(failed=1)
    assert asked(toy) == once_each("mild judge_01", "strict judge_01"), "nobody is asked twice"
    kept = toy.path(ONE).glob("judge/attempts/*/judgment.json")
    assert [read(path)["model"] for path in kept] == ["mild"], "and nothing is lost"
    assert checks.stat().st_mtime_ns == before
    assert toy.executions == once_each(ONE)


def test_a_model_for_judges_that_take_none_is_refused(toy: Experiment) -> None:
    toy.configure(judges=[{"adapter": "rubric-checks"}])
    result = toy.run("--scylla-judge-model", "strict")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*--scylla-judge-model strict: no judge * takes a model*")
    assert not toy.executions


def test_asked_for_again_is_asked_again(toy: Experiment) -> None:
    toy.run()
    toy.run("--scylla-judge-model", "strict")
    toy.run("--scylla-judge-model", "mild", "--scylla-from", "judge")
    assert asked(toy) == {"mild judge_01": 2, "strict judge_01": 1}
    slots = {path.name for path in toy.path(ONE).glob("judge/attempts/judge_01*")}
    assert slots == {"judge_01_attempt_01", "judge_01_attempt_02"}


def test_a_rubric_that_is_put_back_costs_nothing(toy: Experiment) -> None:
    toy.run().assert_outcomes(passed=1)
    path = toy.directory / "task/expected/rubric.yaml"
    text = path.read_text()
    for number, points in enumerate((9, 8), 2):
        harder = rubric(ASKED, check("false", id="R2", points=points))
        toy.write("task/expected/rubric.yaml", harder)
        toy.run().assert_outcomes(failed=1)
        assert asked(toy) == {"mild judge_01": number}, "said of another rubric, it says nothing"
    path.write_text(text)
    toy.run().assert_outcomes(passed=1)
    assert asked(toy) == {"mild judge_01": 3}
    assert toy.executions == once_each(ONE)


def test_only_the_judges_that_hit_a_limit_are_asked_again(toy: Experiment) -> None:
    three = [{"adapter": "oracle", "model": "mild"}] * 3
    toy.configure(judges=three, runs=2)
    toy.write("limit", "")
    toy.run().assert_outcomes(errors=2)
    counted = toy.run("--collect-only")
    counted.stdout.fnmatch_lines("judge slots: 2 complete, 4 failed")
    (toy.directory / "limit").unlink()
    first = slot_times(toy)
    toy.run().assert_outcomes(passed=2)
    assert slot_times(toy) == first
    assert asked(toy) == {"mild judge_01": 2, "mild judge_02": 4, "mild judge_03": 4}
    assert set(toy.executions.values()) == {1}
    toy.run("--collect-only").stdout.fnmatch_lines("judge slots: 6 complete")


def slot_times(toy: Experiment) -> dict[Path, int]:
    """When the first slot of every run was judged."""
    found = toy.results.glob("T0/*/run_*/judge/judge_01/judgment.json")
    return {path: path.stat().st_mtime_ns for path in found}


PROGRAM = """
import json, pathlib, sys
here, asked = pathlib.Path(sys.argv[1]), sys.stdin.read()
number = len(list(here.glob("prompt_*"))) + 1
(here / f"prompt_{number}").write_text(asked)
if number in (2, 3):
    sys.exit("the limit is reached")
item = {"achieved": 1, "reason": ""}
print(json.dumps({"items": {"R1": item}, "reasoning": "fine", "score": 1, "passed": True}))
"""


def test_judges_go_on_when_workspaces_bases_and_sources_are_gone(pytester: pytest.Pytester) -> None:
    asking = {"id": "R1", "check": "it is good", "points": 1}
    toy = Experiment(
        pytester,
        rubric=rubric(asking, check("test -f answer.txt", id="R2")),
        judges=[
            *[{"adapter": "command", "command": WORDS, "paid": False, "model": n} for n in "ab"],
            {"adapter": "rubric-checks"},
        ],
    )
    toy.write("judge.py", PROGRAM)
    toy.run().assert_outcomes(passed=1)
    first = snapshot(toy.path(ONE) / "judge/judge_01")
    for lost in ("workspace", "workspace.git"):
        shutil.rmtree(toy.path(ONE) / lost)
    shutil.rmtree(toy.pytester.path / "results/.sources")
    shutil.rmtree(toy.directory / "task/files")
    toy.run("--collect-only").stdout.fnmatch_lines("judge slots: 2 complete, 1 failed")
    toy.run("--scylla-judge-status", "failed").assert_outcomes(passed=1)
    prompts = [path.read_text() for path in sorted(toy.directory.glob("prompt_*"))]
    assert len(prompts) == 4, "a failed answer is asked for twice"
    assert prompts[3] == prompts[1], "what was saved is what is asked"
    assert "answer.txt" in prompts[3]
    assert snapshot(toy.path(ONE) / "judge/judge_01") == first
    toy.run("--scylla-from", "judge").assert_outcomes(passed=1)
    checks = read(toy.path(ONE) / "judge/judge_03/judgment.json")
    assert (checks["is_valid"], checks["score"]) == (True, 1.0), "what the commands said is kept"
    (toy.path(ONE) / "agent/changes.patch").unlink()
    edited = rubric({**asking, "check": "it is better"}, check(id="R2"))
    toy.write("task/expected/rubric.yaml", edited)
    toy.run("-rE").assert_outcomes(errors=1)
    assert read(toy.path(ONE) / "error.json")["kind"] == "source", "no check is made up"
    assert len(list(toy.directory.glob("prompt_*"))) == 6
    assert toy.executions == once_each(ONE)


WORDS = ["{python}", "{experiment}/judge.py", "{experiment}"]


def test_what_somebody_has_damaged_is_mended_from_the_workspace_or_not_judged(
    toy: Experiment,
) -> None:
    toy.configure(runs=2)
    toy.run()
    runs = [toy.path(ONE), toy.path("T0/00-empty/run_02")]
    patch = (runs[0] / "agent/changes.patch").read_bytes()
    for run in runs:
        (run / "run_result.json").unlink()
        (run / "agent/changes.patch").write_bytes(b"")
    shutil.rmtree(runs[1] / "workspace")
    result = toy.run("--scylla-explain", "-q")
    assert sum("judge_01   kept" in line for line in result.outlines) == 2
    result = toy.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*run_02/agent: output.txt or changes.patch is not what the agent*")
    assert (runs[0] / "agent/changes.patch").read_bytes() == patch
    assert toy.verdicts() == {ONE: 1.0}
    assert read(runs[1] / "error.json")["kind"] == "damaged"
    assert (toy.directory / "asked.log").read_text().count("mild") == 2
    assert sum(toy.executions.values()) == 2
