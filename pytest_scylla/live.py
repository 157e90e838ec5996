"""What a session is doing: a line for every finished run, and on a terminal a status area below.

Only in the process that the user started. The status area is drawn by a thread, which reads files
and changes nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from .collection import SESSION
from .columns import counted, shortened
from .reporting import facts_of
from .rounding import rounded

if TYPE_CHECKING:
    from rich.live import Live as Drawn

    from .providers import State
    from .recorder import Recorder

INTERVAL = 1.0
"""Seconds between two drawings."""

OUTCOMES = ("passed", "failed", "skipped")
CATEGORIES = {"XFAIL": "xfailed", "XPASS": "xpassed"}
"""Words -> what pytest counts them under, where it is not the word itself."""

BESIDE = 9
"""Characters at the end of a line that pytest keeps for ` [100%]`."""

MOST_LINES = 9
"""Lines of runs in the status area; more are counted."""


def line_of(name: str, outcome: str, facts: Mapping[str, Any], width: int | None = None) -> str:
    """A finished run in one line: verdict, score, cost, tokens, seconds, turns, cached or not.

    Where that is more than `width` characters, turns, seconds and tokens are left out, in this
    order, and what is still too long is cut.
    """
    parts = [name, outcome]
    if facts.get("score") is not None:
        parts.append(f"score {rounded(facts['score'], 3)} ({facts['grade']})")
        cost = facts.get("cost_usd")
        parts.append("cost unknown" if cost is None else f"${rounded(cost, 4)}")
        parts.append(f"{facts['tokens_total']:,} tokens")
        parts.append(f"{rounded(facts['duration_seconds'], 1)} s")
        if facts.get("turns"):
            parts.append(counted(facts["turns"], "turn"))
        if facts.get("cached"):
            parts.append("cached")
    elif facts.get("error") or facts.get("skipped"):
        parts.append(facts.get("error") or _brief(facts["skipped"]))
    for unit in ((" turn", " turns"), " s", " tokens"):
        if width is not None and len("  ".join(parts)) > width:
            parts = [part for part in parts if not part.endswith(unit)]
    line = "  ".join(parts)
    return line if width is None else shortened(line, max(width, 1))


def _brief(reason: str) -> str:
    """The first line of why a run was skipped, without which agent it was: the header says that."""
    return re.sub(r"\Aagent \S+: ", "", reason.partition("\n")[0])


@dataclass(frozen=True)
class Running:
    """A run that is under way."""

    name: str
    since: float
    """Seconds since the epoch."""
    usd: float | None = None
    """What it has cost so far, where its output shows that."""


@dataclass(frozen=True)
class Progress:
    """Where a session is."""

    running: Sequence[Running]
    done: int
    """Runs that were executed."""
    left: int
    """Runs to be executed that have not begun."""
    mean_seconds: float | None
    """How long an executed run took."""
    workers: int
    spent: float
    """USD of what is finished in this session."""
    budget: float | None
    waiting: Mapping[str, State] = field(default_factory=dict)
    """Providers that take no requests now."""


def status_lines(progress: Progress, now: float) -> list[str]:
    """The status area."""
    lines = [_head(progress, now)]
    for name, state in progress.waiting.items():
        until = datetime.fromtimestamp(state.paused_until).strftime("%H:%M:%S")
        left = state.paused_until - now
        lines.append(f"  {name} answered {state.status}: waiting until {until} ({left:.0f} s)")
    for run in progress.running[:MOST_LINES]:
        cost = "" if run.usd is None else f"  ${run.usd:.4f}"
        lines.append(f"  {run.name}  {_clock(now - run.since)}{cost}")
    more = len(progress.running) - MOST_LINES
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _head(progress: Progress, now: float) -> str:
    spent = progress.spent + sum(run.usd or 0.0 for run in progress.running)
    money = f"${spent:.4f}" + (f" of ${progress.budget:.2f}" if progress.budget else "")
    parts = [f"scylla: {len(progress.running)} running, {progress.done} done, {progress.left} left"]
    parts += [money, f"ETA {_clock(eta)}"] if (eta := _eta(progress, now)) is not None else [money]
    return "  ".join(parts)


def _eta(progress: Progress, now: float) -> float | None:
    """Seconds until the last run ends, if all take as long as those that are finished."""
    mean = progress.mean_seconds
    if mean is None:
        return None
    begun = sum(max(mean - (now - run.since), 0.0) for run in progress.running)
    return (begun + mean * progress.left) / max(progress.workers, 1)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Live:
    """Hooks and the drawing thread."""

    def __init__(self, config: pytest.Config, recorder: Recorder, area: bool) -> None:
        self.config, self.recorder = config, recorder
        self.begun: dict[str, float] = {}
        """Node id -> when it began (seconds since the epoch), of runs under way."""
        self.seconds: list[float] = []
        self.spent = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._area: _Area | None = None
        # The terminal, also while pytest captures what goes to it.
        self._screen = os.dup(1) if area else None

    # -- lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> Any:
        """No letter for a run: it gets a line."""
        if self.config.get_verbosity() == 0 and facts_of(report) and report.outcome in OUTCOMES:
            word = _outcome(report)
            return CATEGORIES.get(word, word.lower()), "", word
        return None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A run begins."""
        if self.recorder.is_run(nodeid):
            self.begun[nodeid] = time.time()
            self._draw()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A run is through."""
        facts = facts_of(report)
        if not facts:
            return
        since = self.begun.pop(report.nodeid, None)
        if since is not None and not report.skipped and not facts.get("cached"):
            self.seconds.append(time.time() - since)
            self.spent += facts.get("cost_usd") or 0.0
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if self.config.get_verbosity() == 0 and terminal:
            outcome = _outcome(report)
            line = line_of(self.recorder.name(report.nodeid), outcome, facts, self._width)
            # Not a line of its own for pytest, which would name the file again before the next.
            begun = self.config.get_terminal_writer().width_of_current_line
            terminal.write("\n" * bool(begun) + line, **_colour(outcome))

    @property
    def _width(self) -> int | None:
        """Of a line above the status area: it must not be broken, and pytest adds how far it is."""
        return None if self._screen is None else shutil.get_terminal_size().columns - BESIDE

    # -- the status area

    def progress(self) -> Progress:
        """Where the session is now."""
        from .providers import states

        session, now = self.config.stash[SESSION], time.time()
        begun, through = dict(self.begun), self.recorder.reported
        return Progress(
            running=[
                Running(self.recorder.name(id), since, self._cost(id))
                for id, since in begun.items()
            ],
            done=len(self.seconds),
            left=sum(1 for id in self.recorder.todo if id not in begun and id not in through),
            mean_seconds=sum(self.seconds) / len(self.seconds) if self.seconds else None,
            workers=int(self.config.getoption("numprocesses", None) or 1),
            spent=self.spent,
            budget=session.budget,
            waiting={
                name: state
                for name, state in states(session.own_files / "providers").items()
                if state.paused_until > now
            },
        )

    def _cost(self, nodeid: str) -> float | None:
        from .history import cost_so_far

        return cost_so_far(self.recorder.place(nodeid))

    def _draw(self) -> None:
        if self._screen is not None and self._thread is None:
            self._area = _Area(self._screen, self.config.get_terminal_writer())
            self._thread = threading.Thread(
                target=self._keep_drawing, args=(self._area,), daemon=True
            )
            self._thread.start()

    def _keep_drawing(self, area: _Area) -> None:
        while not self._stop.wait(INTERVAL):
            area.show(status_lines(self.progress(), time.time()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """The area goes away before the summary is printed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._area is not None:
            self._area.close()
            self._area = None


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "XFAIL" if report.skipped else "XPASS"
    return "ERROR" if report.failed and report.when != "call" else report.outcome.upper()


