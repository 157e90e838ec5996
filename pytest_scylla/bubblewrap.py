"""A program in namespaces of its own (bubblewrap, Linux): it sees what is named here, nothing else.

The system's programs and libraries are there read-only, and the interpreter that runs pytest. The
home directory, keys and everything else that is not named does not exist for the program. It has
process ids of its own, so whatever it leaves behind ends with it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt")
"""What is shown of the system, read-only."""

SECRET = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/ssh",
)
"""What of it is not: a program that runs as root could read these."""

KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
"""Places in /proc that change the machine where root writes to them: read-only, whoever asks. A
user namespace alone does not help: the kernel asks there for the user outside, who may be root."""

SHARED_MEMORY = 256 * 2**20
"""Bytes that a program may put into /dev/shm."""


@dataclass(frozen=True)
class View:
    """What a program sees beside the system, each at the path that it has outside."""

    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    temporary: Path | None = None
    """A directory that the program sees as /tmp; default: an empty one in memory."""
    network: bool = True
    """The network of this machine; else a network of its own with nothing on it."""
    instead: Mapping[str, Path] = field(default_factory=dict)
    """Path in the view -> the file or directory that is seen there, read-only."""
    low_ports: bool = False
    """The program may listen on ports below 1024."""


def wrapped(argv: Sequence[str], cwd: Path, view: View) -> list[str]:
    """The command that runs `argv` in `cwd` with that view and nothing else.

    SIGTERM reaches the program itself; its exit status is passed on (128 + n for a signal n).
    Start it in a session of its own (as `processes` does), so that it has no terminal to type into:
    bwrap's own `--new-session` would keep signals from it.
    """
    words = ["env", "--ignore-signal=TERM", "bwrap", "--die-with-parent", "--cap-drop", "ALL"]
    words += [
        "--unshare-user-try",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    words += [] if view.network else ["--unshare-net"]
    words += ["--cap-add", "CAP_NET_BIND_SERVICE"] if view.low_ports else []
    words += _system()
    words += ["--bind", str(view.temporary), "/tmp"] if view.temporary else ["--tmpfs", "/tmp"]
    # Parents first, so that a place within another one is not hidden by it.
    places = {**dict.fromkeys(_interpreter(), False), **dict.fromkeys(view.readable, False)}
    places |= dict.fromkeys(view.writable, True)
    for place in sorted(places):
        words += ["--bind" if places[place] else "--ro-bind", str(place), str(place)]
    for shown, source in view.instead.items():
        words += ["--ro-bind", str(source), shown]
    words += ["--remount-ro", "/", "--chdir", str(cwd), "--", "env", "--default-signal=TERM"]
    return [*words, *argv]


def _system() -> list[str]:
    words = []
    for name in SYSTEM:
        if os.path.islink(name):
            words += ["--symlink", os.readlink(name), name]
        else:
            words += ["--ro-bind-try", name, name]
    for name in SECRET:
        if os.path.isdir(name):
            words += ["--tmpfs", name]
        elif os.path.exists(name):
            words += ["--ro-bind", "/dev/null", name]
    resolver = os.path.realpath("/etc/resolv.conf")
    if not resolver.startswith("/etc/"):
        words += ["--ro-bind-try", resolver, resolver]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for name in KERNEL:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    return [*words, "--size", str(SHARED_MEMORY), "--tmpfs", "/dev/shm"]


def _interpreter() -> Iterator[Path]:
    """Where the interpreter that runs pytest is, where that is not the system's."""
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix)):
        if not prefix.startswith("/usr"):
            yield Path(prefix)


@functools.cache
def unavailable() -> str | None:
    """Why bubblewrap cannot be used on this machine; None where it can."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        return "there is no program bwrap (next: install the package bubblewrap)"
    tried = subprocess.run(
        ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"],
        capture_output=True,
        text=True,
    )
    if tried.returncode == 0:
        return None
    return f"bwrap does not work here: {tried.stderr.strip()} (next: allow user namespaces)"
