"""Temporary directories that a killed session leaves behind, and the next one removes.

Each is locked by the process that uses it. The lock is the operating system's: a directory
without one belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .store import remove_tree

PREFIX = "scylla-"


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A temporary directory `scylla-<kind>-…` that goes away again."""
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}{kind}-"))
    lock = os.open(new, os.O_RDONLY)
    folder = new.with_name(new.name[1:])
    try:
        _lock(lock)
        # Only now has it a name that others look for.
        new.rename(folder)
        yield folder
    finally:
        remove_tree(folder)
        os.close(lock)


def _lock(directory: int) -> bool:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def clean_scratch() -> list[Path]:
    """Remove the temporary directories of this user that nobody uses; returns which."""
    root = Path(tempfile.gettempdir())
    found = [root / name for name in os.listdir(root) if name.startswith(PREFIX)]
    return [folder for folder in found if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(lock).st_uid != os.getuid() or not _lock(lock):
            return False
        with contextlib.suppress(OSError):
            remove_tree(folder)
        return not folder.exists()
    finally:
        os.close(lock)
