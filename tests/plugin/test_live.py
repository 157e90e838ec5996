"""What a user sees of runs while a session lasts: lines, and on a terminal a status area."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import time

import pytest

from pytest_scylla.live import MOST_LINES, Progress, Running, line_of, status_lines
from pytest_scylla.providers import State
from tests.support.experiments import MODES, Experiment, claude_md, command

USAGE = (
    '{"result": "done", "usage": {"output_tokens": 1200}, "total_cost_usd": 0.25, "num_turns": 3}'
)
TIERS = {
    "T0": {"00-good": claude_md("B01"), "01-bad": claude_md("B02")},
    "T1": {"00-broken": {}, "01-hard": {"frontier": True, **claude_md("B03")}},
}
AGENT = f"""
case $run in *good*) echo done > answer.txt ;; *broken*) exit 3 ;; esac
echo '{USAGE}'
"""


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """A run of every outcome."""
    return Experiment(pytester, agent=AGENT, tiers=TIERS)


@MODES
def test_a_finished_run_is_a_line(toy: Experiment, mode: tuple[str, ...]) -> None:
    result = toy.run(*mode)
    result.assert_outcomes(passed=1, failed=1, errors=1, xfailed=1)
    figures = r"score {} \({}\)  \$0\.2500  1,200 tokens  \d+\.\d s  3 turns"
    lines = [
        r"T0/00-good/run_01  PASSED  " + figures.format("1.000", "S"),
        r"T0/01-bad/run_01  FAILED  " + figures.format("0.000", "F"),
        r"T1/00-broken/run_01  ERROR  crash",
        r"T1/01-hard/run_01  XFAIL  " + figures.format("0.000", "F"),
    ]
    for line in lines:
        result.stdout.re_match_lines([line + r"( +\[ *\d+%\])?$"])
    assert not re.search(r"run_01  .*\n\nT\d/", result.stdout.str()), "line by line"
    again = toy.run(*mode, "-k", "good")
    again.assert_outcomes(passed=1)
    again.stdout.re_match_lines(
        [r"T0/00-good/run_01  PASSED  score .* tokens  \d+\.\d s  cached( |$)"]
    )


def test_pytests_letters_stay_where_they_are_asked_for(toy: Experiment) -> None:
    for option in ("--scylla-live=no", "-q"):
        result = toy.run(option)
        assert "T0/00-good/run_01  PASSED" not in result.stdout.str()
        result.stdout.re_match_lines([r"(.*experiment\.yaml )?[.c]FEx +\["])


def on_a_terminal(toy: Experiment, *args: str, **env: str) -> str:
    """What a session writes to a terminal of 40 lines."""
    words = command(toy.file, *args, env={"TERM": "xterm-256color", "COLUMNS": "120", **env})
    child, screen = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.chdir(toy.pytester.path)
        os.environ.pop("CI", None)
        os.execvp(words[0], words)
    written = b""
    while True:
        try:
            data = os.read(screen, 65536)
        except OSError:
            break
        if not data:
            break
        written += data
    os.waitpid(child, 0)
    return written.decode("utf-8", "replace")


@MODES
def test_a_terminal_shows_what_is_under_way(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, agent=f"sleep 3; echo done > answer.txt; echo '{USAGE}'")
    shown = on_a_terminal(toy, *mode, "--scylla-budget", "5")
    assert re.search(r"scylla: 1 running, 0 done, 0 left  \$0\.0000 of \$5\.00", shown)
    assert re.search(r"  T0/00-empty/run_01  0:0[1-9]", shown)
    end = shown[shown.rindex("1 running") :]
    assert "\x1b[1;40r" in end, "the whole terminal scrolls again"
    assert end.partition("\x1b[1;40r")[0].count("\x1b[K") >= MOST_LINES, "the area is wiped out"
    assert "1 passed" in end
    assert "T0/00-empty/run_01  0:0" not in on_a_terminal(toy, *mode, "--scylla-live=no")
    plain = on_a_terminal(toy, *mode, NO_COLOR="1")
    assert "1 passed" in plain
    assert plain.count(" " * 100) < MOST_LINES, "nothing is drawn"


# -- pure ------------------------------------------------------------------------------------------

NOW = time.mktime((2026, 3, 2, 16, 0, 0, 0, 0, -1))


def progress(**changes: object) -> Progress:
    usual = {"running": [], "done": 0, "left": 0, "mean_seconds": None, "workers": 2, "spent": 0.0}
    return Progress(**{**usual, "budget": None, **changes})  # type: ignore[arg-type]


def test_the_area_says_who_is_waited_for_and_until_when() -> None:
    state = State(paused_until=NOW + 90, status=429)
    lines = status_lines(progress(waiting={"api.example.com": state}), NOW)
    assert lines[1] == "  api.example.com answered 429: waiting until 16:01:30 (90 s)"


def test_what_runs_have_cost_so_far_is_counted() -> None:
    running = [Running("a", NOW - 65, 0.5), Running("b", NOW - 3700)]
    lines = status_lines(progress(running=running, spent=1.0, budget=10.0), NOW)
    assert lines == [
        "scylla: 2 running, 0 done, 0 left  $1.5000 of $10.00",
        "  a  1:05  $0.5000",
        "  b  1:01:40",
    ]


def test_the_end_is_estimated_from_what_is_finished() -> None:
    running = [Running("a", NOW - 20), Running("b", NOW - 200)]
    head = status_lines(progress(running=running, done=3, left=4, mean_seconds=60.0), NOW)[0]
    assert head.endswith("ETA 2:20"), "(40 + 0 + 4 * 60) / 2"


def test_many_runs_are_counted() -> None:
    running = [Running(str(n), NOW) for n in range(64)]
    assert status_lines(progress(running=running), NOW)[-1] == "  and 55 more"


def test_what_nobody_knows_is_not_made_up() -> None:
    facts = {"score": 0.5, "grade": "C", "cost_usd": None, "tokens_total": 0,
             "duration_seconds": 1.0}  # fmt: skip
    assert "cost unknown" in line_of("f::T0::a::run_01", "PASSED", facts)


def test_a_line_that_a_terminal_would_break_is_shorter() -> None:
    facts = {"score": 0.5, "grade": "C", "cost_usd": 0.25, "tokens_total": 1200,
             "duration_seconds": 2.1, "turns": 3, "cached": True}  # fmt: skip
    whole = line_of("f::T0::a::run_01", "PASSED", facts)
    assert whole.endswith("$0.2500  1,200 tokens  2.1 s  3 turns  cached")
    for width in range(40, len(whole) + 1):
        line = line_of("f::T0::a::run_01", "PASSED", facts, width)
        assert line.startswith("T0/a/run_01  PASSED  score 0.500 (C)  $0.2500")
        assert line.endswith("cached")
        assert len(line) <= max(width, 53)
    assert line == whole
