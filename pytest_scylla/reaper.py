"""A small process that outlives a killed session just long enough to end what it left behind.

A program gets a signal when its worker dies, but what it has started in sessions of their own
(Claude Code's Bash tool does that) hears nothing. The reaper reads from a pipe that only the
session's own process holds open: its end means that this process is gone, whatever killed it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .processes import sweep_session

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: workers store evidence in the meantime."""

_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from pytest_scylla import reaper; reaper.main(sys.argv[2])"  # noqa: E501


class Reaper:
    """The reaper of a session; there until `dismiss`."""

    def __init__(self, session: str) -> None:
        package = Path(__file__).parent.parent
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _MAIN, str(package), session],
            cwd="/",
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The session ends by itself: nothing is left to end."""
        self._process.kill()
        self._process.communicate()


def main(session: str) -> None:
    """Wait for the end of standard input; then end everything below the session."""
    sys.stdin.read()
    while sweep_session(session, GRACE):
        pass
