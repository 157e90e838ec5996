"""For every stage of a run: is it kept, or done again, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .errors import NotRun, ScyllaError
from .evaluation import Run
from .rebuild import agent_result_from_logs
from .results import AgentResult, Inputs, Judgment, PipelineResult, RunResult, changed_inputs
from .stages import execution
from .stages.judging import counted_again, earlier_judgment
from .status import agent_status, has_answered, was_not_asked
from .store import read_model

KEPT = "kept"
COMES_BACK = "an earlier judgment from these inputs comes back, at no cost"


@dataclass(frozen=True)
class Outlook:
    """What the next session will do with one stage."""

    stage: str
    todo: bool
    reason: str

    @property
    def free(self) -> bool:
        """It is put back from an earlier attempt; nobody is asked."""
        return self.reason.endswith(COMES_BACK)

    def __str__(self) -> str:
        return f"{self.stage:<10} {'again' if self.todo else KEPT:<6} {self.reason}"


def outlook(run: Run) -> list[Outlook]:
    """All stages of a run, in their order; what follows an agent that is run again is too."""
    lines: list[Outlook] = []
    todo = False
    for stage, reason in _reasons(run):
        if todo:
            reason = reason or "what comes before it is done again"
        elif not reason and _may_be_asked(run, stage, lines):
            reason = "slots before it are done again: it is asked where they do not agree"
        todo = todo or bool(reason and stage == "agent")
        lines.append(Outlook(stage, bool(reason), reason or "whole, and its inputs are the same"))
    judged_again = any(line.todo for line in lines)
    verdict = _verdict(run) or ("what it rests on is done again" if judged_again else None)
    lines.append(Outlook("verdict", bool(verdict), verdict or "its judgments are the same"))
    lines.append(Outlook("report", bool(verdict), "made from the run's directory"))
    return [_workspace(run, lines), *lines]


def _reasons(run: Run) -> Iterator[tuple[str, str | None]]:
    yield "agent", _agent(run)
    yield "pipeline", _pipeline(run)
    for number in range(1, len(run.evaluation.judges) + 1):
        yield f"judge_{number:02d}", _judge(run, number)


def _may_be_asked(run: Run, stage: str, before: list[Outlook]) -> bool:
    """A slot that a sequential panel has not asked, after slots that are done again."""
    again = any(line.todo for line in before if line.stage.startswith("judge_"))
    return again and was_not_asked(run.dir.judge / stage)


def _workspace(run: Run, lines: list[Outlook]) -> Outlook:
    if lines[0].todo:
        return Outlook("workspace", True, "a fresh one for the agent")
    if (run.workspace_place / "workspace").is_dir():
        return Outlook("workspace", False, "it is there")
    return Outlook("workspace", False, "it is gone, and not needed: base and patch say the same")


def _agent(run: Run) -> str | None:
    if run.rejected:
        return "asked for (--scylla-from, or --lf and the verdict was `failed`)"
    if run.dir.started.exists():
        return "the agent was cut off: its attempt is kept, and it starts afresh"
    result = read_model(run.dir.agent_result, AgentResult) or agent_result_from_logs(run.dir)
    if result is None or not has_answered(run.dir):
        return f"there is no answer of the agent yet (status {agent_status(run.dir)})"
    try:
        return _changes(result.inputs, run.agent_inputs())
    except NotRun:
        return None
    except ScyllaError as error:
        return str(error).splitlines()[0]


def _pipeline(run: Run) -> str | None:
    from .pipeline import pipeline_inputs

    steps, protected = run.evaluation.steps, run.evaluation.experiment.settings.protected
    if not steps:
        return None
    result = read_model(run.dir.pipeline, PipelineResult)
    if result is None:
        return "it has not run"
    if run.forgets("pipeline", run.dir.pipeline):
        return "asked for (--scylla-from)"
    return _changes(result.inputs, {**pipeline_inputs(steps, protected), "agent": _left(run)})


def _judge(run: Run, number: int) -> str | None:
    path = run.dir.judge_slot(number) / "judgment.json"
    judgment = read_model(path, Judgment)
    if judgment is None:
        return "no judgment yet"
    if run.forgets("judge", path) or run.slot_selected(number):
        return "asked for (--scylla-from or --scylla-judge-status)"
    if not judgment.asked and run.evaluation.experiment.panel.margin is not None:
        return None
    if not judgment.is_valid and counted_again(run) is None:
        said = (judgment.error or "no reason given").splitlines()[0]
        return f"its judgment is not valid: {said}"
    inputs = {**run.evaluation.judge_inputs[number - 1], "agent": _left(run)}
    changed = _changes(judgment.inputs, inputs)
    if changed and earlier_judgment(run, number, inputs):
        return f"{changed}; {COMES_BACK}"
    return changed


def _left(run: Run) -> str:
    """Digest of what the agent left; of what was damaged since, nothing is judged."""
    result = read_model(run.dir.agent_result, AgentResult)
    return (result and result.left) or execution(run)


def _verdict(run: Run) -> str | None:
    result = read_model(run.dir.run_result, RunResult)
    if result is None:
        return "no verdict yet"
    return _changes(result.inputs.get("verdict", {}), run.evaluation.verdict_inputs)


def _changes(stored: Inputs, asked: Inputs) -> str | None:
    """Which inputs differ. A result without inputs comes from elsewhere, and is believed."""
    if not stored:
        return None
    changed = changed_inputs(stored, asked)
    return f"changed: {', '.join(changed)}" if changed else None
