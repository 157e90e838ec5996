"""The pipeline: commands of the experiment that run before any agent and after each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_scylla.bases import Base
from pytest_scylla.experiment import Source, StepConfig
from pytest_scylla.gitcommand import git
from pytest_scylla.pipeline import PYTHON, baseline, compared, pipeline_inputs, run_pipeline
from pytest_scylla.recorded import Origin, Recorded, recorded
from pytest_scylla.results import PipelineResult
from pytest_scylla.store import read_model
from pytest_scylla.workspace import Sources
from tests.support.examples import commit, make_repository, write_files


def steps(*commands: str, timeout: float = 600) -> tuple[StepConfig, ...]:
    return tuple(
        StepConfig(name=f"step-{number}", run=command, timeout=timeout)
        for number, command in enumerate(commands, 1)
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Recorded:
    return Recorded(write_files(tmp_path / "workspace", {"a.py": "1\n"}), Origin(), {})


def statuses(result: PipelineResult) -> list[str]:
    return [step.status for step in result.steps]


def test_every_step_says_how_it_went(workspace: Recorded) -> None:
    result = run_pipeline(steps("cat a.py", "echo no; exit 2", "no-such-tool"), workspace)
    assert statuses(result) == ["passed", "failed", "not_applicable"]
    assert [step.exit_code for step in result.steps] == [0, 2, 127]
    assert [step.output for step in result.steps][:2] == ["1\n", "no\n"]
    assert [step.name for step in result.steps] == ["step-1", "step-2", "step-3"]


def test_only_the_steps_own_program_can_be_missing(workspace: Recorded) -> None:
    commands = ("no-such-tool", "cd . && no-such-tool", "sh -c 'exit 127'", "./no-such-file")
    result = run_pipeline(steps(*commands), workspace)
    assert statuses(result) == ["not_applicable", "failed", "failed", "failed"]
    needing = StepConfig(name="a", run="true", needs=("sh", "no-such-tool"))
    assert statuses(run_pipeline([needing], workspace)) == ["not_applicable"]


def test_a_step_may_say_when_it_applies(workspace: Recorded) -> None:
    asked = [
        StepConfig(name=f"n{number}", run="false", when=when)
        for number, when in enumerate(["test -f a.py", "test -f b.py"])
    ]
    assert statuses(run_pipeline(asked, workspace)) == ["failed", "not_applicable"]


def test_a_step_that_does_not_end_has_failed(workspace: Recorded) -> None:
    assert statuses(run_pipeline(steps("sleep 600", timeout=0.2), workspace)) == ["failed"]


def test_steps_share_their_files(workspace: Recorded) -> None:
    result = run_pipeline(
        steps("echo 2 > a.py; touch built", "test -f built && cat a.py"), workspace
    )
    assert statuses(result) == ["passed", "passed"]
    assert result.steps[1].output == "2\n"


def test_other_steps_are_other_inputs() -> None:
    variants = [steps(), steps("a"), steps("b"), steps("a", "b"), steps("a", timeout=1)]
    inputs = [pipeline_inputs(variant)["steps"] for variant in variants]
    assert len(set(inputs)) == len(variants)
    assert pipeline_inputs(steps("a")) == pipeline_inputs(steps("a"))


# -- the baseline ----------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Base:
    repository = make_repository(tmp_path / "source")
    commit(repository, "one", {"a.py": "base\n", "sub/run.sh": "echo sub\n"})
    (repository / "sub" / "run.sh").chmod(0o755)
    commit(repository, "two", {})
    return Sources(tmp_path / "results").base(Source(repo="source"), tmp_path, "pin")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results" / "now").mkdir(parents=True)
    return tmp_path / "results" / "now"


def test_the_baseline_runs_on_the_tasks_untouched_files(base: Base, results: Path) -> None:
    result = baseline(steps("cat a.py", "./sub/run.sh", "git diff --stat"), base, results)
    assert statuses(result) == ["passed", "passed", "passed"]
    assert [step.output for step in result.steps] == ["base\n", "sub\n", ""]
    assert read_model(results / "pipeline_baseline.json", PipelineResult) == result


def test_the_baseline_runs_once_for_all_runs_and_again_when_its_steps_change(
    base: Base, results: Path, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    counted = steps(f"echo x >> {counter}")
    first = baseline(counted, base, results)
    assert baseline(counted, base, results) == first
    assert counter.read_text() == "x\n"
    baseline(steps(f"echo y >> {counter}"), base, results)
    assert counter.read_text() == "x\ny\n"


def test_a_broken_baseline_is_made_again(base: Base, results: Path) -> None:
    first = baseline(steps("true"), base, results)
    (results / "pipeline_baseline.json").write_text("{")
    assert statuses(baseline(steps("true"), base, results)) == statuses(first)
    assert read_model(results / "pipeline_baseline.json", PipelineResult) is not None


def test_without_steps_there_is_no_baseline(base: Base, results: Path) -> None:
    assert baseline((), base, results).steps == ()
    assert not (results / "pipeline_baseline.json").exists()


# -- python, and what has changed ------------------------------------------------------------------

PROJECT = {
    "pyproject.toml": "[tool.ruff]\n[tool.pytest.ini_options]\npythonpath = 'src'\n",
    "src/sums.py": "def add(a, b):\n    return a - b\n\n\ndef neg(a):\n    return -a\n",
    "tests/test_sums.py": (
        "from sums import add, neg\n\n\ndef test_add():\n    assert add(1, 2) == 3\n\n\n"
        "def test_neg():\n    assert neg(1) == -1\n\n\n"
        "def test_wrong():\n    assert neg(1) == 1\n"
    ),
}
"""A project with one mistake in it, and one in its tests."""


def patch_of(repository: Path, into: Path) -> Path:
    into.write_text(git(["-C", str(repository), "diff", "--binary"]) + "\n")
    return into


def test_a_python_project_is_compared_with_what_it_was(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "source")
    id = commit(repository, "one", PROJECT)
    (tmp_path / "now").mkdir()
    before = baseline(PYTHON, Base(repository / ".git", id), tmp_path / "now")
    assert {step.name: step.status for step in before.steps} == {
        "build": "passed",
        "format": "passed",
        "format-black": "not_applicable",
        "pre-commit": "not_applicable",
        "test": "failed",
    }
    (repository / "src/sums.py").write_text("def add(a,b): return a + b\ndef neg(a): return a\n")
    (repository / "tests/test_sums.py").write_text("def test_neg(): pass\n")
    (repository / "pyproject.toml").write_text("[tool.ruff]\n[tool.pytest.ini_options]\n")
    patch = patch_of(repository, tmp_path / "patch")
    with recorded(repository / ".git", id, patch) as left:
        after = compared(run_pipeline(PYTHON, left), before)
    test = "test: tests/test_sums.py::test"
    assert after.regressions == ("format", f"{test}_neg")
    assert after.existing_failures == ("test",)
    assert after.improvements == (f"{test}_add", f"{test}_wrong")
    assert f"regressions: format, {test}_neg" in after.findings()


def test_what_is_not_applicable_any_more_is_a_regression(workspace: Recorded) -> None:
    before = run_pipeline(steps("cat a.py"), workspace)
    gone = StepConfig(name="step-1", run="true", when="false")
    after = compared(run_pipeline([gone], workspace), before)
    assert after.regressions == ("step-1 (not_applicable)",)
