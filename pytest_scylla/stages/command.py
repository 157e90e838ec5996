"""One command of the rubric, on one set of files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..checks import Check, run_check
from ..evaluation import Run
from ..experiment import Task
from ..judges.rubric_checks import RubricChecks
from ..recorded import Recorded
from ..rubric import Item
from ..scratch import scratch

TIMEOUT = RubricChecks().timeout
"""Seconds for one command, where no slot of `rubric-checks` says otherwise."""


def on_files(run: Run, item: Item, left: Recorded) -> Check:
    """How an item's command ends on files, with SCYLLA_TASK set to a copy of the task's directory
    of its own."""
    assert item.run is not None
    with _task(run.evaluation.experiment.task) as task:
        hidden = {"SCYLLA_TASK": str(task)}
        return run_check(item.run, left.files, seconds_for_checks(run), hidden, left.origin)


@contextlib.contextmanager
def _task(task: Task) -> Iterator[Path]:
    """The task's directory for one command, which may run the agent's work: what lies with the
    rubric is copied, and the rest are links."""
    with scratch("task") as folder:
        for name in os.listdir(task.directory):
            place = task.directory / name
            if place.is_dir() and task.rubric_file.is_relative_to(place):
                shutil.copytree(place, folder / name, ignore_dangling_symlinks=True)
            else:
                (folder / name).symlink_to(place)
        yield folder


def seconds_for_checks(run: Run) -> float:
    """How long one command may take."""
    own = [judge.timeout for judge in run.evaluation.judges if isinstance(judge, RubricChecks)]
    return max(own, default=TIMEOUT)


def reason(check: Check) -> str:
    """Why a command's item is met or not, in a line."""
    if check.timed_out:
        return "no end in time"
    if check.exit_code == 0:
        return "met (exit status 0)"
    lines = [line.strip() for line in check.output.splitlines() if line.strip()]
    return f"exit status {check.exit_code}" + (f": {lines[-1][:200]}" if lines else "")