def _colour(outcome: str) -> dict[str, bool]:
    colours = {"PASSED": "green", "FAILED": "red", "ERROR": "red"}
    return {colours.get(outcome, "yellow"): True}


class _Area:
    """Lines below all that is written to a terminal. It is taken away before each write, and drawn
    again after it; the terminal is asked nothing, so nothing of it is answered into a shell.
    """

    def __init__(self, screen: int, writer: Any) -> None:
        from rich.console import Console

        self._writer, self._file = writer, writer._file
        self._screen = screen
        stream = os.fdopen(screen, "w")
        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._drawn: Drawn | None = None
        self._lines: Sequence[str] = ()
        self._lock = threading.RLock()
        self._column: int = writer.width_of_current_line
        """Of the line that was begun above the area."""
        writer._file = self

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines in the place of those before."""
        with self._lock:
            self._hide()
            self._lines = lines
            self._show()

    def write(self, text: str) -> int:
        """Write above the area, in the place of the file that the terminal's writer had."""
        with self._lock:
            self._hide()
            try:
                return int(self._file.write(text))
            finally:
                self._file.flush()
                self._written(text)
                self._show()

    def close(self) -> None:
        """Take the area away for good."""
        with self._lock:
            self._hide()
            self._writer._file = self._file
            self._lines = ()
            self._console.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _written(self, text: str) -> None:
        """Where the line is that was begun: the area starts below it."""
        begun = text.rpartition("\n")[2].rpartition("\r")[2]
        at_start = 0 if "\n" in text or "\r" in text else self._column
        self._column = at_start + _width(begun)

    def _show(self) -> None:
        from rich.live import Live as Drawn
        from rich.text import Text

        self._console.size = os.get_terminal_size(self._screen)
        rows = self._console.height
        lines = self._lines[: rows // 2]
        if not lines:
            return
        if self._column:
            self._console.file.write("\n")
        shown = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
        self._drawn = Drawn(
            Text("\n", no_wrap=True, overflow="ellipsis").join(shown),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._drawn.start(refresh=True)
        self._console.show_cursor(True)  # a killed session leaves it as it is

    def _hide(self) -> None:
        from rich.control import Control

        if self._drawn is None:
            return
        self._drawn.stop()
        self._drawn = None
        if self._column:
            column = self._column % self._console.width
            self._console.control(Control.move_to_column(column, -1))
        self._console.file.flush()


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(_ESCAPES.sub("", text))


_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
"""Colours, which take no room."""


def wants_area(config: pytest.Config) -> bool:
    """A status area makes sense: a terminal that is watched, and may be drawn on (what draws here
    does without all that a terminal can do where NO_COLOR is set)."""
    stdout = sys.__stdout__
    watched = stdout is not None and stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    watched = watched and not os.environ.get("NO_COLOR")
    usual = config.getoption("capture") != "no" and config.get_verbosity() >= 0
    return watched and usual and config.getoption("scylla_live") == "auto" and not _in_ci()


def _in_ci() -> bool:
    return bool(os.environ.get("CI"))
