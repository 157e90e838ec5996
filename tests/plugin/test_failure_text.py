"""The text of a failed verdict is for people, and its last line is a command that works."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.experiments import MODES, Experiment, check, rubric, run_pytest

RUBRIC = rubric(
    check(id="R1"),
    check("echo two lines >&2; printf 'the \\033[31mreason\\033[8m\\n' >&2; exit 7", id="R2"),
    check("exit 1", id="R3", points=2),
)
RUN = "T0/00-empty/run_01"


@MODES
def test_a_failed_verdict_says_what_was_lost_and_where_to_look(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, rubric=RUBRIC)
    result = toy.run(*mode, "--tb=long", "--showlocals")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "score 0.250 (grade D) is below the pass threshold 0.6",
            "  judge 1 (rubric-checks): 0.250 failed: 1 of 3 checks met; not met: R2, R3",
            "  -2 work.R3: exit status 1",
            "  -1 work.R2: exit status 7: the reason",
            "  report: *",
            "  patch: *",
            "  answer: *",
            "  workspace: *",
            f"  again:     pytest {toy.node(RUN)} --lf",
        ],
        consecutive=True,
    )
    said = result.stdout.str()
    assert "\x1b[31m" not in said
    assert not re.search(r"Traceback|pytest_scylla/|require_pass|\.py:\d+", said)


def test_the_paths_in_the_text_are_there(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, rubric=RUBRIC)
    said = toy.run().stdout.str()
    for name in ("report", "patch", "answer", "workspace"):
        found = re.search(rf"^  {name}: +(.+)$", said, re.MULTILINE)
        assert found is not None, name
        assert Path(found[1]).exists()


def test_the_command_in_the_text_executes_the_run_again(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, rubric=RUBRIC, runs=2)
    said = toy.run().stdout.str()
    found = re.search(r"^  again: +pytest (.+)$", said, re.MULTILINE)
    assert found is not None
    run_pytest(pytester, *shlex.split(found[1])).assert_outcomes(failed=1)
    assert toy.executions == {RUN: 2, "T0/00-empty/run_02": 1}


def test_disagreeing_votes_and_an_invalid_slot_are_shown(pytester: pytest.Pytester) -> None:
    opinion = {"id": "Q1", "check": "it is good", "points": 12}
    items = [*RUBRIC["categories"]["work"]["items"], opinion]
    toy = Experiment(pytester, rubric=rubric(*items))
    toy.write("conftest.py", JUDGES)
    judges = [{"adapter": name} for name in ("rubric-checks", "kind", "cool", "broken")]
    toy.configure(judges=judges)
    result = toy.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "score 0.475 (grade C) is below the pass threshold 0.6",
            "  judge 1 (rubric-checks): 0.250 failed, no vote: commands decide in every slot: *",
            "  judge 2 (kind): 0.663 passed: I like it",
            "  judge 3 (cool): 0.288 failed: I like it",
            "  judge 4 (broken): not valid*",
        ]
    )


JUDGES = """
from pytest_scylla.errors import RunError
from pytest_scylla.judges import Grading
from pytest_scylla.results import ItemScore

class Kind:
    model = "kind"
    paid = False
    share = 0.8
    def identity(self):
        return {"adapter": self.model}
    def unready(self):
        return None
    def grade(self, evidence):
        items = evidence.task.rubric.items()
        scores = {i.id: ItemScore(achieved=i.points * self.share, max=i.points) for i in items}
        return Grading(scores, "I like it", "raw answer", self.model)

class Cool(Kind):
    model = "cool"
    share = 0.3

class Broken(Kind):
    model = "broken"
    def grade(self, evidence):
        raise RunError("judge", "no answer came")

def pytest_scylla_judges():
    return {"kind": Kind, "cool": Cool, "broken": Broken}
"""
