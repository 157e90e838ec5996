"""What an experiment's judges gave and cost, and how far they agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..consensus import counted, graded
from ..errors import ScyllaError
from ..rebuild import stored_judgments, vote
from ..results import CategoryScore, JudgeVote
from ..rounding import rounded
from ..rubric import Rubric, load_rubric
from ..scoring import distance, score_of_items
from ..statistics import krippendorff_alpha, mean, total
from ..store import RunDir
from ..tree import ResultsTree
from .summary import ExperimentSummary, RunSummary

ROUNDING = 0.005
"""A judge's own total nearer than this to the computed score is the same, in two decimals."""


@dataclass(frozen=True)
class Seat:
    """One judge slot over all runs of an experiment."""

    number: int
    votes: tuple[JudgeVote, ...]

    @property
    def models(self) -> str:
        """Whoever judged in this slot."""
        return ", ".join(dict.fromkeys(vote.model for vote in self.votes if vote.asked))

    @property
    def asked(self) -> list[JudgeVote]:
        """The times it was asked."""
        return [vote for vote in self.votes if vote.asked]

    @property
    def not_asked(self) -> int:
        """How often a sequential panel did not need it."""
        return len(self.votes) - len(self.asked)

    @property
    def valid(self) -> list[JudgeVote]:
        """Its valid judgments."""
        return counted(self.votes)

    @property
    def mean_score(self) -> float | None:
        """Of the valid judgments."""
        return mean([vote.score for vote in self.valid if vote.score is not None])

    @property
    def cost_usd(self) -> float | None:
        """USD; None where a part is not known."""
        return total([vote.cost_usd for vote in self.asked])

    @property
    def mean_cost_usd(self) -> float | None:
        """USD of one judgment, valid or not; None where it is not known."""
        cost = self.cost_usd
        return None if cost is None or not self.asked else cost / len(self.asked)

    @cached_property
    def own_totals(self) -> list[float]:
        """The judge's own totals, less the scores computed from its items."""
        return [
            distance(vote.own_score, vote.score) * (1 if vote.own_score > vote.score else -1)
            for vote in self.valid
            if vote.own_score is not None and vote.score is not None
        ]

    @property
    def own_totals_off(self) -> list[float]:
        """Of these the differences that rounding to two decimals does not explain."""
        return [difference for difference in self.own_totals if abs(difference) > ROUNDING]

    @property
    def own_votes(self) -> list[bool]:
        """Of each vote that the judge gave, whether the threshold says the same."""
        return [v.own_passed == v.passed for v in self.valid if v.own_passed is not None]


@dataclass(frozen=True)
class Pair:
    """Two judge slots, on the runs that both have graded."""

    slots: tuple[int, int]
    runs: int
    mean_difference: float
    """Mean of the absolute differences of their scores."""
    same_verdict: float
    """Share of the runs that both pass, or both fail."""


@dataclass(frozen=True)
class PanelFigures:
    """The judges of an experiment."""

    runs: tuple[tuple[JudgeVote, ...], ...]
    """The votes of each run, whether it came to a verdict or not."""

    @cached_property
    def seats(self) -> list[Seat]:
        """The slots, by number."""
        numbers = sorted({vote.judge_number for votes in self.runs for vote in votes})
        return [
            Seat(n, tuple(v for votes in self.runs for v in votes if v.judge_number == n))
            for n in numbers
        ]

    @cached_property
    def valid(self) -> list[list[JudgeVote]]:
        """Of each run the votes that a verdict may rest on."""
        return [graded(counted(votes)) for votes in self.runs]

    @property
    def compared(self) -> int:
        """Runs with two valid votes or more."""
        return sum(len(votes) > 1 for votes in self.valid)

    def alpha_scores(self) -> float | None:
        """Krippendorff's alpha of the scores (interval)."""
        return krippendorff_alpha([[v.score or 0.0 for v in r] for r in self.valid], "interval")

    def alpha_passes(self) -> float | None:
        """Krippendorff's alpha of passed or failed (nominal)."""
        return krippendorff_alpha(
            [[float(bool(v.passed)) for v in r] for r in self.valid], "nominal"
        )

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every two slots that have graded a run in common."""
        by_slot = [{v.judge_number: v for v in votes} for votes in self.valid]
        found = []
        for one, other in itertools.combinations([seat.number for seat in self.seats], 2):
            both = [(v[one], v[other]) for v in by_slot if one in v and other in v]
            apart = mean([distance(a.score or 0.0, b.score or 0.0) for a, b in both])
            same = mean([float(a.passed == b.passed) for a, b in both])
            if apart is not None and same is not None:
                found.append(Pair((one, other), len(both), apart, same))
        return found

    def both_scores(self, one: int, other: int) -> Iterator[tuple[float, float]]:
        """The scores that two slots gave, of every run that both have graded."""
        for votes in self.valid:
            found = {v.judge_number: v.score or 0.0 for v in votes}
            if one in found and other in found:
                yield found[one], found[other]

    @property
    def saved_calls(self) -> int:
        """Judgments that a sequential panel did not need."""
        return sum(seat.not_asked for seat in self.seats)

    @property
    def saved_usd(self) -> float | None:
        """What these would have cost, at the mean cost of their slots; None where a slot that was
        not asked has no mean cost."""
        costs = [(seat.not_asked, seat.mean_cost_usd) for seat in self.seats if seat.not_asked]
        return total([None if cost is None else times * cost for times, cost in costs])


def panel_figures(experiment: ExperimentSummary) -> PanelFigures:
    """The judges of an experiment, from its runs."""
    tree = ResultsTree(experiment.path)
    if tree.foreign:
        rubric = _rubric(experiment.path)
        return PanelFigures(
            tuple(
                tuple(_computed(vote, rubric) for vote in _stored(run))
                for run in experiment.figures.runs
            )
        )
    return PanelFigures(tuple(_votes(run) for run in experiment.figures.runs))


def _votes(run: RunSummary) -> tuple[JudgeVote, ...]:
    return run.result.judges if run.result else _stored(run)


def _stored(run: RunSummary) -> tuple[JudgeVote, ...]:
    judged = stored_judgments(RunDir(run.path))
    return tuple(vote(number, judgment) for number, judgment in judged.items())


def _rubric(results: Path) -> Rubric | None:
    try:
        return load_rubric(results / "rubric.yaml")
    except ScyllaError:
        return None


def _computed(given: JudgeVote, rubric: Rubric | None) -> JudgeVote:
    """A vote of ProjectScylla, whose score is the judge's own total: with the computed one.

    What a judge cost is not in its trees.
    """
    given = given.model_copy(update={"cost_usd": None})
    score = _score(given.criteria_scores, rubric)
    if score is None or rubric is None:
        return given
    own = {"own_score": given.score, "own_passed": given.passed}
    passed = score >= rubric.pass_threshold
    return given.model_copy(update={**own, "score": score, "passed": passed})


def _score(categories: dict[str, CategoryScore], rubric: Rubric | None) -> float | None:
    try:
        return score_of_items(rubric, categories) if rubric and categories else None
    except ValueError:
        return None


def own_totals(seats: Sequence[Seat]) -> str:
    """How the judges' own arithmetic compares with ours, in a sentence; nothing where it agrees."""
    given = [difference for seat in seats for difference in seat.own_totals]
    off = [difference for seat in seats for difference in seat.own_totals_off]
    if not off:
        return ""
    return (
        f"the judges' own totals differ from their items in {len(off)} of {len(given)} judgments "
        f"(mean {rounded(mean(given) or 0.0, 4, '+')}, "
        f"at most {rounded(max(off, key=abs), 4, '+')})"
    )
