"""What a SIGKILL, a Ctrl-C or -x costs: the run it meets, and nothing else."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    MODES,
    NO_XDIST,
    SLACK,
    TWO_WORKERS,
    WORKS,
    Experiment,
    alive,
    claude_md,
    once_each,
    read,
    run_pytest,
    signal_group,
    snapshot,
    start_pytest,
    wait_until,
)

TIERS: dict[str, Any] = {
    "T0": {"00-a": claude_md("B01"), "01-b": claude_md("B02")},
    "T5": {"00-heir": {"inherit_best_from": ["T0"]}},
}
A, B, HEIR = "T0/00-a/run_01", "T0/01-b/run_01", "T5/00-heir/run_01"
ALL = (A, B, HEIR)

KILLS_ITS_WORKER = "kill -9 $PPID; exec sleep 600"


def only(run: str, deed: str) -> str:
    """An agent that does a deed in one run and its work in all others."""
    return f'if [ "$run" = {run} ]; then {deed}; fi; {WORKS}'


def first_time_only(toy: Experiment, deed: str) -> str:
    return f"if mkdir {toy.pytester.path}/once 2> /dev/null; then {deed}; fi"


def no_agent_is_alive(toy: Experiment) -> bool:
    return not any(alive(pid) for pid in toy.pids)


def test_a_killed_worker_costs_one_run_which_is_executed_again(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    toy.write_agent(only(A, first_time_only(toy, KILLS_ITS_WORKER)))
    result = toy.run(*TWO_WORKERS, "-v")
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*LOST, RUN AGAIN*{toy.node(A)}*"])
    assert toy.executions == {A: 2, B: 1, HEIR: 1}
    assert toy.verdicts() == dict.fromkeys(ALL, 1.0)
    wait_until(lambda: no_agent_is_alive(toy))
    toy.run(*TWO_WORKERS).assert_outcomes(passed=3)
    assert toy.executions.total() == 4


def test_a_run_that_kills_its_worker_three_times_is_given_up(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers=TIERS, agent=only(A, KILLS_ITS_WORKER))
    result = toy.run(*TWO_WORKERS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*for the third time: given up*"])
    assert toy.executions == {A: 3, B: 1, HEIR: 1}
    assert toy.verdicts() == {B: 1.0, HEIR: 1.0}
    error = read(toy.path(A) / "error.json")
    assert error["kind"] == "lost"
    summary = read(toy.path("report.json"))["summary"]
    assert (summary["total_runs"], summary["errors"], summary["mean_score"]) == (3, 1, 1.0)
    wait_until(lambda: no_agent_is_alive(toy))


def test_a_worker_that_may_not_be_replaced_does_not_end_green(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers=TIERS, agent=only(A, KILLS_ITS_WORKER))
    result = toy.run("-p", "xdist", "-n", "1", "--max-worker-restart=0")
    assert result.ret not in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert toy.executions[A] == 1


@contextmanager
def session_in_the_middle(toy: Experiment, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session in which T0/00-a has its verdict and T0/01-b is being worked on.

    The agent of T0/01-b works until there is a file `open`.
    """
    gate = toy.pytester.path / "open"
    toy.write_agent(only(B, f"while [ ! -e {gate} ]; do sleep 0.05; done"))
    process = start_pytest(toy.pytester, toy.file, *args)
    try:
        wait_until(lambda: B in toy.executions and (toy.path(A) / "run_result.json").exists())
        yield process
        process.wait(60)
    finally:
        signal_group(process, signal.SIGKILL)
        process.wait()
        gate.touch()


