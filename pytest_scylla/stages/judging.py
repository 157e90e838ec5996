"""The judge slots: the stored judgments, and new ones where they are missing."""

from __future__ import annotations

import contextlib
import functools
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..consensus import agree, settled
from ..errors import RunError, ScyllaError
from ..evaluation import Run
from ..judge_prompt import holds_evidence
from ..judges import NO_TOKENS, Evidence, Grading, Judge, NotGraded, idle
from ..results import (
    FILE,
    AgentResult,
    Inputs,
    ItemScore,
    JudgeVote,
    Judgment,
    PipelineResult,
    TokenStats,
    same_inputs,
    usd,
)
from ..scoring import score_categories, total_score
from ..status import was_not_asked
from ..store import digest, now, own_directory, read_model, text_of, write_json, write_text
from ..tree import folders
from .budget import reserve, settle
from .ending import heed_the_end
from .evidence import Clock, execution, left_by_agent, timing
from .executed import executed_items
from .pipeline import baseline_of
from .workspace import Workspace


def judgments(
    run: Run, workspace: Workspace, agent: AgentResult, pipeline: PipelineResult
) -> tuple[Judgment, ...]:
    """The judgments of all slots: the stored ones, and new ones where they are missing.

    A slot that fails is kept as an invalid judgment; it is asked again next time. One that a
    sequential panel does not need is kept as not asked.
    """
    if run.replayed is not None:
        return tuple(_judgment_of(vote) for vote in run.replayed.judges)
    rubric = run.evaluation.experiment.task.rubric
    stored = counted_again(run)
    if stored is not None:
        return stored
    found: list[Judgment] = []
    for number, judge in enumerate(run.evaluation.judges, 1):
        enough = settled(rubric, found, run.evaluation.panel)
        found.append(_judgment(run, agent, pipeline, number, judge, enough))
    return tuple(found)


def counted_again(run: Run) -> tuple[Judgment, ...] | None:
    """The stored judgments as they are, where nothing but a verdict's arithmetic has changed and
    they give one: no slot is asked for that."""
    if not run.only_arithmetic_differs:
        return None
    slots = [run.dir.judge_slot(n) for n in range(1, len(run.evaluation.judges) + 1)]
    stored = [run.read(slot / "judgment.json", Judgment) for slot in slots]
    judged = tuple(judgment for judgment in stored if judgment is not None)
    try:
        agree(run.evaluation.experiment.task.rubric, judged, run.evaluation.panel)
    except RunError:
        return None
    return judged if len(judged) == len(slots) else None


def _judgment_of(vote: JudgeVote) -> Judgment:
    return Judgment(**vote.model_dump(exclude={"judge_number"}))


def _judgment(
    run: Run,
    agent: AgentResult,
    pipeline: PipelineResult,
    number: int,
    judge: Judge,
    enough: bool,
) -> Judgment:
    slot = run.dir.judge_slot(number)
    inputs = {**run.evaluation.judge_inputs[number - 1], "agent": execution(run)}
    kept = _kept_judgment(run, number, inputs)
    if kept is not None:
        return kept
    kept = _brought_back(run, number, inputs)
    if kept is not None:
        return kept
    if enough and not run.slot_selected(number):
        return _spared(run, slot, judge, inputs)
    if run.asked.slots and not run.slot_selected(number) and not was_not_asked(slot):
        return _invalid(judge, "this slot was not selected", 0.0, inputs)
    heed_the_end(run)
    executed = executed_items(run)
    paid = judge.paid or getattr(run.evaluation.fallbacks.get(number), "paid", False)
    if paid:
        reserve(run, slot.name, paid)
    cost: float | None = None
    try:
        _set_slot_aside(run, slot)
        slot.mkdir(parents=True, exist_ok=True)
        judgment = _judge(run, agent, pipeline, executed, number, inputs)
        cost = judgment.cost_usd
    finally:
        if paid:
            settle(run, slot.name, cost)
    return judgment


def _spared(run: Run, slot: Path, judge: Judge, inputs: Inputs) -> Judgment:
    """The slot is not asked, for those before it agree; what it held is set aside."""
    judgment = _invalid(judge, None, 0.0, inputs).model_copy(update={"asked": False})
    _set_slot_aside(run, slot)
    write_json(slot / "judgment.json", run.sealed(judgment))
    return judgment


