"""Which files an adapter's options name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_scylla.named_files import Surroundings, file_inputs
from tests.support.examples import write_files

FILES = {
    "evals/exp/experiment.yaml": "id: x",
    "evals/exp/agent.py": "1",
    "evals/exp/pack/mod.py": "1",
    "evals/exp/pack/__pycache__/mod.pyc": "1",
    "evals/exp/lib/deep/data.txt": "1",
    "evals/exp/results/x/config/experiment.json": "{}",
    "evals/exp/results/x/out.txt": "1",
    "evals/exp/task/test.yaml": "",
    "evals/shared.py": "1",
    "tool/run.sh": "1",
}


@pytest.fixture
def at(tmp_path: Path) -> Surroundings:
    write_files(tmp_path, FILES)
    exp = tmp_path / "evals/exp"
    return Surroundings(exp, exp / "task", tmp_path / "evals/tiers", exp / "results")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["{python}", "-B", "{experiment}/agent.py"], ["agent.py"]),
        (["x", "{experiment}/./agent.py", "{experiment}/agent.py"], ["agent.py"]),
        (["x", "--config={experiment}/agent.py"], ["agent.py"]),
        (["sh", "-c", "cd . && python '{experiment}/agent.py'; true"], ["agent.py"]),
        (["x", "{experiment}/../shared.py"], ["../shared.py"]),
        (["{tmp}/tool/run.sh"], ["../../tool/run.sh"]),
        (["x", "{experiment}/lib"], ["lib"]),
        (["{python}", "-m", "pack.mod"], ["pack/mod.py"]),
        (["{python}", "-m", "pack"], ["pack"]),
        (["x", "{experiment}", "{experiment}/..", "{experiment}/task", "{tmp}/tool"], []),
        (["x", "agent.py", "{prompt}", "{experiment}/none.py", "/dev/null", "/etc/hosts"], []),
        ([sys.executable, "/bin/sh", "{experiment}/" + "x" * 5000, "a\0b"], []),
    ],
)
def test_the_files_that_a_command_names(
    at: Surroundings, tmp_path: Path, words: list[str], named: list[str]
) -> None:
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert [name.removeprefix("file ") for name in file_inputs(words, (), {}, at)] == named


def test_variables_name_files_and_places_of_modules(at: Surroundings) -> None:
    env = {"CONFIG": str(at.experiment / "agent.py"), "PYTHONPATH": "{experiment}/lib"}
    (at.experiment / "lib/tool.py").write_text("1")
    assert file_inputs(["p", "-m", "tool"], (), env, at).keys() == {
        "file agent.py",
        "file lib",
        "file lib/tool.py",
    }


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("lib/deep/data.txt", True),
        ("lib/new/file.txt", True),
        ("results/x/out.txt", False),
        ("pack/__pycache__/mod.pyc", False),
    ],
)
def test_a_digest_covers_what_lies_below_and_never_results(
    at: Surroundings, file: str, changes: bool
) -> None:
    before = file_inputs((), ["."], {}, at)
    write_files(at.experiment, {file: "new"})
    assert (file_inputs((), ["."], {}, at) != before) == changes
