"""A conftest.py speaks for its experiment folder alone: fixtures, agents, judges, hooks."""

import os
from pathlib import Path

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    MODES,
    NO_WORKERS,
    Experiment,
    once_each,
    read,
    rubric,
    run_pytest,
)

RUN = "T0/00-empty/run_01"

ADAPTERS = """
import os
import tempfile

from pytest_scylla.agents.command import Command
from pytest_scylla.judges import Grading
from pytest_scylla.results import ItemScore

class Writer(Command):
    command: tuple[str, ...] = ("/bin/sh", "-c", "echo {word} > answer.txt")
    paid: bool = False

class Reader:
    model = "{word}"
    paid = False

    def __init__(self, share=1.0):
        self.share = share

    def identity(self):
        return {{"adapter": "house-judge", "share": self.share}}

    def unready(self):
        return None

    def grade(self, evidence):
        copies = [self.copies(), evidence.files and self.copies()]
        met = (evidence.copy / "answer.txt").read_text() == "{word}\\n"
        [item] = evidence.task.rubric.items()
        scores = {{item.id: ItemScore(achieved=self.share * met, max=item.points)}}
        return Grading(scores, "{word} was asked", str(copies), self.model)

    def copies(self):
        place = os.path.join(tempfile.gettempdir(), f"pytest-scylla-{{os.getuid()}}")
        return len([n for n in os.listdir(place) if n.startswith("copy-") and "." not in n])

def pytest_scylla_agents():
    return {{"house-agent": Writer}}

def pytest_scylla_judges():
    return {{"house-judge": Reader}}
"""


def with_own_adapters(pytester: pytest.Pytester, name: str) -> Experiment:
    opinion = {"id": "Q1", "check": "the house likes it", "points": 1}
    toy = Experiment(pytester, name, rubric=rubric(opinion))
    toy.write("conftest.py", ADAPTERS.format(word=name))
    toy.configure(
        agent={"adapter": "house-agent"}, judges=[{"adapter": "house-judge", "share": 0.75}]
    )
    return toy