def _kept_judgment(run: Run, number: int, inputs: Inputs) -> Judgment | None:
    """The stored judgment of a slot, if it is current, and not asked for again: a valid one, or
    that of its fallback."""
    path = run.dir.judge_slot(number) / "judgment.json"
    kept = run.read(path, Judgment)
    if kept is None or not (kept.is_valid or kept.fallback):
        return None
    asked = _with_fallback(run, number, inputs) if kept.fallback else inputs
    if kept.inputs and not same_inputs(kept.inputs, asked):
        return None
    return None if run.forgets("judge", path) or run.slot_selected(number) else kept


def _with_fallback(run: Run, number: int, inputs: Inputs) -> Inputs:
    """What the judgment of a slot's fallback is made from."""
    fallback = run.evaluation.fallbacks.get(number)
    if fallback is None:
        return {**inputs, "fallback": digest({})}
    files = run.evaluation.files[f"fallback_{number:02d}"]
    return {**inputs, "fallback": digest(dict(fallback.identity())), **files}


def _set_slot_aside(run: Run, slot: Path) -> None:
    """What an earlier judgment of the slot left moves to judge/attempts/, whole."""
    if not slot.is_dir() or not os.listdir(slot):
        return
    if was_not_asked(slot):
        (slot / "judgment.json").unlink()
        return
    number = max(_attempt_numbers(slot), default=0) + 1
    while os.path.lexists(_attempt(slot, number)):
        number += 1
    place = _attempt(slot, number)
    own_directory(place.parent)
    os.replace(slot, place)


def _attempt(slot: Path, number: int) -> Path:
    return slot.parent / "attempts" / f"{slot.name}_attempt_{number:02d}"


def _attempt_numbers(slot: Path) -> list[int]:
    """Numbers of the earlier judgments of a slot, oldest first."""
    found = (name.rpartition("_") for name in folders(slot.parent / "attempts"))
    return sorted(int(n) for of, _, n in found if of == f"{slot.name}_attempt" and n.isdigit())


def earlier_judgment(run: Run, number: int, inputs: Inputs) -> Path | None:
    """Where an earlier judgment of the slot is that was made from just these inputs, and is valid.

    None where the slot is asked for again: what was said before is not what is wanted then.
    """
    slot = run.dir.judge_slot(number)
    if run.forgets("judge", slot / "judgment.json") or run.slot_selected(number):
        return None
    places = [_attempt(slot, attempt) for attempt in reversed(_attempt_numbers(slot))]
    judged = [run.read(place / "judgment.json", Judgment) for place in places]
    now = run.read(slot / "judgment.json", Judgment)
    edited = _edited([one.inputs for one in (now, *judged) if one], inputs)
    for place, kept in zip(places, judged, strict=True):
        known = kept is not None and not edited - kept.inputs.keys()
        if kept is not None and kept.is_valid and known and same_inputs(kept.inputs, inputs):
            return place
    return None


def _edited(known: Sequence[Inputs], asked: Inputs) -> set[str]:
    """The files of which some judgment knows another content than today's: one that says nothing
    of them may be from before the edit."""
    files = {name: value for name, value in asked.items() if name.startswith(FILE)}
    return {n for n, value in files.items() if any(one.get(n, value) != value for one in known)}


def _brought_back(run: Run, number: int, inputs: Inputs) -> Judgment | None:
    """An earlier judgment from just these inputs takes its place again: it was paid for."""
    place = earlier_judgment(run, number, inputs)
    if place is None:
        return None
    slot = run.dir.judge_slot(number)
    _set_slot_aside(run, slot)
    os.replace(place, slot)
    return run.read(slot / "judgment.json", Judgment)


def require_quorum(run: Run) -> None:
    """Raise RunError (kind `rubric`) where the rubric leaves too few judges anything to grade."""
    experiment, judges = run.evaluation.experiment, run.evaluation.judges
    reasons = {n: idle(judge, experiment.task.rubric) for n, judge in enumerate(judges, 1)}
    found = {n: why for n, why in reasons.items() if why and n not in run.evaluation.fallbacks}
    needed = experiment.panel.needed(len(judges))
    if len(judges) - len(found) < needed:
        number, why = next(iter(found.items()))
        many = f"{len(judges) - len(found)} of {len(judges)} judges can grade anything"
        raise RunError(
            "rubric", f"no agent is started: {many}, {needed} are needed: judge {number}: {why}"
        )


