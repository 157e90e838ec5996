"""`workspace:` in experiment.yaml: one workspace per run or per subtest, and what is kept."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    TWO_WORKERS,
    WORKS,
    Experiment,
    claude_md,
    once_each,
    snapshot,
)

TIERS: dict[str, Any] = {"T0": {"00-a": claude_md("B01"), "01-b": claude_md("B02")}}
RUNS = [f"T0/{name}/run_0{number}" for name in ("00-a", "01-b") for number in (1, 2)]
SHARED = {"scope": "subtest"}

MESSES_UP = """
[ -z "$(git status --porcelain)" ] && [ ! -e leftover ] && [ ! -e .git/hooks/x ] || exit 9
[ "$(cat hello.txt)" = hello ] && [ "$(git log --oneline | wc -l)" = 2 ] || exit 8
[ -z "$(git stash list)$(git config --get user.nick)$(git branch | grep other)" ] || exit 7
echo x > leftover; echo x >> hello.txt; git add -A; git commit -qm mine; git branch other
git config user.nick me; echo y >> hello.txt; git stash -q; echo "$run" > answer.txt
"""


@MODES
def test_runs_of_a_subtest_share_a_workspace_that_is_as_new_for_each(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, agent=MESSES_UP, tiers=TIERS, runs=2, workspace=SHARED)
    toy.run(*mode).assert_outcomes(passed=4)
    for run in RUNS:
        assert not (toy.path(run) / "workspace").exists()
        patch = (toy.path(run) / "agent/changes.patch").read_text()
        assert {other for other in RUNS if other in patch} == {run}
    workspace = toy.path("T0/00-a/workspace")
    assert (workspace / "answer.txt").read_text().strip() in RUNS[:2]
    before = snapshot(workspace)
    toy.run(*mode).assert_outcomes(passed=4)
    assert toy.executions == once_each(*RUNS)
    assert snapshot(workspace) == before


def test_runs_that_share_a_workspace_never_overlap(pytester: pytest.Pytester) -> None:
    toy = Experiment(
        pytester,
        agent=f"mkdir ../busy || exit 9; sleep 0.3; {WORKS}; rmdir ../busy",
        tiers={"T0": {"00-a": claude_md("B01")}},
        runs=4,
        workspace=SHARED,
    )
    toy.run(*TWO_WORKERS).assert_outcomes(passed=4)


@MODES
def test_a_lost_verdict_is_judged_in_the_runs_own_state_of_a_shared_workspace(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, agent=MESSES_UP, tiers=TIERS, runs=2, workspace=SHARED)
    toy.write("task/expected/rubric.yaml", OWN_ANSWER)
    toy.run(*mode).assert_outcomes(passed=2, failed=2)
    before = toy.verdicts()
    for run in RUNS:
        (toy.path(run) / "run_result.json").unlink()
        (toy.path(run) / "judge/judge_01/judgment.json").unlink()
    toy.run(*mode).assert_outcomes(passed=2, failed=2)
    assert toy.verdicts() == before
    assert toy.executions == once_each(*RUNS)


OWN_ANSWER = """
categories:
  work: {weight: 1.0, items: [{id: R1, check: x, points: 1, run: grep -q run_01 answer.txt}]}
"""


def kept(toy: Experiment) -> set[str]:
    return {path.parts[-3] for path in toy.results.glob("T*/*/run_*/workspace")}


@pytest.mark.parametrize(
    ("retention", "left"), [("all", {"00-a", "01-b"}), ("failed", {"01-b"}), ("none", set())]
)
def test_workspaces_are_retained_as_the_experiment_says(
    pytester: pytest.Pytester, retention: str, left: set[str]
) -> None:
    toy = Experiment(
        pytester,
        agent=f"case $run in *a/*) {WORKS} ;; *) touch wrong.txt ;; esac",
        tiers=TIERS,
        workspace={"retention": retention},
    )
    toy.run().assert_outcomes(passed=1, failed=1)
    assert kept(toy) == left
    for run, name in (("T0/00-a/run_01", "answer.txt"), ("T0/01-b/run_01", "wrong.txt")):
        assert name in (toy.path(run) / "agent/changes.patch").read_text()
    toy.run().assert_outcomes(passed=1, failed=1)
    assert toy.executions.total() == 2
    assert kept(toy) == left


def test_a_run_without_a_verdict_keeps_its_workspace(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent="touch clue; exit 1", workspace={"retention": "none"})
    toy.run().assert_outcomes(errors=1)
    assert Path(toy.path("T0/00-empty/run_01/workspace/clue")).exists()
