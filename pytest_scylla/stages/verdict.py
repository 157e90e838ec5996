"""The verdict over the judgments, or why there is none."""

from __future__ import annotations

import contextlib
import os

from ..consensus import agree
from ..evaluation import Run
from ..rebuild import Places, run_result
from ..results import AgentResult, ExecutedItems, Judgment, RunFailure, RunResult
from ..store import now, read_model, write_json
from .evidence import timing


def verdict(run: Run, agent: AgentResult, judged: tuple[Judgment, ...]) -> RunResult:
    """The verdict over the judgments, stored as run_result.json.

    Raises RunError (kind `no_quorum`) where too few judgments are valid.
    """
    if run.replayed is not None:
        return run.replayed
    rubric = run.evaluation.experiment.task.rubric
    consensus = agree(rubric, judged, run.evaluation.panel)
    executed = read_model(run.dir.executed, ExecutedItems)
    seconds = sum(judgment.duration_seconds for judgment in judged)
    seconds += executed.duration_seconds if executed else 0.0
    write_json(run.dir.judge / "timing.json", timing("judge", seconds))
    said = {
        **consensus.model_dump(include={"score", "passed", "grade", "reasoning"}),
        "pass_threshold": rubric.pass_threshold,
        "inputs": run.evaluation.verdict_inputs,
    }
    write_json(run.dir.judge / "result.json", said)
    result = run_result(run.number, agent, dict(enumerate(judged, 1)), said, seconds, _places(run))
    result = run.sealed(result)
    write_json(run.dir.run_result, result)
    run.dir.error.unlink(missing_ok=True)
    return result


def _places(run: Run) -> Places:
    here = os.path.relpath(run.dir.path, run.evaluation.results)
    place = os.path.relpath(run.workspace_place, run.evaluation.results)
    return Places(f"{place}/workspace", f"{here}/agent")


def record_failure(run: Run, kind: str, message: str) -> None:
    """Keep why a run has no verdict, as error.json; an error is never a score."""
    stage = "agent" if not run.dir.agent_output.exists() else "judge"
    failure = RunFailure(kind=kind, message=message, stage=stage, at=now())
    with contextlib.suppress(OSError):
        write_json(run.dir.error, failure, sync=True)