def will_ask(run: Run, number: int) -> bool:
    """Whether a slot's judge is asked, and not a stored judgment taken."""
    inputs = {**run.evaluation.judge_inputs[number - 1], "agent": execution(run)}
    kept = _kept_judgment(run, number, inputs) is not None
    if kept or earlier_judgment(run, number, inputs) or counted_again(run) is not None:
        return False
    return not run.asked.slots or run.slot_selected(number)


def _judge(
    run: Run,
    agent: AgentResult,
    pipeline: PipelineResult,
    executed: Mapping[str, ItemScore],
    number: int,
    inputs: Inputs,
) -> Judgment:
    """Ask the slot's judge, and its fallback where that gives no valid judgment."""
    clock = Clock()
    evaluation = run.evaluation
    judge, fallback = evaluation.judges[number - 1], evaluation.fallbacks.get(number)
    slot = run.dir.judge_slot(number)
    saved = _saved_prompt(run, number, inputs)
    with contextlib.ExitStack() as stack:
        evidence = Evidence(
            task=evaluation.experiment.task,
            answer=text_of(run.dir.agent_output),
            patch=text_of(run.dir.patch),
            agent=agent,
            pipeline=pipeline,
            baseline=_baseline(run),
            left=functools.cache(lambda: _files(run, stack)),
            slot=slot,
            template=evaluation.template,
            experiment=evaluation.experiment.directory,
            prices=evaluation.prices,
            executed=executed,
            saved=saved,
            turn=run.evaluation.turn,
            max_wait=run.evaluation.max_wait,
        )
        judgment = _ask(run, judge, evidence, inputs)
        if fallback and not judgment.is_valid:
            second = replace(evidence, slot=slot / "fallback")
            inputs = _with_fallback(run, number, inputs)
            judgment = _stepped_in(judgment, _ask(run, fallback, second, inputs), fallback)
    used = [slot.name] + [f"fallback_{number:02d}"] * judgment.fallback
    known = evaluation.unspoilt(judgment.inputs, *used)
    judgment = judgment.model_copy(update={"inputs": known})
    write_json(slot / "timing.json", timing("judge", judgment.duration_seconds, clock.seconds))
    paid = any(one.paid for one in (judge, fallback) if one)
    write_json(slot / "judgment.json", run.sealed(judgment), sync=paid)
    return judgment


def _files(run: Run, stack: contextlib.ExitStack) -> tuple[Path | None, str]:
    """The files that the agent left, or why they cannot be made again."""
    try:
        return stack.enter_context(left_by_agent(run)).files, ""
    except (ScyllaError, OSError) as error:
        return None, str(error)


def _baseline(run: Run) -> PipelineResult:
    """The pipeline before the agent; as it was stored, where it cannot run again."""
    try:
        return baseline_of(run)
    except ScyllaError:
        path = run.evaluation.results / "pipeline_baseline.json"
        return run.read(path, PipelineResult) or PipelineResult(steps=())


EVIDENCE = ("rubric", "criteria", "prompt", "pipeline", "agent")
"""Inputs of a judgment that decide what its prompt says."""


def _saved_prompt(run: Run, number: int, inputs: Inputs) -> str | None:
    """The prompt that a judge of this run was asked before, with the evidence in it, if it is just
    what would be asked today: that of the same slot, else of another."""
    own = run.dir.judge_slot(number)
    earlier = [_attempt(own, attempt) for attempt in reversed(_attempt_numbers(own))]
    others = [run.dir.judge_slot(slot) for slot in run.dir.slot_numbers()]
    for place in (*earlier, *others):
        text = text_of(place / "prompt.md")
        judgment = read_model(place / "judgment.json", Judgment)
        if judgment and holds_evidence(text) and _same_evidence(judgment.inputs, inputs):
            return text
    if not run.evaluation.tree.foreign:
        return None
    return text_of(run.dir.path / "judge_prompt.md") or None


def _same_evidence(stored: Inputs, asked: Inputs) -> bool:
    return all(stored.get(name) == asked.get(name) for name in EVIDENCE)


