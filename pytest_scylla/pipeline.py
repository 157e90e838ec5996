"""The pipeline: commands of the experiment that run before any agent and after each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from .checks import run_check
from .experiment import StepConfig
from .recorded import Recorded, recorded
from .results import PipelineResult, StepResult
from .store import digest, read_model, write_json
from .workspace import Base

NOT_FOUND = 127
"""The shell's exit status for a command that does not exist."""


def pipeline_inputs(steps: Sequence[StepConfig]) -> dict[str, str]:
    """What a pipeline's result depends on, beside the workspace."""
    return {"steps": digest([step.model_dump() for step in steps])}


def run_pipeline(steps: Sequence[StepConfig], left: Recorded) -> PipelineResult:
    """Run all steps, one after the other, on the same files."""
    results = tuple(_run_step(step, left.files) for step in steps)
    return PipelineResult(steps=results, inputs=pipeline_inputs(steps))


def _run_step(step: StepConfig, copy: Path) -> StepResult:
    check = run_check(step.run, copy, step.timeout, {})
    if check.exit_code == NOT_FOUND:
        status = "not_applicable"
    else:
        status = "passed" if check.exit_code == 0 else "failed"
    return StepResult.model_validate(
        {
            "name": step.name,
            "status": status,
            "exit_code": check.exit_code,
            "output": check.output,
            "duration_seconds": check.duration,
        }
    )


def baseline(steps: Sequence[StepConfig], base: Base, results: Path) -> PipelineResult:
    """The pipeline on the task's untouched files, once per results directory."""
    path = results / "pipeline_baseline.json"
    inputs = {**pipeline_inputs(steps), "commit": base.commit}
    if not steps:
        return PipelineResult(steps=(), inputs=inputs)
    with FileLock(results / ".pipeline_baseline.lock"):
        kept = read_model(path, PipelineResult)
        if kept is not None and kept.inputs == inputs:
            return kept
        with recorded(base.repository, base.commit) as files:
            result = run_pipeline(steps, files).model_copy(update={"inputs": inputs})
        write_json(path, result)
        return result
