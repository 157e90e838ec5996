"""The judge slots: the stored judgments, and new ones where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

from ..checks import copied
from ..errors import ScyllaError
from ..evaluation import Run
from ..judges import Evidence, Grading, Judge
from ..pipeline import baseline
from ..results import AgentResult, Inputs, JudgeVote, Judgment, PipelineResult
from ..scoring import score_categories, total_score
from ..store import now, write_json, write_text
from .budget import reserve, settle
from .ending import heed_the_end
from .evidence import execution, text_of, timing
from .workspace import Workspace


def judgments(
    run: Run, workspace: Workspace, agent: AgentResult, pipeline: PipelineResult
) -> tuple[Judgment, ...]:
    """The judgments of all slots: the stored ones, and new ones where they are missing.

    A slot that fails is kept as an invalid judgment; it is asked again next time.
    """
    if run.replayed is not None:
        return tuple(_judgment_of(vote) for vote in run.replayed.judges)
    return tuple(
        _judgment(run, workspace, agent, pipeline, number, judge)
        for number, judge in enumerate(run.evaluation.judges, 1)
    )


def _judgment_of(vote: JudgeVote) -> Judgment:
    return Judgment(**vote.model_dump(exclude={"judge_number"}))


def _judgment(
    run: Run,
    workspace: Workspace,
    agent: AgentResult,
    pipeline: PipelineResult,
    number: int,
    judge: Judge,
) -> Judgment:
    slot = run.dir.judge_slot(number)
    inputs = {**run.evaluation.judge_inputs[number - 1], "agent": execution(run)}
    kept = _kept_judgment(run, number, inputs)
    if kept is not None:
        return kept
    if run.asked.slots and not run.slot_selected(number):
        return _invalid(judge, "this slot was not selected", 0.0, inputs)
    heed_the_end(run)
    if judge.paid:
        reserve(run, slot.name, judge.paid)
    _set_slot_aside(run, slot)
    slot.mkdir(parents=True, exist_ok=True)
    judgment = _judge(run, workspace, agent, pipeline, slot, judge, inputs)
    if judge.paid:
        settle(run, slot.name, judgment.cost_usd)
    return judgment


def _kept_judgment(run: Run, number: int, inputs: Inputs) -> Judgment | None:
    """The stored judgment of a slot, if it is valid, current, and not asked for again."""
    path = run.dir.judge_slot(number) / "judgment.json"
    kept = run.read(path, Judgment)
    if kept is None or not kept.is_valid or kept.inputs not in ({}, inputs):
        return None
    return None if run.forgets("judge", path) or run.slot_selected(number) else kept


def _set_slot_aside(run: Run, slot: Path) -> None:
    """What an earlier judgment of the slot left moves to judge/attempts/, whole."""
    if not slot.is_dir() or not os.listdir(slot):
        return
    place = run.dir.judge / "attempts"
    place.mkdir(exist_ok=True)
    number = len([name for name in os.listdir(place) if name.startswith(slot.name)]) + 1
    os.replace(slot, place / f"{slot.name}_attempt_{number:02d}")


def _judge(
    run: Run,
    workspace: Workspace,
    agent: AgentResult,
    pipeline: PipelineResult,
    slot: Path,
    judge: Judge,
    inputs: Inputs,
) -> Judgment:
    settings = run.evaluation.experiment.settings
    base = run.checkout().setup.base
    started = _Clock()
    write_text(slot / "MODEL.md", f"# Judge\n\n**Model**: {judge.model}\n**Timestamp**: {now()}\n")
    try:
        with copied(workspace.path) as copy:
            evidence = Evidence(
                task=run.evaluation.experiment.task,
                answer=text_of(run.dir.agent_output),
                patch=text_of(run.dir.patch),
                agent=agent,
                pipeline=pipeline,
                baseline=baseline(settings.pipeline, base, run.evaluation.results),
                copy=copy,
                slot=slot,
            )
            grading = judge.grade(evidence)
        judgment = _scored(run, grading, started.seconds, inputs)
    except (ScyllaError, ValueError, OSError) as error:
        heed_the_end(run)
        judgment = _invalid(judge, str(error), started.seconds, inputs)
        write_text(slot / "error.log", f"{error}\n")
    else:
        write_text(slot / "response.txt", grading.response, sync=judge.paid)
    write_json(slot / "timing.json", timing("judge", judgment.duration_seconds))
    write_json(slot / "judgment.json", run.sealed(judgment), sync=judge.paid)
    return judgment


class _Clock:
    def __init__(self) -> None:
        import time

        self._now = time.monotonic
        self._start = self._now()

    @property
    def seconds(self) -> float:
        return self._now() - self._start


def _scored(run: Run, grading: Grading, seconds: float, inputs: Inputs) -> Judgment:
    rubric = run.evaluation.experiment.task.rubric
    categories = score_categories(rubric, grading.items)
    score = total_score(rubric, categories)
    passed = score >= rubric.pass_threshold if grading.passed is None else grading.passed
    return Judgment(
        score=score,
        passed=passed,
        grade=rubric.grade(score),
        reasoning=grading.reasoning,
        criteria_scores=categories,
        model=grading.model,
        token_stats=grading.tokens,
        cost_usd=grading.cost_usd,
        duration_seconds=seconds,
        inputs=inputs,
    )


def _invalid(judge: Judge, error: str, seconds: float, inputs: Inputs) -> Judgment:
    return Judgment(
        score=None,
        passed=None,
        grade=None,
        reasoning="",
        is_valid=False,
        model=judge.model,
        error=error,
        duration_seconds=seconds,
        inputs=inputs,
    )
