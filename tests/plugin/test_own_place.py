"""A user's own repository and directories: by any name, and left tidy."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.experiments import MODES, Experiment, once_each, run_pytest

RUN = "T0/00-empty/run_01"


def git(pytester: pytest.Pytester, *words: str) -> str:
    who = ["-c", "user.name=u", "-c", "user.email=u@localhost"]
    done = subprocess.run(
        ["git", *who, *words], cwd=pytester.path, capture_output=True, text=True, check=True
    )
    return done.stdout


@MODES
def test_a_directory_by_two_names_is_one_experiment(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester)
    (pytester.path / "link").symlink_to(toy.directory.parent)
    (pytester.path / "project").symlink_to(pytester.path)
    for name in ("experiments/toy", "link/toy", "project/experiments/toy/experiment.yaml"):
        result = run_pytest(pytester, name, *mode)
        result.assert_outcomes(passed=1)
        assert "is also the id of" not in result.stdout.str()
    assert toy.executions == once_each(RUN)
    both = run_pytest(pytester, "experiments/toy", "link/toy", *mode)
    assert both.ret == 0
    assert toy.executions == once_each(RUN)
    assert len([*(pytester.path / "results").glob("*-toy")]) == 1


@pytest.mark.parametrize("name", ["experiment.yml", "Experiment.yaml"])
def test_an_experiment_by_another_name_is_one_message(pytester: pytest.Pytester, name: str) -> None:
    toy = Experiment(pytester)
    (toy.directory / "experiment.yaml").rename(toy.directory / name)
    for args in (["experiments"], [f"experiments/toy/{name}"]):
        result = run_pytest(pytester, *args)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            [f"*{name}: an experiment has another name", "*next: rename it*"]
        )


def test_results_are_ignored_by_the_git_of_the_users_repository(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    git(pytester, "init", "-q")
    git(pytester, "add", "-A")
    git(pytester, "commit", "-qm", "first")
    toy.run().assert_outcomes(passed=1)
    assert "results" not in git(pytester, "status", "--porcelain")
    mine = pytester.mkdir("mine")
    (mine / "notes.txt").write_text("mine")
    toy.run("--scylla-results", "mine").assert_outcomes(passed=1)
    assert not (mine / ".gitignore").exists(), "a directory of the user's"
    (pytester.path / "results/.gitignore").write_text("mine")
    toy.run().assert_outcomes(passed=1)
    assert (pytester.path / "results/.gitignore").read_text() == "mine"


def test_changes_that_are_not_committed_are_said_to_be_left_out(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.write("task/test.yaml", {"id": "t", "source": {"repo": "../../.."}, "tiers": ["T0"]})
    (pytester.path / "code.py").write_text("1\n")
    (pytester.path / ".gitignore").write_text("*.log\n__pycache__\n.pytest_cache\nstd*\n")
    git(pytester, "init", "-q")
    git(pytester, "add", "-A")
    git(pytester, "commit", "-qm", "first")
    toy.run().assert_outcomes(passed=1, warnings=0)
    (pytester.path / "code.py").write_text("2\n")
    (pytester.path / "new.py").write_text("2\n")
    result = toy.run("--scylla-fresh")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*2 changes not committed (code.py, new.py), and not seen by any run*"]
    )
    assert toy.path(f"{RUN}/workspace/code.py").read_text() == "1\n"
