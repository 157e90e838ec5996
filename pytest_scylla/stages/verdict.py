"""The verdict over the judgments, or why there is none."""

from __future__ import annotations

import contextlib
import os

from ..consensus import Consensus, agree
from ..evaluation import Run
from ..results import (
    AgentResult,
    CategoryScore,
    JudgeVote,
    Judgment,
    RunFailure,
    RunResult,
    TokenStats,
)
from ..store import now, write_json
from .evidence import timing


def verdict(run: Run, agent: AgentResult, judged: tuple[Judgment, ...]) -> RunResult:
    """The verdict over the judgments, stored as run_result.json.

    Raises RunError (kind `no_quorum`) where too few judgments are valid.
    """
    if run.replayed is not None:
        return run.replayed
    rubric = run.evaluation.experiment.task.rubric
    consensus = agree(rubric, judged, run.evaluation.experiment.quorum)
    seconds = sum(judgment.duration_seconds for judgment in judged)
    write_json(run.dir.judge / "timing.json", timing("judge", seconds))
    write_json(
        run.dir.judge / "result.json",
        consensus.model_dump(include={"score", "passed", "grade", "reasoning"}),
    )
    result = run.sealed(_run_result(run, agent, judged, consensus, seconds))
    write_json(run.dir.run_result, result)
    run.dir.error.unlink(missing_ok=True)
    return result


def _run_result(
    run: Run,
    agent: AgentResult,
    judged: tuple[Judgment, ...],
    consensus: Consensus,
    judge_seconds: float,
) -> RunResult:
    votes = tuple(_vote(number, judgment) for number, judgment in enumerate(judged, 1))
    inputs = {f"judge_{n:02d}": judgment.inputs for n, judgment in enumerate(judged, 1)}
    here = os.path.relpath(run.dir.path, run.evaluation.results)
    place = os.path.relpath(run.checkout().path, run.evaluation.results)
    tokens: TokenStats = agent.token_stats
    return RunResult(
        run_number=run.number,
        exit_code=agent.exit_code,
        token_stats=tokens,
        tokens_input=tokens.tokens_input,
        tokens_output=tokens.output_tokens,
        cost_usd=_sum([agent.cost_usd, *(judgment.cost_usd for judgment in judged)]),
        duration_seconds=agent.duration_seconds + judge_seconds,
        agent_duration_seconds=agent.duration_seconds,
        judge_duration_seconds=judge_seconds,
        judge_score=consensus.score,
        judge_passed=consensus.passed,
        judge_grade=consensus.grade,
        judge_reasoning=consensus.reasoning,
        judges=votes,
        workspace_path=place,
        logs_path=f"{here}/agent",
        command_log_path=f"{here}/agent/command_log.json",
        criteria_scores=_nearest(consensus, judged),
        timed_out=agent.timed_out,
        pass_threshold=run.evaluation.experiment.task.rubric.pass_threshold,
        tampering=agent.tampering,
        inputs={"agent": agent.inputs, "verdict": run.evaluation.verdict_inputs, **inputs},
    )


def _sum(costs: list[float | None]) -> float | None:
    """The sum; None where any part is not known, for a sum without it would be false."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _vote(number: int, judgment: Judgment) -> JudgeVote:
    fields = set(JudgeVote.model_fields) - {"judge_number"}
    return JudgeVote(judge_number=number, **judgment.model_dump(include=fields))


def _nearest(consensus: Consensus, judged: tuple[Judgment, ...]) -> dict[str, CategoryScore]:
    valid = [j for j in judged if j.is_valid and not j.fallback and j.score is not None]
    nearest = min(valid, key=lambda j: abs(float(j.score or 0) - consensus.score))
    return dict(nearest.criteria_scores)


def record_failure(run: Run, kind: str, message: str) -> None:
    """Keep why a run has no verdict, as error.json; an error is never a score."""
    stage = "agent" if not run.dir.agent_output.exists() else "judge"
    failure = RunFailure(kind=kind, message=message, stage=stage, at=now())
    with contextlib.suppress(OSError):
        write_json(run.dir.error, failure, sync=True)
