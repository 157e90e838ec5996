"""One session at a time for a results directory, and the end of what dead sessions left behind."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import ScyllaError
from .processes import alive, sweep
from .store import clean_temporary, now, read_json, write_json, write_text

FOLDER = ".locks"


class Tenancy:
    """Holds a results directory for this session. The lock protects every file below it.

    It is the operating system's: a session that was killed holds nothing.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        folder = results.parent / FOLDER
        self._lock = FileLock(folder / f"{results.name}.lock")
        self._owner = folder / f"{results.name}.json"
        self._made_root = False
        """The results root was not there: where it stays empty, it goes away again."""

    def take(self) -> None:
        """Hold the directory, and end the processes that a dead session left in it.

        Raises ScyllaError with the holder's process id and host, where another session has it.
        """
        try:
            self._make_folders()
            self._lock.acquire(timeout=0)
            was_killed = self._owner.exists()
            self._say({"pid": os.getpid(), "host": socket.gethostname(), "since": now()})
        except Timeout:
            raise ScyllaError(self._taken()) from None
        except (OSError, NotImplementedError) as error:
            self._lock.release()
            why = getattr(error, "strerror", None) or "its file system has no locks"
            raise ScyllaError(
                f"cannot write to {self.results.parent}: {why}\n"
                "  next: make room or make it writable, or name another place (--scylla-results)"
            ) from None
        if self.results.is_dir():
            sweep(self.results)
            if was_killed:
                clean_temporary(self.results)

    def _make_folders(self) -> None:
        self._made_root = not self.results.parent.exists()
        self._owner.parent.mkdir(parents=True, exist_ok=True)

    def _say(self, owner: dict[str, Any]) -> None:
        write_json(self._owner, owner)

    def end(self) -> None:
        """Say to all workers that what ends from now on was cut off."""
        with contextlib.suppress(OSError):
            self._say({**(read_json(self._owner) or {}), "ending": True})

    def _taken(self) -> str:
        owner: dict[str, Any] = read_json(self._owner) or {}
        who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
        return (
            f"{self.results} is in use by another session ({who}, since {owner.get('since', '?')})"
            "\n  next: wait for it, end it, or start a new directory with --scylla-fresh"
        )

    def leave(self) -> None:
        """Let the next session have the directory."""
        with contextlib.suppress(OSError):
            self._owner.unlink()
        self._lock.release()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink()
            self._owner.parent.rmdir()
            if self._made_root:
                self.results.parent.rmdir()


IGNORES = "# Results of pytest-scylla. Without this file git would take them up.\n*\n"

_OURS = re.compile(r"\.sources|\.locks|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-.+")


def ignore_by_git(root: Path) -> None:
    """Put a .gitignore into a results root within a git repository, where nothing but results is in
    it: nobody commits workspaces by accident."""
    try:
        names = os.listdir(root)
    except OSError:
        return
    ours = any(map(_OURS.fullmatch, names)) and all(map(_OURS.fullmatch, names))
    if ours and any((above / ".git").exists() for above in root.resolve().parents):
        with contextlib.suppress(OSError):
            write_text(root / ".gitignore", IGNORES)


def is_over(results: Path, owner: int) -> bool:
    """Whether the session of process `owner` has been stopped, or has died.

    For its workers, which are on the same machine and may be the last to hear.
    """
    said = read_json(results.parent / FOLDER / f"{results.name}.json") or {}
    return (said.get("pid") == owner and "ending" in said) or not alive(owner)
