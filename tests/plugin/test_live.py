"""What a user sees of runs while a session lasts: lines, and on a terminal a status area."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_scylla.live import Progress, Running, line_of, status_lines
from pytest_scylla.providers import State
from tests.support.experiments import (
    MODES,
    Experiment,
    claude_md,
    command,
    run_pytest,
    wait_until,
)

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


# -- in a terminal that answers --------------------------------------------------------------------


class Terminal:
    """A shell in tmux, which answers what programs ask a terminal."""

    def __init__(self, folder: Path, columns: int, lines: int) -> None:
        self.socket = folder / "tmux"
        size = ["-x", str(columns), "-y", str(lines)]
        shell = "env -u CI -u NO_COLOR PS1='$ ' sh"
        self.tmux("-f", os.devnull, "new-session", "-d", *size, shell)
        self.tmux("set-option", "history-limit", "10000")

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    def type(self, text: str, *keys: str) -> None:
        """Type a text, and press keys by their names."""
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", *keys)

    @property
    def shown(self) -> str:
        """All that was shown, what has scrolled out included."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-5000")

    @property
    def cursor(self) -> str:
        return self.tmux("display-message", "-p", "#{cursor_flag} #{cursor_x}").strip()

    def run(self, toy: Experiment, *args: str) -> None:
        """Start a session; its end is seen by the word that the shell then says."""
        variables = {"TERM": "screen-256color"}
        words = shlex.join(command(toy.file, *args, env=variables))
        self.type(f"cd {toy.pytester.path}; clear; {words}; echo over-$?", "Enter")

    def wait_for(self, pattern: str) -> str:
        """Wait until something is shown."""
        wait_until(lambda: re.search(pattern, self.shown, re.M))
        return self.shown


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Callable[[int, int], Terminal]]:
    opened: list[Terminal] = []

    def open_one(columns: int, lines: int) -> Terminal:
        place = tmp_path / str(len(opened))
        place.mkdir()
        opened.append(Terminal(place, columns, lines))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.tmux("kill-server")


def check_left_alone(terminal: Terminal) -> None:
    """Nothing was typed into the shell that the user did not type."""
    terminal.type("echo he''llo", "Enter")
    shown = terminal.wait_for("^hello$")
    assert shown.rstrip().endswith("$ echo he''llo\nhello\n$"), shown
    assert terminal.cursor.startswith("1 "), "the cursor can be seen"
    assert "^[" not in shown
    assert ";" not in shown.partition("over-")[2]


SIZES = {"80x24": (80, 24, "-n", "4"), "100x30": (100, 30, "-n", "0"), "40x10": (40, 10, "-n", "2")}


@pytest.mark.parametrize(("columns", "lines", "option", "value"), SIZES.values(), ids=SIZES)
def test_a_terminal_shows_what_is_under_way_and_is_left_as_it_was(
    pytester: pytest.Pytester,
    terminals: Callable[[int, int], Terminal],
    columns: int,
    lines: int,
    option: str,
    value: str,
) -> None:
    gate = pytester.path / "gate"
    agent = f"case $run in *04) while ! test -e {gate}; do sleep 0.05; done;; esac"
    toy = Experiment(pytester, agent=f"{agent}\necho done > answer.txt; echo '{USAGE}'", runs=4)
    terminal = terminals(columns, lines)
    terminal.run(toy, "-p", "xdist", option, value, "--scylla-budget", "5")
    under_way = terminal.wait_for(r"^scylla: 1 running, 3 done, 0 left  \$0\.")
    assert re.search(r"^  T0/00-empty/run_04  0:", under_way, re.M)
    area = under_way.index("scylla: 1 running")
    finished = [under_way.index(f"T0/00-empty/run_0{n}  PASSED") for n in (1, 2, 3)]
    assert max(finished) < area, "finished runs stand above"
    assert "^[" not in under_way
    gate.touch()
    end = terminal.wait_for("^over-0$")
    assert "running" not in end, "the area is gone"
    for number in range(1, 5):
        assert end.count(f"run_0{number}  PASSED") == 1
    begun = end[end.index("plugins:") : end.index("over-0")]
    assert "\n\n\n" not in begun
    if columns >= 80:
        wrapped = [line for line in begun.splitlines() if len(line) > columns]
        assert wrapped == [], "no line is broken"
    assert re.search(r"^T0 .* 00-empty$", end, re.M), "the closing table"
    check_left_alone(terminal)


