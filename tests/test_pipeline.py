"""The pipeline: commands of the experiment that run before any agent and after each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_scylla.experiment import Source, StepConfig
from pytest_scylla.pipeline import baseline, pipeline_inputs, run_pipeline
from pytest_scylla.recorded import Recorded
from pytest_scylla.results import PipelineResult
from pytest_scylla.store import read_model
from pytest_scylla.workspace import Base, Sources
from tests.support.examples import commit, make_repository, write_files


def steps(*commands: str, timeout: float = 600) -> tuple[StepConfig, ...]:
    return tuple(
        StepConfig(name=f"step-{number}", run=command, timeout=timeout)
        for number, command in enumerate(commands, 1)
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Recorded:
    return Recorded(write_files(tmp_path / "workspace", {"a.py": "1\n"}), {})


def statuses(result: PipelineResult) -> list[str]:
    return [step.status for step in result.steps]


def test_every_step_says_how_it_went(workspace: Recorded) -> None:
    result = run_pipeline(steps("cat a.py", "echo no; exit 2", "no-such-tool"), workspace)
    assert statuses(result) == ["passed", "failed", "not_applicable"]
    assert [step.exit_code for step in result.steps] == [0, 2, 127]
    assert [step.output for step in result.steps][:2] == ["1\n", "no\n"]
    assert [step.name for step in result.steps] == ["step-1", "step-2", "step-3"]


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
    result = baseline(steps("cat a.py", "./sub/run.sh", "test -e .git"), base, results)
    assert statuses(result) == ["passed", "passed", "failed"]
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
