"""Tests that lie in task directories, tier libraries and results are data, unless named."""

import pytest

from tests.support.experiments import MODES, Experiment, run_pytest

FAILS = "def test_inner():\n    assert False, 'this is data'\n"


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """An experiment whose task, library and (later) workspaces hold failing tests."""
    toy = Experiment(pytester)
    toy.write("task/files/test_inner.py", FAILS)
    toy.write("task/expected/test_hidden.py", FAILS)
    toy.write("tiers/skills/testing/example/test_skill.py", FAILS)
    pytester.makepyfile(test_ordinary="def test_it():\n    pass\n")
    return toy


@MODES
def test_tests_in_data_are_not_collected(toy: Experiment, mode: tuple[str, ...]) -> None:
    run_pytest(toy.pytester, *mode).assert_outcomes(passed=2)
    assert (toy.path("T0/00-empty/run_01/workspace") / "test_inner.py").exists()
    run_pytest(toy.pytester, *mode).assert_outcomes(passed=2)


def test_tests_in_a_results_directory_of_another_name_are_not_collected(toy: Experiment) -> None:
    toy.pytester.makefile(".ini", pytest="[pytest]\nscylla_results = measured\n")
    run_pytest(toy.pytester).assert_outcomes(passed=2)
    assert (toy.pytester.path / "measured").is_dir()
    run_pytest(toy.pytester).assert_outcomes(passed=2)


def test_tests_in_results_of_another_session_are_not_collected(toy: Experiment) -> None:
    run_pytest(toy.pytester, "--scylla-results", "elsewhere").assert_outcomes(passed=2)
    assert (toy.pytester.path / "elsewhere").is_dir()
    run_pytest(toy.pytester).assert_outcomes(passed=2)


def test_a_task_outside_of_the_experiments_folder_is_data_too(toy: Experiment) -> None:
    toy.directory.joinpath("task").rename(toy.pytester.path / "shared-task")
    toy.configure(task="../../shared-task")
    run_pytest(toy.pytester).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "place",
    [
        "experiments/toy/task/files",
        "experiments/toy/task/files/test_inner.py",
        "experiments/toy/task",
        "experiments/toy/tiers/skills",
    ],
)
def test_tests_in_data_are_collected_where_they_are_named(toy: Experiment, place: str) -> None:
    result = run_pytest(toy.pytester, place)
    assert result.parseoutcomes()["failed"] == (2 if place == "experiments/toy/task" else 1)


def test_tests_in_a_workspace_are_collected_where_they_are_named(toy: Experiment) -> None:
    toy.run().assert_outcomes(passed=1)
    place = toy.path("T0/00-empty/run_01/workspace").relative_to(toy.pytester.path)
    run_pytest(toy.pytester, str(place)).assert_outcomes(failed=1)
    run_pytest(toy.pytester, str(place), toy.file).assert_outcomes(failed=1, passed=1)


def test_an_experiment_that_an_agent_wrote_is_not_collected(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.write_agent(f"cp {toy.directory}/experiment.yaml . && echo done > answer.txt")
    run_pytest(pytester).assert_outcomes(passed=1)
    assert (toy.path("T0/00-empty/run_01/workspace") / "experiment.yaml").exists()
    result = run_pytest(pytester)
    result.assert_outcomes(passed=1)
    assert result.ret == 0
