"""A plugin of pytest, for every pytest that a check starts: how each test went, signed with a
number that nobody knows in advance.

The numbers are lines of a file. A pytest takes one, and wipes it out, before it imports any test;
it signs its record with it. A session that was ended from within has a number and no record.
"""

from __future__ import annotations

import os
import sys

MYPY = False
if MYPY:  # without the time that it takes to import typing
    from typing import Any

WORKSPACE = os.path.realpath(os.environ.get("SCYLLA_WORKSPACE", os.sep))
LINE = 33
"""Bytes of a number in the file, with the end of the line."""


def last(hook: Any) -> Any:
    """Call this implementation after all others."""
    hook.pytest_impl = {"trylast": True}
    return hook


def first(hook: Any) -> Any:
    """Call this implementation before all others."""
    hook.pytest_impl = {"tryfirst": True}
    return hook


def inside(place: Any) -> bool:
    """Whether a file, or an entry of sys.path, lies in the workspace."""
    path = os.path.realpath(str(place) or os.curdir)
    return path == WORKSPACE or path.startswith(WORKSPACE + os.sep)


class Outcomes:
    """Of one session of pytest."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.leave = os._exit
        self.slot = self._claim()
        self.number = self._take()
        self.tests: dict[str, str] = {}
        self.exit_code: int | None = None

    def _claim(self) -> int:
        slot = 0
        while True:
            try:
                taken = os.path.join(self.folder, f"taken-{slot}")
                os.close(os.open(taken, os.O_CREAT | os.O_EXCL))
                return slot
            except FileExistsError:
                slot += 1

    def _take(self) -> str:
        with open(os.path.join(self.folder, "numbers"), "r+b") as file:
            file.seek(self.slot * LINE)
            number = file.read(LINE - 1)
            file.seek(self.slot * LINE)
            file.write(b" " * len(number))
        if not number.strip():
            raise RuntimeError("too many sessions of pytest in one check")
        return number.decode()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test that failed in any phase has failed."""
        if self.tests.get(report.nodeid) == "failed":
            return
        if report.when == "call" or report.outcome != "passed":
            self.tests[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be imported has failed."""
        if report.outcome == "failed":
            self.tests[report.nodeid] = "failed"

    @first
    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """The work cannot skip the tests that look at it."""
        if call.excinfo is None or inside(item.path):
            return
        name = type(call.excinfo.value).__name__
        if name in ("Skipped", "XFailed") and any(
            inside(entry.path) for entry in call.excinfo.traceback
        ):
            try:
                raise RuntimeError(f"the work raised {name} in a test")
            except RuntimeError as error:
                call.excinfo = type(call.excinfo).from_exception(error)

    @last
    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        """A session that did not come to the end of its tests, or in which none passed, is no
        success."""
        import json

        through = sum(1 for name in self.tests if "::" in name)
        passed = "passed" in self.tests.values() or not session.testscollected
        if exitstatus == 0 and (through < session.testscollected or not passed):
            session.exitstatus = exitstatus = 1
        self.exit_code = int(exitstatus)
        record = {"number": self.number, "exit_code": self.exit_code, "tests": self.tests}
        with open(os.path.join(self.folder, f"record-{self.slot}"), "w") as file:
            json.dump(record, file)

    @last
    def pytest_unconfigure(self) -> None:
        """End here: what the work left to be done at the exit has no say."""
        program = os.path.basename(sys.argv[0])
        if self.exit_code is not None and program in ("pytest", "py.test", "__main__.py"):
            sys.stdout.flush()
            sys.stderr.flush()
            self.leave(self.exit_code)


def pytest_addoption() -> None:
    """At once: plugins are looked for outside the workspace first."""
    sys.path.sort(key=inside)


@first
def pytest_configure(config: Any) -> None:
    """For the first pytest of a process tree alone: its tests may start others."""
    folder = os.environ.pop("SCYLLA_OUTCOMES", "")
    for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        os.environ.pop(name, None)
    if folder:
        config.pluginmanager.register(Outcomes(folder), "scylla-outcomes")
