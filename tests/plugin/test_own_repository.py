"""An experiment that lies in the repository that it tests, as most do: no agent sees the rubric."""

from __future__ import annotations

import pytest

from tests.support.examples import commit, git, write_files
from tests.support.experiments import IN_PROCESS, WORKS, Experiment

RUN = "T0/00-empty/run_01"
LOOKS = """
{ git log -p --all; git cat-file --batch-all-objects --batch-check | cut -d' ' -f1 |
  git cat-file --batch; grep -r . .; } > seen.txt 2>&1
"""
NOTES = {"notes.txt": "the code\n", "docs/page.txt": "of the project\n"}


def in_its_repository(pytester: pytest.Pytester, kind: str) -> Experiment:
    toy = Experiment(pytester, agent=LOOKS + WORKS)
    toy.write("task/test.yaml", {"id": "t", "source": {"repo": "../.."}, "tiers": ["T0"]})
    source = write_files(pytester.path / "experiments", NOTES)
    if kind == "repository":
        git(source, "init", "-q", "-b", "main")
        git(source, "config", "user.name", "author")
        git(source, "config", "user.email", "author@localhost")
        commit(source, "all of it", {})
    return toy


@pytest.mark.parametrize("kind", ["repository", "plain"])
def test_no_agent_sees_the_experiment_that_lies_in_its_own_source(
    pytester: pytest.Pytester, kind: str
) -> None:
    toy = in_its_repository(pytester, kind)
    options = (*IN_PROCESS, "--scylla-results", "experiments/results")
    result = toy.run(*options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("scylla:*source without results and toy)")
    (workspace,) = pytester.path.glob(f"experiments/results/*/{RUN}/workspace")
    seen = (workspace / "seen.txt").read_text(errors="replace")
    assert "the code" in seen
    assert "R1 is met" not in seen
    assert sorted(p.name for p in workspace.iterdir() if p.name in ("toy", "results")) == []
    assert (workspace / "docs/page.txt").read_text() == "of the project\n"
    toy.run(*options).assert_outcomes(passed=1)
    assert toy.executions == {RUN: 1}
