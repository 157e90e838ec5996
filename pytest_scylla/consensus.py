"""From the judge slots to one verdict."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import RunError
from .results import Judgment
from .rubric import Rubric
from .scoring import exact_mean
from .yamlfile import Strict


class Consensus(Strict):
    """What the valid judgments say together."""

    score: float
    """Mean of the valid slots' scores, 0 to 1."""
    passed: bool
    """score >= the rubric's pass threshold."""
    grade: str
    reasoning: str
    """That of the slot nearest the mean."""
    split: bool
    """The slots' own votes disagree."""


def counted(judgments: Sequence[Judgment], fallbacks: bool = False) -> list[Judgment]:
    """The judgments that a verdict rests on: the valid ones, and those of fallbacks if asked."""
    valid = [j for j in judgments if j.is_valid or (fallbacks and j.fallback)]
    return [j for j in valid if j.score is not None and (fallbacks or not j.fallback)]


def agree(
    rubric: Rubric, judgments: Sequence[Judgment], quorum: int, fallbacks: bool = False
) -> Consensus:
    """The verdict of a panel; a fallback's judgment counts with `fallbacks` alone.

    Raises RunError (kind `no_quorum`) with the slots' reasons where fewer than `quorum`
    judgments are valid: an error, never a score.
    """
    valid = counted(judgments, fallbacks)
    if len(valid) < quorum:
        reasons = "; ".join(
            f"judge {number}: {judgment.error or 'no valid judgment'}"
            for number, judgment in enumerate(judgments, 1)
            if judgment not in valid
        )
        raise RunError(
            "no_quorum",
            f"{len(valid)} of {len(judgments)} judgments are valid and {quorum} are needed: "
            f"no verdict ({reasons})\n  next: run again; only the missing slots are judged"
            + " (one with a fallback's judgment: with --scylla-judge-status failed)"
            * any(j.fallback for j in judgments),
        )
    scores = [float(j.score) for j in valid if j.score is not None]
    mean = exact_mean(scores)
    nearest = min(valid, key=lambda j: abs(float(j.score or 0) - mean))
    return Consensus(
        score=mean,
        passed=mean >= rubric.pass_threshold,
        grade=rubric.grade(mean),
        reasoning=nearest.reasoning,
        split=len({j.passed for j in valid}) > 1,
    )
