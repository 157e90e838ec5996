"""Run one shell command of the experiment's author in a copy of an agent's workspace."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .processes import Invocation, clean_environment, run
from .scratch import scratch

LONGEST_OUTPUT = 20_000
"""Characters of a check's output that are kept (its end)."""


@dataclass(frozen=True)
class Check:
    """How a check ended; its exit status decides, never what it prints."""

    exit_code: int
    output: str
    """Standard output and error, the last part of each."""
    duration: float
    """Seconds."""
    timed_out: bool


def run_check(command: str, cwd: Path, timeout: float, env: Mapping[str, str]) -> Check:
    """Run `command` with /bin/sh in `cwd` for at most `timeout` seconds."""
    with scratch("check") as folder:
        own = {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PATH": _path(),
            "PYTHONDONTWRITEBYTECODE": "1",
            **env,
        }
        invocation = Invocation(
            ["/bin/sh", "-c", command],
            cwd,
            clean_environment(own),
            timeout=timeout,
            watched=False,
        )
        finished = run(invocation, folder / "stdout", folder / "stderr")
    return Check(
        exit_code=finished.exit_code,
        output=(finished.stdout[-LONGEST_OUTPUT:] + finished.stderr[-LONGEST_OUTPUT:]),
        duration=finished.duration,
        timed_out=finished.timed_out,
    )


def _path() -> str:
    """PATH with the interpreter that runs pytest first, so that `python` is that one."""
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])


@contextlib.contextmanager
def copied(workspace: Path) -> Iterator[Path]:
    """A copy of a workspace, without its git link, that goes away again.

    What runs in it cannot touch the workspace.
    """
    with scratch("copy") as folder:
        copy = folder / "workspace"
        shutil.copytree(
            workspace, copy, symlinks=True, ignore=lambda w, names: _left_out(w, names, workspace)
        )
        yield copy


def _left_out(where: str, names: list[str], workspace: Path) -> set[str]:
    """The git link, and what is neither file, directory nor link (sockets, pipes)."""
    found = {n for n in names if not _copyable(os.lstat(os.path.join(where, n)).st_mode)}
    return found | {".git"} if Path(where) == workspace else found


def _copyable(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
