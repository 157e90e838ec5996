"""The run's workspace and directory, held for one process while it works on them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ..errors import RunError
from ..evaluation import Run
from ..store import links_on_the_way, text_of, write_text

log = logging.getLogger("pytest_scylla")


class Workspace:
    """The run's workspace: made when it is first needed, and not before.

    A run that has its verdict is replayed without its workspace being looked at.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock: FileLock | None = None

    @property
    def path(self) -> Path:
        """The worktree as the agent left it; made anew from base and patch where it is gone.

        Before the agent has worked: a fresh one. Raises RunError where it cannot be made.
        """
        checkout = self._run.checkout()
        self.hold()
        if self._run.kept_agent_result() is None:
            if not checkout.exists:
                checkout.create()
        elif not checkout.exists or not self._holds_this_run():
            if not self._run.dir.patch.exists():
                raise RunError.of("workspace", f"there is no {self._run.dir.patch}")
            log.info("%s: workspace made anew from base and patch", self._run.dir.path)
            checkout.restore(self._run.dir.patch)
            self._claim()
        return checkout.path

    @property
    def is_as_left(self) -> bool:
        """The worktree is there, as this run's agent left it."""
        self.hold()
        return self._run.checkout().exists and self._holds_this_run()

    def fresh(self) -> Path:
        """A workspace in which no agent has worked."""
        checkout = self._run.checkout()
        self.hold()
        if self._run.shares_workspace and checkout.exists:
            checkout.reset()
        else:
            checkout.create()
        self._claim()
        return checkout.path

    def hold(self) -> None:
        """Keep a workspace that several runs share for this run, until `release`."""
        if self._run.shares_workspace and self._lock is None:
            self._lock = FileLock(_lock_path(self._run, "workspace"))
            self._lock.acquire()

    def release(self) -> None:
        """Let the next run have a shared workspace."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def retire(self, passed: bool) -> None:
        """Delete the workspace where the experiment does not retain it; the patch stays."""
        retention = self._run.evaluation.experiment.settings.workspace.retention
        if retention == "none" or (retention == "failed" and passed):
            self._run.checkout().remove()

    def _holder(self) -> Path:
        return self._run.checkout().repository / "run"

    def _claim(self) -> None:
        if self._run.shares_workspace:
            write_text(self._holder(), self._run.name)

    def _holds_this_run(self) -> bool:
        if not self._run.shares_workspace:
            return True
        return text_of(self._holder()) == self._run.name


def _lock_path(run: Run, name: str) -> Path:
    folder = run.evaluation.results / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run.subtest.tier}-{run.subtest.id}-{name}"


@contextlib.contextmanager
def reserved(run: Run) -> Iterator[None]:
    """Hold the run's directory for this process: one directory, one writer.

    Waits for another worker that works on the same run (a session holds its results directories
    for itself, so it is never another session's).
    """
    with FileLock(_lock_path(run, run.name)):
        _require_directories(run)
        yield


def _require_directories(run: Run) -> None:
    """Raise RunError where a link stands for a directory of the run: it may lead anywhere."""
    for path in (run.dir.agent, run.dir.judge, run.dir.attempts):
        for link in links_on_the_way(run.evaluation.results, path):
            raise RunError.of(
                "damaged",
                f"{link} is a link: nothing is written to where it leads",
                "put the directory itself in its place, or remove the link",
            )