@MODES
def test_two_folders_mean_different_things_by_one_name(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toys = [with_own_adapters(pytester, name) for name in ("red", "blue")]
    run_pytest(pytester, "experiments", *mode).assert_outcomes(passed=2)
    for toy in toys:
        assert toy.verdicts() == {RUN: 0.75}
        assert (toy.path(RUN) / "workspace/answer.txt").read_text() == f"{toy.name}\n"
        [vote] = read(toy.path(RUN) / "run_result.json")["judges"]
        assert (vote["model"], vote["reasoning"]) == (toy.name, f"{toy.name} was asked")


def test_files_are_copied_when_a_judge_looks_at_them(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    toy = with_own_adapters(pytester, "red")
    run_pytest(pytester, "experiments", *IN_PROCESS).assert_outcomes(passed=1)
    assert (toy.path(RUN) / "judge/judge_01/response.txt").read_text() == "[0, 1]"
    (place,) = tmp_path.iterdir()
    assert os.listdir(place) == []


def test_a_folder_does_not_know_what_its_neighbour_registers(pytester: pytest.Pytester) -> None:
    with_own_adapters(pytester, "red")
    poor = Experiment(pytester, "poor")
    poor.configure(agent={"adapter": "house-agent"})
    args = ("experiments", "--continue-on-collection-errors")
    result = run_pytest(pytester, *args)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*there is no adapter 'house-agent'*"])


def test_a_markers_name_is_made_from_an_adapters_name(pytester: pytest.Pytester) -> None:
    with_own_adapters(pytester, "red")
    Experiment(pytester, "plain")
    args = ("experiments", "--strict-markers", "-m", "agent_house_agent")
    run_pytest(pytester, *args).assert_outcomes(passed=1, deselected=1)


FIXTURES = """
import pytest

@pytest.fixture
def agent_result(agent_result, run):
    note(run, f"agent {agent_result.exit_code}")
    return agent_result

@pytest.fixture
def judgments(judgments, run):
    note(run, f"judgments {len(judgments)}")
    return judgments

@pytest.fixture
def verdict(verdict, run):
    note(run, f"verdict {verdict.score} {verdict.cached}")
    return verdict

def pytest_scylla_run_finished(run, result, cached):
    note(run, f"finished {result.judge_score} {cached}")

def note(run, line):
    with open(run.evaluation.experiment.directory / "notes.txt", "a") as file:
        print(run.subtest.id, run.name, line, file=file)
"""


@MODES
def test_a_folder_overrides_fixtures_and_hears_of_its_runs_alone(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester)
    other = Experiment(pytester, "other")
    toy.write("conftest.py", FIXTURES)
    run_pytest(pytester, "experiments", *mode).assert_outcomes(passed=2)
    run_pytest(pytester, "experiments", *mode).assert_outcomes(passed=2)
    lines = (toy.directory / "notes.txt").read_text().splitlines()
    stages = ["agent 0", "judgments 1", "finished 1.0 {}", "verdict 1.0 {}"]
    assert lines == [
        f"00-empty run_01 {stage.format(cached)}" for cached in (False, True) for stage in stages
    ]
    assert not (other.directory / "notes.txt").exists()


@MODES
def test_a_fixture_can_replace_a_stage(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    toy = Experiment(pytester, agent="echo hello")
    toy.write(
        "conftest.py",
        """
        import pytest
        from pytest_scylla.results import Judgment

        @pytest.fixture
        def judgments(run, workspace):
            return (Judgment(score=0.5, passed=False, grade="C", reasoning="a coin said so"),)
        """.replace("\n        ", "\n"),
    )
    result = toy.run(*mode)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["score 0.500 (grade C) is below*", "*a coin said so"])


MODULE = """
import pytest

@pytest.mark.scylla("../experiments/toy/experiment.yaml")
def test_the_answer_is_short(run, verdict, workspace):
    assert verdict.passed
    assert len((workspace.path / "answer.txt").read_text()) < 10
    assert run.dir.path.name == run.name
"""


@MODES
def test_a_python_module_takes_the_runs_of_an_experiment(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, runs=2)
    (pytester.mkdir("tests") / "test_module.py").write_text(MODULE)
    result = run_pytest(pytester, "tests", *mode, "--strict-markers", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(
        [f"*::test_the_answer_is_short*T0-00-empty-run_0{number}*" for number in (1, 2)]
    )
    assert toy.executions == once_each(RUN, "T0/00-empty/run_02")
    assert read(toy.path("report.json"))["summary"]["total_runs"] == 2
    run_pytest(pytester, "tests", *mode).assert_outcomes(passed=2)
    assert toy.executions.total() == 2


@MODES
def test_in_a_python_module_runs_inherit_from_what_an_earlier_session_ran(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    tiers = {"T0": {"00-a": {}}, "T5": {"00-heir": {"inherit_best_from": ["T0"]}}}
    toy = Experiment(pytester, tiers=tiers, runs=2)
    (pytester.mkdir("tests") / "test_module.py").write_text(MODULE)
    run_pytest(pytester, "tests", *mode, "-k", "T0")
    run_pytest(pytester, "tests", *mode).assert_outcomes(passed=4)
    assert [run[:2] for run in toy.executions] == ["T0", "T0", "T5", "T5"]


@NO_WORKERS
def test_without_workers_a_module_needs_one_session(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    tiers = {"T0": {"00-a": {}}, "T5": {"00-heir": {"inherit_best_from": ["T0"]}}}
    toy = Experiment(pytester, tiers=tiers)
    (pytester.mkdir("tests") / "test_module.py").write_text(MODULE)
    run_pytest(pytester, "tests", *mode).assert_outcomes(passed=2)
    assert [run[:2] for run in toy.executions] == ["T0", "T5"]


def test_a_module_that_names_no_experiment_is_told_so(pytester: pytest.Pytester) -> None:
    (pytester.mkdir("tests") / "test_module.py").write_text(MODULE)
    result = run_pytest(pytester, "tests")
    assert result.ret != 0
    said = result.stdout.str() + result.stderr.str()
    assert "experiments/toy/experiment.yaml" in said
    assert "next: " in said
    assert "Traceback" not in said