@pytest.mark.parametrize("workers", ["0", "4"])
def test_ctrl_c_leaves_the_terminal_as_it_was(
    pytester: pytest.Pytester, terminals: Callable[[int, int], Terminal], workers: str
) -> None:
    toy = Experiment(pytester, agent="sleep 60", runs=2)
    terminal = terminals(80, 24)
    terminal.run(toy, "-p", "xdist", "-n", workers)
    terminal.wait_for(r"^scylla: \d running")
    terminal.tmux("send-keys", "C-c")
    end = terminal.wait_for("^over-2$")
    assert "2 of 2 runs did not finish; rerun the same command to resume" in end
    assert "running" not in end
    check_left_alone(terminal)


def test_no_area_where_it_is_not_wanted(
    pytester: pytest.Pytester, terminals: Callable[[int, int], Terminal]
) -> None:
    toy = Experiment(pytester, agent=f"sleep 2; echo done > answer.txt; echo '{USAGE}'")
    terminal = terminals(80, 24)
    for wish in ("--scylla-live=no", "-s"):
        terminal.run(toy, wish, "--scylla-fresh")
        assert "running" not in terminal.wait_for("^over-0$")
        terminal.type("clear", "Enter")
        terminal.tmux("clear-history")


def test_tables_of_long_names_fit_a_terminal_of_80_columns(
    pytester: pytest.Pytester, terminals: Callable[[int, int], Terminal]
) -> None:
    """The closing table, the dry run's, and the plan's; figures are never cut."""
    names = {f"0{n}-a-name-that-is-rather-long-for-a-set-up-{n}": claude_md("B01") for n in (1, 2)}
    tiers = {"T0": names, "a-tier-with-a-long-name": {"00-x": {}, "01-broken": {}}}
    toy = Experiment(pytester, agent=AGENT, tiers=tiers, runs=2)
    terminal = terminals(80, 60)
    for args in ((), ("--collect-only", "-q", "--scylla-plan")):
        terminal.run(toy, *args)
        shown = terminal.wait_for("^over-[01]$")
        table = shown[shown.index("= scylla") :]
        ours = [ln for ln in table.splitlines() if not ln.startswith(("FAILED", "ERROR", "exp"))]
        assert [line for line in ours if len(line) > 80] == []
        terminal.type("clear", "Enter")
        terminal.tmux("clear-history")


@MODES
def test_a_skipped_run_says_why(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    keyed = Experiment(pytester, "keyed")
    keyed.configure(agent={**keyed.settings["agent"], "pass_env": ["A_KEY_THAT_IS_NOT_SET"]})
    Experiment(pytester, "toy")
    result = run_pytest(
        pytester, "experiments", *mode, "-p", "html", "-p", "html_fixtures", "-p", "metadata",
        "--html=report.html", "--self-contained-html",
    )  # fmt: skip
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.re_match_lines(
        [r"keyed T0/00-empty/run_01  SKIPPED  A_KEY_THAT_IS_NOT_SET is not set"]
    )
    result.stdout.re_match_lines([r"toy T0/00-empty/run_01  PASSED  score 1\.000"])
    heads = [line for line in result.outlines if line.startswith("scylla: results/")]
    assert len(heads) == 2, "a line for each experiment"
    page = (pytester.path / "report.html").read_text()
    assert "A_KEY_THAT_IS_NOT_SET is not set" in page
    assert "experiment.yaml&#x27;, 0" not in page
    assert "experiment.yaml', 0" not in page


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
    assert "cost unknown" in line_of("T0/a/run_01", "PASSED", facts)


def test_a_line_that_a_terminal_would_break_is_shorter() -> None:
    facts = {"score": 0.5, "grade": "C", "cost_usd": 0.25, "tokens_total": 1200,
             "duration_seconds": 2.1, "turns": 3, "cached": True}  # fmt: skip
    whole = line_of("T0/a/run_01", "PASSED", facts)
    assert whole.endswith("$0.2500  1,200 tokens  2.1 s  3 turns  cached")
    for width in range(40, len(whole) + 1):
        line = line_of("T0/a/run_01", "PASSED", facts, width)
        assert line.startswith("T0/a/run_01  PASSED  score 0.500 (C)  $")
        assert line.endswith(("cached", "…"))
        assert len(line) <= width
    assert line == whole
