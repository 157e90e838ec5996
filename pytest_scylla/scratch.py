"""Directories of ours that a killed session leaves behind, and the next one removes.

What may be removed is proven: beside each directory lies a record that says which process of which
machine made it, and which inode it is. That process holds a lock on the record. Where there is no
whole record, or another directory has taken the name, nothing is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RunError
from .store import now, remove_tree

SUFFIX = ".scylla"
"""Ends the name of a directory's record."""

MADE_BY = "pytest-scylla"


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A temporary directory `<kind>-…` that goes away again.

    Raises RunError (kind `disk`) where temporary files cannot be written anywhere.
    """
    root = _root()
    place = own_place(root)
    with _unrecorded(root, kind) if place is None else held(_new(place, kind)) as folder:
        yield folder


def _new(place: Path, kind: str) -> Path:
    """A short name: that of a socket below it may have 107 bytes in all."""
    return place / f"{kind}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def _unrecorded(root: Path, kind: str) -> Iterator[Path]:
    """A directory that only its own process removes."""
    folder = Path(tempfile.mkdtemp(prefix=f"scylla-{kind}-", dir=root))
    inode = folder.lstat().st_ino
    try:
        yield folder
    finally:
        _remove(folder, inode)


@contextlib.contextmanager
def making(place: Path) -> Iterator[Path]:
    """A directory in `place` in which something is made before it is moved to its name; what
    killed processes left there of such is removed first."""
    clean(place)
    with held(_new(place, ".making")) as folder:
        yield folder


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Make the directory `folder` with its record, and remove both at the end.

    Raises FileExistsError where something of that name is there.
    """
    record = _record(folder)
    file = os.open(record, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    inode = None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
        inode = folder.lstat().st_ino
        os.write(file, json.dumps(_facts(inode)).encode())
        yield folder
    finally:
        # What cannot be removed keeps its record: the next session tries it again.
        with contextlib.suppress(OSError):
            if inode is not None:
                _remove(folder, inode)
            record.unlink()
        os.close(file)


def _record(folder: Path) -> Path:
    return folder.with_name(folder.name + SUFFIX)


def _facts(inode: int) -> dict[str, Any]:
    return {
        "made_by": MADE_BY,
        "pid": os.getpid(),
        "started": now(),
        "host": socket.gethostname(),
        "boot": _boot(),
        "inode": inode,
    }


def _boot() -> str:
    """Tells one start of the machine from another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _remove(folder: Path, inode: int) -> None:
    """Remove a directory, unless something else has its name by now."""
    with contextlib.suppress(FileNotFoundError):
        facts = folder.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_ino == inode:
            remove_tree(folder)


def clean(place: Path) -> list[Path]:
    """Remove the directories in `place` that a process of ours made and no longer holds.

    Returns which.
    """
    try:
        names = [name for name in os.listdir(place) if name.endswith(SUFFIX)]
    except OSError:
        return []
    return [place / name.removesuffix(SUFFIX) for name in names if _removed(place / name)]


def _removed(record: Path) -> bool:
    """Whether the directory of a record was left behind, and is removed now."""
    folder = record.with_name(record.name.removesuffix(SUFFIX))
    try:
        file = os.open(record, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        inode = _proven(file)
        if inode is None:
            return False
        was_there = folder.is_dir() and not folder.is_symlink()
        _remove(folder, inode)
        record.unlink(missing_ok=True)
        return was_there and not folder.exists()
    except OSError:  # held, or it cannot be removed
        return False
    finally:
        os.close(file)


def _proven(record: int) -> int | None:
    """The inode of the directory that a record of ours is about; None where it proves nothing.

    A lock is seen by processes of the same start of a machine; after a new start there are none.
    """
    try:
        said = json.loads(os.read(record, 4096))
        known = said["made_by"] == MADE_BY and said["pid"] > 0 and said["started"]
        here = said["boot"] == _boot() or said["host"] == socket.gethostname()
        return int(said["inode"]) if known and here else None
    except (ValueError, TypeError, KeyError):
        return None


# -- where temporary directories lie ---------------------------------------------------------------


def clean_scratch() -> list[Path]:
    """Remove this user's temporary directories that no process holds any more; returns which."""
    try:
        place = own_place(_root())
    except RunError:
        return []
    return [] if place is None else clean(place)


def own_place(root: Path) -> Path | None:
    """The directory of this user alone in `root`; None where that name is not ours."""
    place = root / f"{MADE_BY}-{os.getuid()}"
    if _open_to_all(root):
        return None
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    facts = place.lstat()
    ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    return place if ours and facts.st_mode & 0o777 == 0o700 else None


def _open_to_all(root: Path) -> bool:
    """Anyone may put something else in the place of what is in a directory."""
    mode = root.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _root() -> Path:
    """The system's temporary directory, or another one where no program may be started in it."""
    try:
        first = tempfile.gettempdir()
    except FileNotFoundError:
        raise RunError.of(
            "disk",
            "there is no directory for temporary files that can be written to",
            "make room in /tmp, or set TMPDIR to a directory that can be written to",
        ) from None
    places = (first, "/var/tmp", "/tmp")
    return Path(next((place for place in places if _can_start(place)), first))


def _can_start(place: str) -> bool:
    """Programs may be started there, and files written."""
    with contextlib.suppress(OSError):
        return os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_NOEXEC
    return False


def trouble() -> str | None:
    """What the user should know of the place of temporary files; None where all is well."""
    try:
        root = _root()
        place = own_place(root)
    except RunError as error:
        return str(error)
    except OSError as error:
        return f"cannot write to {error.filename}: {error.strerror}\n  next: set TMPDIR"
    wanted = os.environ.get("TMPDIR")
    if wanted and Path(wanted).absolute() != root:
        noexec = Path(wanted).is_dir() and os.access(wanted, os.W_OK)
        why = "is mounted noexec" if noexec else "cannot be written to"
        return f"TMPDIR={wanted} {why}: {root} is used\n  next: correct TMPDIR"
    if not _can_start(str(root)):
        return f"{root} is mounted noexec: checks can start no program there\n  next: set TMPDIR"
    if place is None:
        return _not_ours(root)
    return None


def _not_ours(root: Path) -> str:
    place = root / f"{MADE_BY}-{os.getuid()}"
    if _open_to_all(root):
        why, step = f"anyone may replace files in {root} (no sticky bit)", "set TMPDIR"
    else:
        why = f"{place} is not a directory of yours with mode 700"
        step = "remove it, or set TMPDIR"
    return f"{why}: what a killed session leaves in {root} is not removed\n  next: {step}"