@MODES
def test_a_killed_session_goes_on_with_the_same_command(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    with session_in_the_middle(toy, *mode) as session:
        signal_group(session, signal.SIGKILL)
    wait_until(lambda: no_agent_is_alive(toy))
    result = toy.run(*mode)
    result.assert_outcomes(passed=3)
    assert toy.executions == {A: 1, B: 2, HEIR: 1}
    assert toy.verdicts() == dict.fromkeys(ALL, 1.0)


@MODES
def test_after_a_kill_lf_takes_up_the_unfinished_runs(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    pytester.makefile(".ini", pytest="[pytest]\ntestpaths = tests\n")
    pytester.mkdir("tests")
    toy = Experiment(pytester, tiers=TIERS)
    with session_in_the_middle(toy, *mode) as session:
        signal_group(session, signal.SIGKILL)
    assert run_pytest(pytester, "--lf", *mode).ret == 0
    assert toy.verdicts() == dict.fromkeys(ALL, 1.0)
    assert toy.executions == {A: 1, B: 2, HEIR: 1}


@MODES
def test_ctrl_c_leaves_no_agent_alive_and_the_next_session_goes_on(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    with session_in_the_middle(toy, *mode) as session:
        signal_group(session, signal.SIGINT)
    assert no_agent_is_alive(toy)
    said = (pytester.path / "session.log").read_text()
    assert "Interrupted" in said or "KeyboardInterrupt" in said
    assert "2 of 3 runs did not finish" in said
    toy.run(*mode).assert_outcomes(passed=3)
    assert toy.executions == {A: 1, B: 2, HEIR: 1}


STUBBORN = "trap '' TERM INT; echo begun; echo half > half.txt; while :; do sleep 0.05; done"
"""An agent that has changed something, and does not want to end."""

LEFT_ALONE = (
    "setsid /bin/sh -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done' & "
    'echo "x $!" >> {log}; '
)
"""Starts a program in a session of its own, as Claude Code's Bash tool does."""


def stopped(toy: Experiment, *mode: str, deed: str = STUBBORN) -> subprocess.Popen[bytes]:
    """A session in which T0/00-a has its verdict and T0/01-b works on `deed`, this once."""
    toy.write_agent(only(B, first_time_only(toy, deed)))
    process = start_pytest(toy.pytester, toy.file, *mode)
    half, verdict = f"{B}/workspace/half.txt", f"{A}/run_result.json"
    wait_until(lambda: toy.exists(half) and toy.exists(verdict))
    return process


@pytest.mark.parametrize("mode", [NO_XDIST, TWO_WORKERS], ids=["no-xdist", "n2"])
def test_ctrl_c_keeps_the_evidence_of_an_agent_that_does_not_want_to_end(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    session = stopped(toy, *mode, deed=LEFT_ALONE.format(log=toy.log) + STUBBORN)
    agents, began = toy.pids, time.monotonic()
    assert len(agents) == 3
    # Only the session's own process hears of it: its workers learn from it.
    session.send_signal(signal.SIGTERM if mode == NO_XDIST else signal.SIGINT)
    wait_until(lambda: no_agent_is_alive(toy))
    took = time.monotonic() - began
    session.wait(60)
    assert took < 5 * SLACK
    assert session.returncode == pytest.ExitCode.INTERRUPTED
    said = (pytester.path / "session.log").read_text()
    assert "2 of 3 runs did not finish; rerun the same command to resume" in said
    agent = toy.path(B) / "agent"
    assert read(agent / "started.json").keys() == {"at", "pid", "cut_off_at"}
    assert (agent / "stdout.log").read_text() == "begun\n"
    assert "+half" in (agent / "changes.patch").read_text()
    assert not (agent / "result.json").exists()
    assert not (toy.path(B) / "error.json").exists()
    toy.run(*mode, "--scylla-status=failed").assert_outcomes(passed=1)
    attempt = toy.path(B) / "attempts" / "attempt_01" / "agent"
    assert (attempt / "stdout.log").read_text() == "begun\n"


@MODES
def test_a_second_ctrl_c_stops_at_once(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    session = stopped(toy, *mode)
    signal_group(session, signal.SIGINT)
    time.sleep(0.3)  # a person
    signal_group(session, signal.SIGINT)
    began = time.monotonic()
    session.wait(60)
    assert time.monotonic() - began < 2 * SLACK
    wait_until(lambda: no_agent_is_alive(toy))
    toy.run(*mode).assert_outcomes(passed=3)
    assert toy.executions[A] == 1


def test_a_terminal_that_closes_takes_everything_along(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    session = stopped(toy, *TWO_WORKERS, deed=LEFT_ALONE.format(log=toy.log) + STUBBORN)
    signal_group(session, signal.SIGHUP)
    session.wait(60)
    wait_until(lambda: no_agent_is_alive(toy))
    assert "cut_off_at" in read(toy.path(B) / "agent" / "started.json")


def test_the_reaper_ends_what_a_killed_session_leaves_in_sessions_of_its_own(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    session = stopped(toy, *TWO_WORKERS, deed=LEFT_ALONE.format(log=toy.log) + STUBBORN)
    homes = scratch_of(toy)
    signal_group(session, signal.SIGKILL)
    session.wait()
    wait_until(lambda: no_agent_is_alive(toy))
    assert not (toy.path(B) / "agent" / "result.json").exists()
    toy.run(*TWO_WORKERS).assert_outcomes(passed=3)
    assert not any(path.exists() for path in homes)
    assert toy.executions[A] == 1


def scratch_of(toy: Experiment) -> list[Path]:
    """The HOME of the agent that works."""
    environ = Path(f"/proc/{toy.pids[-2]}/environ").read_bytes().split(b"\0")
    (home,) = [Path(v[5:].decode()) for v in environ if v.startswith(b"HOME=")]
    assert home.name.startswith("home-")
    assert home.is_dir()
    return [home]


def test_a_controller_that_is_killed_takes_its_agents_along(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    with session_in_the_middle(toy, *TWO_WORKERS) as session:
        session.kill()
        wait_until(lambda: no_agent_is_alive(toy))
    toy.run(*TWO_WORKERS).assert_outcomes(passed=3)
    assert toy.executions[A] == toy.executions[HEIR] == 1


MANY = {"T0": {f"{number:02}": claude_md(f"B{number:02}") for number in range(5)}}


@pytest.mark.parametrize(
    ("option", "mode"),
    [("-x", IN_PROCESS), ("-x", TWO_WORKERS), ("--maxfail=2", TWO_WORKERS)],
    ids=["x-n0", "x-n2", "maxfail-n2"],
)
def test_after_the_last_failure_that_is_allowed_no_further_agent_starts(
    pytester: pytest.Pytester, mode: tuple[str, ...], option: str
) -> None:
    toy = Experiment(pytester, tiers=MANY, agent="echo nothing")
    result = toy.run(*mode, option)
    workers, failures = (2 if mode == TWO_WORKERS else 1), (1 if option == "-x" else 2)
    assert result.ret != 0
    assert failures <= toy.executions.total() <= failures + workers
    result.stdout.fnmatch_lines(["* of 5 runs did not finish; rerun the same command to resume"])
    before = Counter(toy.executions)
    toy.run(*mode).assert_outcomes(failed=5)
    assert toy.executions == once_each(*(f"T0/{number:02}/run_01" for number in range(5)))
    assert before <= toy.executions


def test_after_x_the_agents_of_other_workers_finish_what_was_paid_for(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester, tiers=TIERS)
    verdict = f"$(dirname $0)/../../results/*-toy/{A}/run_result.json"
    toy.write_agent(
        f"case $run in {A}) until grep -q {B} {toy.log}; do sleep 0.05; done; exit 0;;\n"
        f"{B}) until ls {verdict} 2> /dev/null; do sleep 0.05; done; sleep 0.5;; esac\n{WORKS}"
    )
    result = toy.run(*TWO_WORKERS, "-x")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["1 of 3 runs did not finish; rerun the same command to resume"])
    assert toy.executions == {A: 1, B: 1}
    assert toy.verdicts() == {A: 0.0, B: 1.0}
    assert no_agent_is_alive(toy)


def test_a_second_session_is_refused_and_changes_nothing(pytester: pytest.Pytester) -> None:
    toy, other = Experiment(pytester, tiers=TIERS), Experiment(pytester, "other")
    with session_in_the_middle(toy, *TWO_WORKERS) as session:
        wait_until((toy.path(A) / "report.md").exists)
        before = snapshot(toy.results)
        refused = toy.run(*TWO_WORKERS)
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines(f"*in use by another session (process {session.pid} on *")
        assert snapshot(toy.results) == before
        other.run(*IN_PROCESS).assert_outcomes(passed=1)
        signal_group(session, signal.SIGKILL)
    assert list((pytester.path / "results" / ".locks").glob("*-toy.json"))
    toy.run(*TWO_WORKERS).assert_outcomes(passed=3)
    assert not (pytester.path / "results" / ".locks").exists()
