"""The pipeline as users see it: before any agent, after each, compared, and reported."""

from __future__ import annotations

import pytest

from tests.support.experiments import Experiment, check, claude_md, read, rubric

RUN = "T0/00-empty/run_01"

HOOK = """
from pytest_scylla.experiment import StepConfig

def pytest_scylla_pipeline():
    return {"text": [StepConfig(name="test", run="grep -q hello hello.txt"),
                     StepConfig(name="size", run="test -f answer.txt"),
                     StepConfig(name="lint", run="no-such-linter .")]}
"""


def test_a_language_has_its_pipeline_from_a_hook_and_its_findings_are_reported(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(
        pytester, pipeline="text", agent="test -f ../../../../pipeline_baseline.json || exit 1\n"
        "echo bye > hello.txt; echo x > answer.txt; git rm -q --cached hello.txt; false || true",
        rubric={"requirements": [{"id": "R1", "description": "no", "run": "false"}]},
    )  # fmt: skip
    toy.write("conftest.py", HOOK)
    result = toy.run("-p", "no:xdist")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["  pipeline regressions: test", "  pipeline improvements: size"])
    found = read(toy.path(RUN) / "pipeline.json")
    assert [step["status"] for step in found["steps"]] == ["failed", "passed", "not_applicable"]
    assert found["regressions"] == ["test"]
    before = read(toy.results / "pipeline_baseline.json")
    assert [step["status"] for step in before["steps"]] == ["passed", "failed", "not_applicable"]
    report = (toy.path(RUN) / "report.md").read_text()
    assert "| lint | not applicable |" in report
    assert "- regressions: test" in report


GIT = (
    "git diff --name-only HEAD | grep -qx tests/test_new.py",
    "test $(git diff --name-only HEAD | wc -l) = 2",
    "git log --format=%s | grep -qx 'Set up the agent'",
    "git stash list | wc -l | grep -qx 0 && ! git config user.hook && ! git rev-parse mine",
)


def test_checks_and_steps_see_the_work_in_a_repository_of_its_own(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(
        pytester,
        agent="mkdir tests; echo x > tests/test_new.py; git config user.hook x; git add -A; "
        "git commit -qm mine; git tag mine; echo y > hello.txt; git stash -q; git stash apply -q",
        tiers={"T0": {"01-rules": claude_md("B01")}},
        rubric=rubric(*(check(run, f"R{n}") for n, run in enumerate(GIT)), threshold=1.0),
        pipeline=[{"name": "diff", "run": GIT[0]}],
    )
    toy.run("-p", "no:xdist").assert_outcomes(passed=1)
    steps = read(toy.path("T0/01-rules/run_01") / "pipeline.json")["steps"]
    assert [step["status"] for step in steps] == ["passed"]


def test_a_language_without_a_pipeline_is_an_input_error(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, pipeline="cobol")
    result = toy.run("-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*experiment.yaml: pipeline: there is no pipeline for *'cobol'"])
