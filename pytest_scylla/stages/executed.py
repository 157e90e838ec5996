"""The rubric's items that commands decide: executed once for a run, the same for every judge."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..checks import NOT_FOUND, Check, first_word, is_there, run_check
from ..errors import RunError, ScyllaError
from ..evaluation import Run
from ..experiment import Task
from ..judges.rubric_checks import RubricChecks
from ..recorded import Recorded
from ..results import ExecutedItems, Inputs, ItemScore
from ..rubric import Item
from ..scratch import scratch
from ..store import write_json
from .ending import heed_the_end
from .evidence import execution, left_by_agent

TIMEOUT = RubricChecks().timeout
"""Seconds for one command, where no slot of `rubric-checks` says otherwise."""


def executed_items(run: Run) -> Mapping[str, ItemScore]:
    """What the rubric's commands decide: the stored results, or new ones in a copy.

    All of them run in one copy, in the order of the rubric, with SCYLLA_TASK set to a copy of the
    task's directory. Exit status 0 = met, all points; anything else, or no end in time = not met.
    Raises RunError where they must run and the agent's files can no longer be made, or where a
    command's program is not there: that is no fault of the work; or where the files that commands
    use have changed since the session began.
    """
    items = [item for item in run.evaluation.experiment.task.rubric.items() if item.run]
    if not items:
        return {}
    path = run.dir.executed
    inputs = _inputs(run)
    kept = run.read(path, ExecutedItems)
    if kept is not None and kept.inputs != inputs:
        kept = None
    if kept is not None and not run.forgets("judge", path):
        return kept.items
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            left = stack.enter_context(left_by_agent(run))
        except (ScyllaError, OSError):
            if kept is None:
                raise
            return kept.items
        scores: dict[str, ItemScore] = {}
        for item in items:
            if scores:
                _undo(run, left)
            scores[item.id] = _item(run, item, left)
    heed_the_end(run)
    _require_unchanged(run)
    seconds = time.monotonic() - started
    result = ExecutedItems(items=scores, duration_seconds=seconds, inputs=inputs)
    write_json(path, run.sealed(result))
    return scores


def _inputs(run: Run) -> Inputs:
    """Of what every judge slot is made from, what a command can see."""
    judged = run.evaluation.judge_inputs[0]
    return {name: judged[name] for name in ("rubric", "checks", "pipeline")} | {
        "agent": execution(run)
    }


def _undo(run: Run, left: Recorded) -> None:
    """The work may have run within an item, and have made the next ones say yes."""
    left.undo()
    left.put_back(run.evaluation.experiment.settings.protected or ())


def _require_unchanged(run: Run) -> None:
    """What an agent, or its work within a check, has changed decides nothing."""
    if run.evaluation.checks_now() != run.evaluation.checks_digest:
        place = run.evaluation.experiment.task.rubric_file.parent
        raise RunError.of("checks_changed", f"{place}: its files have changed in this session")


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


def _item(run: Run, item: Item, left: Recorded) -> ItemScore:
    assert item.run is not None
    with _task(run.evaluation.experiment.task) as task:
        hidden = {"SCYLLA_TASK": str(task)}
        check = run_check(item.run, left.files, _timeout(run), hidden, left.origin)
    tool = first_word(item.run)
    if check.exit_code == NOT_FOUND and tool and not is_there(tool):
        problem = f"item {item.id}: {tool}, which its `run:` needs, was not found"
        raise RunError.of(
            "rubric",
            f"{run.evaluation.experiment.task.rubric_file}: {problem}",
            f"install {tool}, or correct the item's `run:`",
        )
    met = check.exit_code == 0
    return ItemScore(achieved=item.points if met else 0.0, max=item.points, reason=_reason(check))


def _timeout(run: Run) -> float:
    own = [judge.timeout for judge in run.evaluation.judges if isinstance(judge, RubricChecks)]
    return max(own, default=TIMEOUT)


def _reason(check: Check) -> str:
    if check.timed_out:
        return "no end in time"
    if check.exit_code == 0:
        return "met (exit status 0)"
    lines = [line.strip() for line in check.output.splitlines() if line.strip()]
    return f"exit status {check.exit_code}" + (f": {lines[-1][:200]}" if lines else "")
