"""Selecting by status, doing a stage again, stopping early, and saying beforehand what is done."""

import signal

import pytest

from tests.support.experiments import (
    MODES,
    Experiment,
    once_each,
    read,
    snapshot,
    start_pytest,
    wait_until,
)

ONE, TWO = "T0/00-empty/run_01", "T0/00-empty/run_02"
BAD_SECOND = "case $run in *run_02) exit 3 ;; esac; echo done > answer.txt"


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """Two runs that pass."""
    return Experiment(pytester, runs=2)


def test_runs_are_selected_by_their_status(toy: Experiment) -> None:
    toy.write_agent(BAD_SECOND)
    toy.run().assert_outcomes(passed=1, errors=1)
    toy.run("--scylla-status", "completed").assert_outcomes(passed=1, deselected=1)
    toy.run("--scylla-status", "failed").assert_outcomes(errors=1, deselected=1)
    both = toy.run("--scylla-status", "failed", "--scylla-status", "completed")
    both.assert_outcomes(passed=1, errors=1)
    assert toy.executions == {ONE: 1, TWO: 3}


@MODES
def test_runs_are_selected_by_number(toy: Experiment, mode: tuple[str, ...]) -> None:
    toy.run("--scylla-runs", "2", *mode)
    assert toy.executions == once_each(TWO)


def test_collect_only_counts_the_statuses(toy: Experiment) -> None:
    toy.run("--scylla-runs", "1")
    result = toy.run("--collect-only")
    result.stdout.fnmatch_lines(["tier*completed*missing*", "toy T0 *1*0*0*0*1*0"])
    result.stdout.fnmatch_lines("judge slots: 1 complete, 1 waiting")


def test_only_the_judges_are_asked_again(toy: Experiment) -> None:
    toy.run()
    workspace = toy.path(ONE) / "workspace"
    before = snapshot(workspace)
    toy.run("--scylla-from", "judge").assert_outcomes(passed=2)
    assert toy.executions == once_each(ONE, TWO)
    assert snapshot(workspace) == before
    assert (toy.path(ONE) / "judge/attempts/judge_01_attempt_01/judgment.json").exists()


def test_a_judge_slot_is_judged_again_by_its_status(toy: Experiment) -> None:
    toy.configure(judges=[{"adapter": "rubric-checks"}] * 3, runs=1)
    toy.run()
    slot = toy.path(ONE) / "judge/judge_02/judgment.json"
    others = [toy.path(ONE) / f"judge/judge_0{n}" for n in (1, 3)]
    before = [snapshot(path) for path in others]
    slot.unlink()
    toy.run("--scylla-judge-status", "partial").assert_outcomes(passed=1)
    assert read(slot)["is_valid"]
    assert [snapshot(path) for path in others] == before
    assert toy.executions == once_each(ONE)


def test_a_session_stops_after_a_stage_and_the_next_goes_on(toy: Experiment) -> None:
    result = toy.run("--scylla-until", "agent", "-rs")
    result.stdout.fnmatch_lines("SKIPPED*stopped after agent")
    assert not toy.verdicts()
    toy.run().assert_outcomes(passed=2)
    assert toy.executions == once_each(ONE, TWO)


def test_every_stage_is_explained(toy: Experiment) -> None:
    toy.run()
    toy.write("task/prompt.md", "Write it better.\n")
    result = toy.run("--scylla-explain", "--scylla-runs", "1")
    result.stdout.fnmatch_lines(
        [
            toy.node(ONE),
            "*workspace  again *a fresh one*",
            "*agent      again *changed: prompt",
            "*judge_01   again *",
            "*verdict    again *",
        ]
    )
    assert toy.executions == once_each(ONE, TWO), "explaining runs nothing"


def test_an_agents_result_is_rebuilt_from_its_logs(toy: Experiment) -> None:
    toy.run()
    files = [toy.path(ONE) / "agent/result.json", toy.path(ONE) / "run_result.json"]
    before = [read(path) for path in files]
    for path in files:
        path.unlink()
    toy.run().assert_outcomes(passed=2)
    after = [read(path) for path in files]
    assert after[0] | {"seal": ""} == before[0] | {"seal": ""}
    assert after[1] | {"seal": ""} == before[1] | {"seal": ""}
    assert toy.executions == once_each(ONE, TWO)


def test_a_second_session_on_the_same_results_is_refused(toy: Experiment) -> None:
    toy.configure(runs=1)
    gate = toy.pytester.path / "go"
    toy.write_agent(f"while [ ! -e {gate} ]; do sleep 0.05; done; echo done > answer.txt")
    first = start_pytest(toy.pytester, toy.file)
    wait_until(lambda: toy.executions)
    try:
        second = toy.run()
        assert second.ret == pytest.ExitCode.USAGE_ERROR
        second.stderr.fnmatch_lines(f"*in use by another session (process {first.pid} on *")
    finally:
        gate.touch()
        assert first.wait(60) == 0
    toy.run().assert_outcomes(passed=1)
    assert toy.executions == once_each(ONE)


def test_a_killed_session_holds_nothing(toy: Experiment) -> None:
    toy.configure(runs=1)
    gate = toy.pytester.path / "go"
    toy.write_agent(f"while [ ! -e {gate} ]; do sleep 0.05; done; echo done > answer.txt")
    first = start_pytest(toy.pytester, toy.file)
    wait_until(lambda: toy.executions)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    gate.touch()
    toy.run().assert_outcomes(passed=1)
