"""The pipeline after the agent: the stored result, or a new one, compared with the baseline."""

from __future__ import annotations

from ..evaluation import Run
from ..pipeline import baseline, compared, pipeline_inputs, run_pipeline
from ..results import AgentResult, Inputs, PipelineResult
from ..store import read_model, write_json
from .evidence import Clock, execution, left_by_agent
from .workspace import Workspace


def pipeline_result(run: Run, workspace: Workspace, agent: AgentResult) -> PipelineResult:
    """The pipeline after the agent: the stored result, or a new one, compared with the baseline."""
    steps, protected = run.evaluation.steps, run.evaluation.experiment.settings.protected
    if run.replayed is not None:
        kept = read_model(run.dir.pipeline, PipelineResult)
        return kept or PipelineResult(steps=(), inputs=pipeline_inputs(steps))
    inputs: Inputs = {**pipeline_inputs(steps, protected), "agent": execution(run)}
    kept = run.read(run.dir.pipeline, PipelineResult)
    if kept is not None and kept.inputs == inputs and not run.forgets("pipeline", run.dir.pipeline):
        return kept
    if not steps:
        return PipelineResult(steps=(), inputs=inputs)
    clock = Clock()
    with left_by_agent(run) as left:
        result = run_pipeline(steps, left, protected)
    result = compared(result, baseline_of(run))
    result = result.model_copy(update={"inputs": inputs, "duration_seconds": clock.seconds})
    result = run.sealed(result)
    write_json(run.dir.pipeline, result)
    return result


def baseline_of(run: Run) -> PipelineResult:
    """The pipeline on the task's untouched files; run where it has not been."""
    evaluation = run.evaluation
    base, protected = run.checkout().setup.base, evaluation.experiment.settings.protected
    return baseline(evaluation.steps, base, evaluation.results, protected, run.read, run.sealed)