def _ask(run: Run, judge: Judge, evidence: Evidence, inputs: Inputs) -> Judgment:
    """Ask one judge; what it says is kept, valid or not, and so is what it cost."""
    slot, clock = evidence.slot, Clock()
    write_text(slot / "MODEL.md", f"# Judge\n\n**Model**: {judge.model}\n**Timestamp**: {now()}\n")
    try:
        nothing = idle(judge, evidence.task.rubric)
        if nothing:
            raise RunError("rubric", nothing)
        grading = judge.grade(evidence)
    except NotGraded as error:
        write_text(slot / "response.txt", error.response, sync=judge.paid)
        write_text(slot / "error.log", f"{error}\n{error.log}\n")
        return _invalid(judge, str(error), clock.seconds, inputs, error.tokens, error.cost_usd)
    except ScyllaError as error:
        write_text(slot / "error.log", f"{error}\n")
        return _invalid(judge, str(error), clock.seconds, inputs)
    except Exception as error:  # whatever an adapter raises: the others have their say
        write_text(slot / "error.log", traceback.format_exc())
        unknown = None if judge.paid else 0.0
        return _invalid(judge, _said(error, slot), clock.seconds, inputs, cost_usd=unknown)
    write_text(slot / "response.txt", grading.response, sync=judge.paid)
    try:
        judgment = _scored(run, grading, evidence.executed, clock.seconds, inputs)
        return judgment.model_copy(update={"by_commands": getattr(judge, "by_commands", False)})
    except ValueError as error:
        write_text(slot / "error.log", f"{error}\n")
        spent = (grading.tokens, grading.cost_usd)
        return _invalid(judge, str(error), clock.seconds, inputs, *spent)


def _said(error: Exception, slot: Path) -> str:
    """What an adapter's exception says; one that is none of its answers is named as well."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    kind = f"{type(error).__name__}: " if str(error) else type(error).__name__
    return f"{kind}{error}\n  next: read the traceback in {slot / 'error.log'}"


def _stepped_in(failed: Judgment, second: Judgment, fallback: Judge) -> Judgment:
    """The fallback's judgment, marked: it is kept, and is not a valid one. Both were paid for."""
    costs = (failed.cost_usd, second.cost_usd)
    together = {
        "token_stats": failed.token_stats + second.token_stats,
        "cost_usd": None if None in costs else sum(filter(None, costs)),
        "duration_seconds": failed.duration_seconds + second.duration_seconds,
    }
    if not second.is_valid:
        error = f"{failed.error}; its fallback ({fallback.model}): {second.error}"
        return failed.model_copy(update={**together, "error": error})
    marks = {
        "is_valid": False,
        "error": f"only its fallback ({fallback.model}) answered: {failed.error}",
        "fallback": True,
        "fallback_reason": failed.error,
    }
    return second.model_copy(update={**together, **marks})


def _scored(
    run: Run,
    grading: Grading,
    executed: Mapping[str, ItemScore],
    seconds: float,
    inputs: Inputs,
) -> Judgment:
    rubric, own = run.evaluation.experiment.task.rubric, grading.own_score
    if own is not None and not 0 <= own <= 1:
        raise ValueError(f"the judge's own total must be from 0 to 1, not {own}")
    categories = score_categories(rubric, {**grading.items, **executed})
    score = total_score(rubric, categories)
    return Judgment(
        score=score,
        passed=score >= rubric.pass_threshold,
        grade=rubric.grade(score),
        reasoning=grading.reasoning,
        criteria_scores=categories,
        model=grading.model,
        own_score=own,
        own_passed=grading.passed,
        token_stats=grading.tokens,
        cost_usd=usd(grading.cost_usd),
        duration_seconds=seconds,
        inputs=inputs,
    )


def _invalid(
    judge: Judge,
    error: str | None,
    seconds: float,
    inputs: Inputs,
    tokens: TokenStats = NO_TOKENS,
    cost_usd: float | None = 0.0,
) -> Judgment:
    return Judgment(
        score=None,
        passed=None,
        grade=None,
        reasoning="",
        is_valid=False,
        model=judge.model,
        error=error,
        token_stats=tokens,
        cost_usd=cost_usd,
        duration_seconds=seconds,
        inputs=inputs,
    )
