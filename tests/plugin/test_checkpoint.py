"""Nothing that is finished is done twice, whatever was lost in the meantime."""

import shutil
from pathlib import Path

import pytest

from tests.support.experiments import (
    MODES,
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
GOOD, BAD = "T0/00-good/run_01", "T0/01-bad/run_01"
RUNS = (GOOD, BAD)
OUTCOMES = {"passed": 1, "failed": 1}


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """Two runs, one of which passes."""
    return Experiment(pytester, agent=AGENT, tiers=TIERS)


@pytest.fixture
def done(toy: Experiment) -> Experiment:
    """The same, executed."""
    toy.run().assert_outcomes(**OUTCOMES)
    assert toy.executions == once_each(*RUNS)
    return toy


@MODES
def test_a_second_session_touches_neither_agent_nor_workspace(
    done: Experiment, mode: tuple[str, ...]
) -> None:
    before = snapshot(done.path("T0"))
    done.run(*mode).assert_outcomes(**OUTCOMES)
    assert done.executions == once_each(*RUNS)
    assert snapshot(done.path("T0")) == before


def test_a_replay_needs_no_git_and_is_said_in_the_log(done: Experiment) -> None:
    result = done.run("--log-cli-level=INFO", env={"PATH": "/nonexistent"})
    result.assert_outcomes(**OUTCOMES)
    result.stdout.fnmatch_lines([f"*{done.node(GOOD)}: cached, replayed from *{GOOD}"])


def test_all_sessions_continue_the_same_results(done: Experiment) -> None:
    done.run("-k", "good")
    run_pytest(done.pytester, "experiments")
    assert len([*(done.pytester.path / "results").glob("*-toy")]) == 1


LOST = {
    # the run that loses it: what is lost
    "run_01": "nothing",
    "run_02": "run_result.json",
    "run_03": "workspace workspace.git",
    "run_04": "run_result.json workspace workspace.git",
    "run_05": "judge/judge_01/judgment.json",
    "run_06": "run_result.json judge",
    "run_07": "run_result.json judge workspace",
    "run_08": ".",
}


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@MODES
def test_what_is_lost_is_made_again_and_nothing_else(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, agent=AGENT, tiers={"T0": {"00-good": {}}}, runs=len(LOST))
    toy.run(*mode).assert_outcomes(passed=8)
    untouched = snapshot(toy.path(GOOD))
    for run, names in LOST.items():
        for name in names.split():
            lose(toy.path(f"T0/00-good/{run}") / name)
    toy.run(*mode).assert_outcomes(passed=8)
    runs = {f"T0/00-good/{run}" for run in LOST}
    assert toy.executions == once_each(*runs, "T0/00-good/run_08")
    assert toy.verdicts() == dict.fromkeys(runs, 1.0)
    assert snapshot(toy.path(GOOD)) == untouched


def test_a_half_written_verdict_is_no_verdict(pytester: pytest.Pytester) -> None:
    contents = ["", "{", "[]", "{}", '{"judge_score": 1.0}', "\0" * 99]
    toy = Experiment(pytester, runs=len(contents))
    toy.run().assert_outcomes(passed=6)
    before = toy.verdicts()
    for number, content in enumerate(contents, 1):
        (toy.path(f"T0/00-empty/run_0{number}") / "run_result.json").write_text(content)
    toy.run().assert_outcomes(passed=6)
    assert toy.verdicts() == before
    assert set(toy.executions.values()) == {1}


def test_a_workspace_that_is_gone_is_not_needed_to_judge_again(done: Experiment) -> None:
    before = done.verdicts()
    for name in ("run_result.json", "judge", "workspace", "workspace.git"):
        lose(done.path(GOOD) / name)
    done.run("-k", "good").assert_outcomes(passed=1)
    assert done.verdicts() == before, "base and patch say the same"
    assert not done.path(f"{GOOD}/workspace").exists()
    assert done.executions == once_each(*RUNS)


@MODES
def test_an_agent_that_has_answered_is_not_asked_again_when_judging_broke(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.write("conftest.py", FRAGILE_JUDGE)
    toy.configure(judges=[{"adapter": "fragile"}])
    toy.run(*mode).assert_outcomes(errors=2)
    assert toy.executions == once_each(*RUNS)
    before = {run: snapshot(toy.path(run) / "workspace") for run in RUNS}
    answers = {run: snapshot(toy.path(run) / "agent") for run in RUNS}
    checkpoint = read(toy.path("checkpoint.json"))["completed_runs"]["T0"]
    assert checkpoint["00-good"] == {"1": "agent_complete"}
    toy.write("repaired", "")
    toy.run(*mode).assert_outcomes(**OUTCOMES)
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
    toy.run().assert_outcomes(errors=2)
    before = snapshot(toy.path(GOOD) / "judge/judge_01")
    toy.write("repaired", "")
    toy.run().assert_outcomes(**OUTCOMES)
    assert snapshot(toy.path(GOOD) / "judge/judge_01") == before


@MODES
def test_an_error_is_tried_again_in_a_fresh_workspace(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.write_agent("touch leftover; exit 1")
    toy.run(*mode).assert_outcomes(errors=2)
    toy.write_agent(AGENT)
    toy.run(*mode).assert_outcomes(**OUTCOMES)
    assert toy.executions == once_each(*RUNS, *RUNS)
    for run in RUNS:
        assert not (toy.path(run) / "workspace/leftover").exists()
        assert (toy.path(run) / "attempts/attempt_01/workspace/leftover").exists()
        assert not (toy.path(run) / "error.json").exists()
