"""The rubric's items that commands decide: executed once for a run, the same for every judge."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from ..checks import NOT_FOUND
from ..errors import RunError, ScyllaError
from ..evaluation import Run
from ..recorded import Recorded
from ..results import ExecutedItems, Inputs, ItemScore
from ..rubric import Item
from ..store import write_json
from .command import on_files, reason
from .ending import heed_the_end
from .evidence import execution, left_by_agent
from .tried import NOT_EXECUTABLE, STEP, require_programs, rubric_error, tried_checks


def executed_items(run: Run) -> Mapping[str, ItemScore]:
    """What the rubric's commands decide: the stored results, or new ones in a copy.

    All of them run in one copy, in the order of the rubric, with SCYLLA_TASK set to a copy of the
    task's directory. Exit status 0 = met, all points; anything else, or no end in time = not met.
    Raises RunError where they must run and the agent's files can no longer be made; where a
    command cannot work, not even on the untouched task: that is no fault of the work; or where the
    files that commands use have changed since the session began.
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
            require_programs(run)
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


def _item(run: Run, item: Item, left: Recorded) -> ItemScore:
    check = on_files(run, item, left)
    if check.exit_code in (NOT_FOUND, NOT_EXECUTABLE) and not check.timed_out:
        # The work can say what it likes of a program that it lacks: what holds without it decides.
        require_programs(run)
        trouble = tried_checks(run).items[item.id].trouble
        if trouble:
            raise rubric_error(run, f"item {item.id} {trouble}", STEP)
    met = check.exit_code == 0
    return ItemScore(achieved=item.points if met else 0.0, max=item.points, reason=reason(check))
