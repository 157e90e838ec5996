"""Nothing that is finished is done twice, whatever was lost in the meantime."""

import shutil
from pathlib import Path

import pytest

from tests.support.experiments import (
    MODES,
    ONE_OR_TWO,
    TWO_WORKERS,
    Experiment,
    claude_md,
    once_each,
    read,
    run_pytest,
    snapshot,
)

TIERS = {"T0": {"00-good": claude_md("B01"), "01-bad": claude_md("B02")}}
AGENT = """
case $run in *good*) echo "$run" > answer.txt ;; esac
echo new >> hello.txt; mkdir -p deep/er; : > deep/er/empty; git add -A; git commit -qm work
printf '#!/bin/sh\\n' > tool; chmod +x tool; ln -s hello.txt link
"""
RUNS = {f"T0/{name}/run_0{n}" for name in ("00-good", "01-bad") for n in (1, 2)}
FIRST = "T0/00-good/run_01"


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """Four runs, two of which pass."""
    return Experiment(pytester, agent=AGENT, tiers=TIERS, runs=2)


@pytest.fixture
def done(toy: Experiment) -> Experiment:
    """The same, executed."""
    toy.run(*TWO_WORKERS).assert_outcomes(passed=2, failed=2)
    assert toy.executions == once_each(*RUNS)
    return toy


@MODES
def test_a_second_session_touches_neither_agent_nor_workspace(
    done: Experiment, mode: tuple[str, ...]
) -> None:
    before = snapshot(done.path("T0"))
    result = done.run(*mode)
    result.assert_outcomes(passed=2, failed=2)
    assert done.executions == once_each(*RUNS)
    assert snapshot(done.path("T0")) == before


def test_a_replay_needs_no_git_and_is_said_in_the_log(done: Experiment) -> None:
    result = done.run("--log-cli-level=INFO", env={"PATH": "/nonexistent"})
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines([f"*{done.node(FIRST)}: cached, replayed from *{FIRST}"])


def test_all_sessions_continue_the_same_results(done: Experiment) -> None:
    done.run("-k", "good")
    run_pytest(done.pytester, "experiments")
    assert len([*(done.pytester.path / "results").glob("*-toy")]) == 1


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


LOST: list[tuple[str, int]] = [
    # what of a run is lost, and how often its agent is started in all
    ("run_result.json", 1),
    ("workspace", 1),
    ("workspace workspace.git", 1),
    ("run_result.json workspace workspace.git", 1),
    ("judge/judge_01/judgment.json", 1),
    ("run_result.json judge", 1),
    ("run_result.json judge workspace", 1),
    (".", 2),
]


@ONE_OR_TWO
@pytest.mark.parametrize(("lost", "executed"), LOST, ids=[names for names, _ in LOST])
def test_what_is_lost_is_made_again_and_nothing_else(
    done: Experiment, mode: tuple[str, ...], lost: str, executed: int
) -> None:
    others = {run: snapshot(done.path(run)) for run in RUNS - {FIRST}}
    before = done.verdicts()
    for name in lost.split():
        lose(done.path(FIRST) / name)
    done.run(*mode).assert_outcomes(passed=2, failed=2)
    assert done.executions == once_each(*RUNS) + once_each(*[FIRST] * (executed - 1))
    assert done.verdicts() == before
    assert {run: snapshot(done.path(run)) for run in others} == others


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"judge_score": 1.0}', "\0" * 99])
def test_a_half_written_verdict_is_no_verdict(done: Experiment, content: str) -> None:
    before = done.verdicts()
    (done.path(FIRST) / "run_result.json").write_text(content)
    done.run().assert_outcomes(passed=2, failed=2)
    assert done.verdicts() == before
    assert done.executions == once_each(*RUNS)


def test_a_workspace_that_is_gone_comes_back_from_base_and_patch(done: Experiment) -> None:
    workspace = done.path(FIRST) / "workspace"
    before = {name: facts[1::2] for name, facts in snapshot(workspace).items() if name != ".git"}
    for name in ("run_result.json", "judge", "workspace", "workspace.git"):
        lose(done.path(FIRST) / name)
    done.run("-k", "good and run_01").assert_outcomes(passed=1)
    after = {name: facts[1::2] for name, facts in snapshot(workspace).items() if name != ".git"}
    assert after == before
    assert done.executions == once_each(*RUNS)


@ONE_OR_TWO
def test_an_agent_that_has_answered_is_not_asked_again_when_judging_broke(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.write("conftest.py", FRAGILE_JUDGE)
    toy.configure(judges=[{"adapter": "fragile"}])
    toy.run(*mode).assert_outcomes(errors=4)
    assert toy.executions == once_each(*RUNS)
    before = {run: snapshot(toy.path(run) / "workspace") for run in RUNS}
    answers = {run: snapshot(toy.path(run) / "agent") for run in RUNS}
    checkpoint = read(toy.path("checkpoint.json"))["completed_runs"]["T0"]
    assert checkpoint["00-good"] == {"1": "agent_complete", "2": "agent_complete"}
    toy.write("repaired", "")
    toy.run(*mode).assert_outcomes(passed=2, failed=2)
    assert toy.executions == once_each(*RUNS)
    assert {run: snapshot(toy.path(run) / "workspace") for run in RUNS} == before
    assert {run: snapshot(toy.path(run) / "agent") for run in RUNS} == answers
    for run in RUNS:
        assert not (toy.path(run) / "error.json").exists()
        kept = toy.path(run) / "judge/attempts/judge_01_attempt_01/error.log"
        assert "out of order" in kept.read_text()


FRAGILE_JUDGE = """
from pathlib import Path
from pytest_scylla.errors import RunError
from pytest_scylla.judges.rubric_checks import RubricChecks

class Fragile(RubricChecks):
    def grade(self, evidence):
        if not Path(__file__).with_name("repaired").exists():
            raise RunError("judge", "out of order")
        return super().grade(evidence)

def pytest_scylla_judges():
    return {"fragile": Fragile}
"""


def test_a_valid_slot_is_not_judged_again_for_the_sake_of_another(toy: Experiment) -> None:
    toy.write("conftest.py", FRAGILE_JUDGE)
    toy.configure(judges=[{"adapter": "rubric-checks"}, {"adapter": "fragile"}])
    toy.run().assert_outcomes(errors=4)
    before = snapshot(toy.path(FIRST) / "judge/judge_01")
    toy.write("repaired", "")
    toy.run().assert_outcomes(passed=2, failed=2)
    assert snapshot(toy.path(FIRST) / "judge/judge_01") == before


@ONE_OR_TWO
def test_an_error_is_tried_again_in_a_fresh_workspace(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.write_agent("touch leftover; exit 1")
    toy.run(*mode).assert_outcomes(errors=4)
    toy.write_agent(AGENT)
    toy.run(*mode).assert_outcomes(passed=2, failed=2)
    assert toy.executions == once_each(*RUNS, *RUNS)
    for run in RUNS:
        assert not (toy.path(run) / "workspace/leftover").exists()
        assert (toy.path(run) / "attempts/attempt_01/workspace/leftover").exists()
        assert not (toy.path(run) / "error.json").exists()
