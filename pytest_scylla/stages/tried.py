"""The checks on the task's untouched files, before any agent is paid.

What cannot work there is an error of the experiment, not of an agent's work. What passes there
gives its points to an agent that does nothing. Tried once for a results directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from ..checks import NOT_FOUND, Check, missing_programs
from ..errors import RunError
from ..evaluation import Run
from ..pipeline import PIPELINE_BASELINE
from ..recorded import Recorded, recorded
from ..results import CHECKS_BASELINE, Inputs, StepResult, TriedChecks, TriedItem
from ..rubric import Item
from ..scoring import item_weights
from ..store import write_json
from .command import on_files, reason, seconds_for_checks
from .pipeline import baseline_of

NOT_EXECUTABLE = 126
"""Exit status of the shell for what it finds and cannot execute."""

_TOLD = (
    r"(?P<teller>[^:\n]+): (?:line )?\d+: (?:exec: )?(?P<name>.+): (?:command )?not found",
    r"(?P<teller>[^:\n]+): (?:line )?\d+: (?:exec: )?(?P<name>.+): Permission denied",
    r"(?P<teller>[^:\n]+): (?:line )?\d+: (?:exec: )?(?P<name>.+): No such file or directory",
    r"(?P<teller>env|timeout|nohup|nice|xargs): (?:\D*? )?['‘]?(?P<name>[^ '’]+)['’]?: "
    r"(?:No such file or directory|Permission denied)",
)
"""What shells, and programs that start others, say of a command that they cannot run."""

_SCRIPT = r"(?:ba|da|k|z)?sh: (?P<name>.+): No such file or directory"
"""What a shell says of a script that is not there."""


def require_working_checks(run: Run) -> None:
    """Raise RunError where a command of the rubric or a step of the pipeline cannot work here: not
    even on the task's untouched files does it come to an answer."""
    require_programs(run)
    tried = tried_checks(run).items if _items(run) else {}
    trouble = [f"item {id} {one.trouble}" for id, one in tried.items() if one.trouble]
    if trouble:
        raise rubric_error(run, "; ".join(trouble), STEP)
    steps = _broken_steps(run)
    if steps and run.is_before(run.evaluation.results / PIPELINE_BASELINE):
        (run.evaluation.results / PIPELINE_BASELINE).unlink(missing_ok=True)
        steps = _broken_steps(run)
    if steps:
        place = run.evaluation.experiment.path
        raise RunError.of("pipeline", f"{place}: pipeline: {'; '.join(steps)}")


def _broken_steps(run: Run) -> list[str]:
    return [f"step {step.name} {why}" for step in baseline_of(run).steps if (why := _of(step))]


STEP = (
    "correct the item's `run:`; where this is what the task is to mend, let the command say so "
    "itself (`… || false`, `timeout 60 …`)"
)


def rubric_error(run: Run, problem: str, step: str) -> RunError:
    """An error of the rubric, which names its file."""
    return RunError.of("rubric", f"{run.evaluation.experiment.task.rubric_file}: {problem}", step)


def require_programs(run: Run) -> None:
    """Raise RunError where a command of the rubric names a program that is not there."""
    lacking = [(i.id, name) for i in _items(run) for name in missing_programs(i.run or "")]
    if lacking:
        parts = [
            f"item {id}: {name}, which its `run:` needs, was not found" for id, name in lacking
        ]
        names = ", ".join(dict.fromkeys(name for _, name in lacking))
        raise rubric_error(run, "; ".join(parts), f"install {names}, or correct the item's `run:`")


def given_points(run: Run) -> str:
    """What the untouched task scores already, in words, as far as it was tried; "" for nothing."""
    tried = run.read(_path(run), TriedChecks)
    asked = _inputs(run, tried.inputs.get("commit", "")) if tried else {}
    return tried.given if tried and tried.inputs == asked else ""


def _items(run: Run) -> list[Item]:
    return [item for item in run.evaluation.experiment.task.rubric.items() if item.run]


def tried_checks(run: Run) -> TriedChecks:
    """How the rubric's commands end on the task's untouched files: stored, or tried now.

    What could not work in an earlier session is tried again. Raises RunError where the task's
    files cannot be had.
    """
    base = run.checkout().setup.base
    path, inputs = _path(run), _inputs(run, base.commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(".checks_baseline.lock")):
        kept = run.read(path, TriedChecks)
        spoilt = kept is not None and kept.in_trouble and run.is_before(path)
        if kept is not None and kept.inputs == inputs and not spoilt:
            return kept
        with recorded(base.repository, base.commit) as files:
            tried = _tried(run, files, inputs)
        write_json(path, tried)
        return tried


def _path(run: Run) -> Path:
    return run.evaluation.results / CHECKS_BASELINE


def _tried(run: Run, files: Recorded, inputs: Inputs) -> TriedChecks:
    items: dict[str, TriedItem] = {}
    for item in _items(run):
        if items:
            files.undo()
        check = on_files(run, item, files)
        trouble = _trouble(check, files.files, seconds_for_checks(run))
        items[item.id] = TriedItem(met=check.exit_code == 0, reason=reason(check), trouble=trouble)
    weights = item_weights(run.evaluation.experiment.task.rubric)
    score = sum(weights.get(id, 0.0) for id, one in items.items() if one.met)
    return run.sealed(TriedChecks(items=items, score=round(score, 6), inputs=inputs))


def _inputs(run: Run, commit: str) -> Inputs:
    judged = run.evaluation.judge_inputs[0]
    return {"rubric": judged["rubric"], "checks": judged["checks"], "commit": commit}


def _of(step: StepResult) -> str:
    """Why a step of the pipeline cannot work; "" where it can, or does not apply."""
    if step.status == "not_applicable":
        return ""
    lacking = missing_programs(step.command)
    if lacking:
        return f"needs {', '.join(lacking)}, not found"
    if step.timed_out:
        return "does not end in time on the untouched task"
    return _cannot(step.exit_code, step.output, None)


def _trouble(check: Check, files: Path, limit: float) -> str:
    if check.timed_out:
        return f"does not end within {limit:g} s on the untouched task"
    return _cannot(check.exit_code, check.output, files)


def _cannot(exit_code: int, output: str, files: Path | None) -> str:
    """Why a command that ended like this cannot work, unless what it lacks may be the task's."""
    if exit_code not in (NOT_EXECUTABLE, NOT_FOUND):
        return ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(_is_the_tasks(teller, name, files) for teller, name in _told(lines)):
        return ""
    last = f": {lines[-1][:200]}" if lines else ""
    return f"cannot work: exit status {exit_code} on the untouched task{last}"


def _told(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Who says that a command cannot be run, and which."""
    for line in lines:
        for pattern in _TOLD:
            found = re.fullmatch(pattern, line)
            if found:
                yield found["teller"], found["name"]
        script = re.fullmatch(_SCRIPT, line)
        if script:
            yield "sh", os.path.join(os.curdir, script["name"])


def _is_the_tasks(teller: str, name: str, files: Path | None) -> bool:
    """A script of the task says it, or what is lacking is a file that the work can bring."""
    if "/" in name:
        inside = not os.path.isabs(name) or (files is not None and Path(name).is_relative_to(files))
        return inside and not os.path.normpath(name).startswith(os.pardir)
    return "/bin/" not in teller and files is not None and (files / teller).is_file()
