"""The text of a failed verdict: what the judges found, what to open, how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from .evaluation import Run
from .experiment import COMMANDS
from .results import CategoryScore, JudgeVote, PipelineResult, RunResult
from .rounding import rounded
from .store import read_model


def explain(run: Run, result: RunResult, nodeid: str) -> str:
    """A failed verdict, for people."""
    threshold = run.evaluation.experiment.task.rubric.pass_threshold
    lines = [
        f"score {rounded(result.judge_score, 3)} (grade {result.judge_grade}) is below the pass "
        f"threshold {threshold:g}",
        *_votes(result),
        *_lost(result.criteria_scores),
    ]
    pipeline = read_model(run.dir.pipeline, PipelineResult)
    lines += [f"  pipeline {line}" for line in pipeline.findings()] if pipeline else []
    if result.timed_out:
        lines.append("  the agent reached its limit and was judged on what it left")
    if result.tampering:
        lines.append(f"  files left above the workspace, set aside: {', '.join(result.tampering)}")
    place = run.dir.path
    lines += [
        f"  report:    {place / 'report.md'}",
        f"  patch:     {run.dir.patch}",
        f"  answer:    {run.dir.agent_output}",
    ]
    if (run.evaluation.results / result.workspace_path).is_dir():
        lines.append(f"  workspace: {run.evaluation.results / result.workspace_path}")
    lines.append(f"  again:     pytest {shlex.quote(nodeid)} --lf")
    return "\n".join(lines)


def _votes(result: RunResult) -> Iterator[str]:
    mixed = COMMANDS in result.inputs.get("verdict", {})
    mute = [vote for vote in result.judges if mixed and vote.graded_nothing]
    for vote in result.judges:
        judge = f"  judge {vote.judge_number} ({vote.model})"
        if not vote.asked:
            yield f"{judge}: not asked, the two before it agreed"
        elif vote.score is None:
            yield f"{judge}: not valid: {vote.error or 'no reason given'}"
        else:
            said = f"{rounded(vote.score, 3)} {_word(vote.passed)}{_own(vote)}"
            said += ", no vote: commands decide in every slot" * (vote in mute)
            yield f"{judge}: {said}: {vote.reasoning}"


def _own(vote: JudgeVote) -> str:
    """What the judge itself added up and voted, where that is something else."""
    found = []
    if vote.own_score is not None and f"{vote.own_score:.2f}" != f"{vote.score:.2f}":
        found.append(f"its own total {rounded(vote.own_score, 3)}")
    if vote.own_passed is not None and vote.own_passed != vote.passed:
        found.append(f"its own vote: {_word(vote.own_passed)}")
    return f" ({'; '.join(found)})" if found else ""


def _word(passed: bool | None) -> str:
    return "passed" if passed else "failed"


def _lost(categories: dict[str, CategoryScore]) -> Iterator[str]:
    """The rubric's points that were lost, the largest first."""
    lost = [
        (float(item.max) - float(item.achieved), name, id, item.reason)
        for name, category in categories.items()
        for id, item in category.items.items()
        if item.achieved != "N/A" and float(item.achieved) < float(item.max)
    ]
    for points, name, id, reason in sorted(lost, key=lambda entry: -entry[0]):
        yield f"  -{points:g} {name}.{id}: {reason}"
