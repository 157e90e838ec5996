"""What stops a session from outside: Ctrl-C, a CI that cancels it, a terminal that closes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from .processes import sweep

STOPS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that act as Ctrl-C does, where nobody else has said what they mean."""


def heed() -> None:
    """Let SIGTERM and SIGHUP stop this process as Ctrl-C does (nohup still ignores SIGHUP)."""
    if threading.current_thread() is threading.main_thread():
        for number in STOPS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)


def unheed() -> None:
    """Undo `heed`."""
    for number in STOPS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def stop_at_once_next_time(results: Sequence[Path]) -> Callable[[], None]:
    """From now on Ctrl-C kills the agents of these results directories and ends the process.

    Returns what undoes it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        os.write(2, b"\nscylla: stopped at once; the same command goes on with what is missing\n")
        for path in results:
            sweep(path, grace=0)
        os._exit(2)

    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, *STOPS)}

    def undo() -> None:
        for number, handler in kept.items():
            signal.signal(number, handler)

    return undo
