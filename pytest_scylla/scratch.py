"""Temporary directories that a killed session leaves behind, and the next one removes.

They lie in a place of our own in the system's temporary directory, one for each user, which no one
else can write. Each holds a record of who made it, and is locked by the process that uses it. The
lock is the operating system's: a directory with our record and without a lock is left over.
Nothing else is ever removed, whatever its name.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .store import now, read_json, remove_tree, write_json

RECORD = "scratch.json"
"""In each temporary directory: who made it, and which directory it is."""

FILES = "files"
"""In each temporary directory: what is handed out."""


def own_place() -> Path:
    """The directory of this user's temporary directories; where it would be is in docs."""
    return Path(tempfile.gettempdir()) / f"pytest-scylla-{os.getuid()}"


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A temporary directory that goes away again. `kind` begins its name.

    Raises OSError where the system's temporary directory cannot be written.
    """
    made = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=_place()))
    lock = os.open(made, os.O_RDONLY)
    try:
        # Whoever sees the record sees the lock.
        _lock(lock)
        write_json(made / RECORD, _record(lock))
        (made / FILES).mkdir(mode=0o700)
        yield made / FILES
    finally:
        remove_tree(made)
        os.close(lock)


def _place() -> Path:
    """`own_place`, made where it is not there; another one for this process where somebody else
    has taken its name."""
    place = own_place()
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    return place if _is_ours(place) else _place_of_this_process(place)


@functools.cache
def _place_of_this_process(instead_of: Path) -> Path:
    place = Path(tempfile.mkdtemp(prefix=f"{instead_of.name}-", dir=instead_of.parent))
    atexit.register(_remove_empty, place)
    return place


def _remove_empty(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.rmdir()


def _is_ours(place: Path) -> bool:
    """It is a directory that this user has made, and nobody else can write to it."""
    try:
        facts = place.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o077
    return private and facts.st_uid == os.getuid()


def _record(directory: int) -> dict[str, Any]:
    facts = os.fstat(directory)
    return {
        "made_by": "pytest-scylla",
        "pid": os.getpid(),
        "at": now(),
        "directory": [facts.st_dev, facts.st_ino],
    }


def _lock(directory: int) -> bool:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def clean_scratch() -> list[Path]:
    """Remove the temporary directories of this user that no process uses; returns which."""
    place = own_place()
    if not _is_ours(place):
        return []
    return [folder for folder in sorted(place.iterdir()) if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        facts = os.fstat(lock)
        record = read_json(folder / RECORD) or {}
        made = record.get("directory") == [facts.st_dev, facts.st_ino]
        if not made or facts.st_uid != os.getuid() or not _lock(lock):
            return False
        with contextlib.suppress(OSError):
            remove_tree(folder)
        return not folder.exists()
    finally:
        os.close(lock)
