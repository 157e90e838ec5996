"""From the judge slots to one verdict."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .errors import RunError
from .experiment import PanelRules, Rule
from .results import JudgeVote, Judgment
from .rubric import Rubric
from .scoring import distance, exact_mean
from .yamlfile import Strict


class Consensus(Strict):
    """What the valid judgments say together."""

    score: float
    """The slots' scores by the panel's rule, 0 to 1."""
    passed: bool
    """score >= the rubric's pass threshold, under every rule."""
    grade: str
    """That of the score."""
    reasoning: str
    """That of the slot nearest the score."""
    split: bool
    """Some slots pass the run and some do not."""


def median(scores: Sequence[float]) -> float:
    """The one in the middle; of an even number the mean of the two in the middle."""
    middle = [statistics.median_low(scores), statistics.median_high(scores)]
    return exact_mean(middle)


RULES: Mapping[Rule, Callable[[Sequence[float]], float]] = {
    "mean": exact_mean,
    "median": median,
    "majority": statistics.median_low,
    "min": min,
}
"""`majority`: the highest score that a strict majority reaches, so that a run passes where more
than half of the slots pass it; a tie is no majority and fails."""


def slot_score(judgment: Judgment, rules: PanelRules) -> float | None:
    """What a slot's score is by the rules: computed, or the judge's own total."""
    if rules.scores == "own" and judgment.own_score is not None:
        return judgment.own_score
    return judgment.score


Said = TypeVar("Said", Judgment, JudgeVote)


def counted(judgments: Sequence[Said], fallbacks: bool = False) -> list[Said]:
    """The judgments that a verdict rests on: the valid ones, and those of fallbacks if asked."""
    valid = [j for j in judgments if j.is_valid or (fallbacks and j.fallback)]
    return [j for j in valid if j.score is not None and (fallbacks or not j.fallback)]


def voters(valid: Sequence[Said], mixed: bool) -> list[Said]:
    """Of the judgments that count, those with a vote: what the rubric's commands decided is in
    every slot, and a slot that adds nothing to it (`rubric-checks`) has none in a mixed panel."""
    return [j for j in valid if not j.graded_nothing] if mixed else list(valid)


def graded(valid: Sequence[Said]) -> list[Said]:
    """The judgments to compare with each other: those that graded something, where there are."""
    return voters(valid, mixed=True) or list(valid)


def agree(rubric: Rubric, judgments: Sequence[Judgment], rules: PanelRules) -> Consensus:
    """The verdict of a panel.

    Raises RunError (kind `no_quorum`) with the slots' reasons where fewer judgments are valid
    than the quorum: an error, never a score.
    """
    valid = counted(judgments, rules.count_fallback)
    _require_quorum(judgments, valid, rules)
    valid = voters(valid, rules.mixed)
    scores = [float(slot_score(j, rules) or 0) for j in valid]
    score = float(RULES[rules.consensus](scores))
    nearest = min(range(len(valid)), key=lambda n: abs(scores[n] - score))
    return Consensus(
        score=score,
        passed=score >= rubric.pass_threshold,
        grade=rubric.grade(score),
        reasoning=valid[nearest].reasoning,
        split=len({s >= rubric.pass_threshold for s in scores}) > 1,
    )


def _require_quorum(
    judgments: Sequence[Judgment], valid: Sequence[Judgment], rules: PanelRules
) -> None:
    spared = sum(not judgment.asked for judgment in judgments)
    asked = max(rules.slots, len(judgments)) - spared
    needed = rules.needed(asked)
    if len(valid) >= needed and voters(valid, rules.mixed):
        return
    reasons = "; ".join(
        f"judge {number}: {judgment.error or 'no valid judgment'}"
        for number, judgment in enumerate(judgments, 1)
        if judgment not in valid and judgment.asked
    )
    raise RunError(
        "no_quorum",
        f"{len(valid)} of {asked} judgments are valid and {needed} are needed"
        f"{' (rubric-checks alone is not enough)' if rules.mixed else ''}: "
        f"no verdict ({reasons})\n  next: run again; only the missing slots are judged"
        + " (one with a fallback's judgment: with --scylla-judge-status failed)"
        * any(j.fallback for j in judgments),
    )


def settled(rubric: Rubric, judgments: Sequence[Judgment], rules: PanelRules) -> bool:
    """Whether a sequential panel needs no further slot: two judgments are valid, and all that are
    agree on the pass and lie no further apart than the margin."""
    if rules.margin is None:
        return False
    valid = voters(counted(judgments, rules.count_fallback), rules.mixed)
    scores = [float(slot_score(j, rules) or 0) for j in valid]
    if len(scores) < 2 or len({s >= rubric.pass_threshold for s in scores}) > 1:
        return False
    return distance(max(scores), min(scores)) <= rules.margin
