"""What a file holds: read without waiting for anybody, without end, or by a way out of its place.

An agent may have put a pipe, a device or a link where a file is expected. All that is read of a
user's, of an agent's or of a run's files is read here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

LARGEST = 2**30
"""Bytes of the largest file that is read whole."""

_AT_ONCE = 65536
"""Bytes that one call reads: all of most files."""

# A pipe is opened without waiting for its other end, and then refused.
_TO_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def read_bytes(path: Path | str, most: int = LARGEST) -> bytes:
    """The content of a regular file.

    Raises OSError where it is missing, larger than `most` bytes, or something else (a pipe, a
    device, a directory): reading waits for no other process, and takes no more than fits.
    """
    return _content(opened(path), path, most)


def opened(path: Path | str) -> int:
    """A descriptor of a regular file, to be read. Raises OSError as `read_bytes` does."""
    return _regular(os.open(path, _TO_READ), path)


def read_within(root: Path, name: str, most: int = LARGEST) -> bytes:
    """The content of the regular file `name` below `root`, a directory that an agent could write.

    No link is followed, neither in its place nor on the way to it. Raises OSError, as
    `read_bytes` does, and for a link.
    """
    *folders, last = name.split("/")
    place = _folder_within(root, folders)
    try:
        file = _regular(os.open(last, _TO_READ | os.O_NOFOLLOW, dir_fd=place), root / name)
    finally:
        os.close(place)
    return _content(file, root / name, most)


def names_within(root: Path, name: str) -> list[str]:
    """The sorted paths (from `root`) of all that is below its directory `name` and is no
    directory; none where there is no such directory. No link is followed."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        folder = waiting.pop()
        try:
            place = _folder_within(root, folder.split("/"))
        except OSError:
            continue
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    inner = waiting if entry.is_dir(follow_symlinks=False) else found
                    inner.append(f"{folder}/{entry.name}")
        finally:
            os.close(place)
    return sorted(found)


def _folder_within(root: Path, names: Sequence[str]) -> int:
    """A descriptor of the directory that `names` lead to from `root`."""
    place = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        try:
            inner = os.open(name, _TO_READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
        finally:
            os.close(place)
        place = inner
    return place


def _regular(file: int, path: Path | str) -> int:
    """An open file, which is closed again where it is not a regular one."""
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _content(file: int, path: Path | str, most: int) -> bytes:
    """All of an open file, which is closed."""
    try:
        parts, left = [b""], most + 1
        while len(parts) == 1 or len(parts[-1]) == _AT_ONCE:
            parts.append(os.read(file, min(_AT_ONCE, left)))
            left -= len(parts[-1])
            if left <= 0:
                raise OSError(errno.EOVERFLOW, f"larger than {most} bytes", str(path))
    finally:
        os.close(file)
    return parts[1] if len(parts) == 2 else b"".join(parts)
