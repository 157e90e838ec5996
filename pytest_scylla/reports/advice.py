"""Which set-up to adopt, what it costs, and how sure that is: in words, from the runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..results import RunResult
from ..statistics import MISSING, Unknown, scipy_is_there
from ..statistics.inference import fewest_in_pair, holm, mann_whitney
from .summary import ExperimentSummary, Figures, SubtestSummary, rank

ALPHA = 0.05


@dataclass(frozen=True)
class Contrast:
    """One figure of a set-up beside that of the adopted one."""

    change: float | None
    """Its mean less the adopted one's."""
    p: float | None
    """Mann and Whitney, corrected (Holm) for the number of set-ups; None where it is not known."""
    reason: str = ""
    """Why p is not known."""

    @property
    def clear(self) -> bool:
        """It is more than chance."""
        return self.p is not None and self.p < ALPHA

    def __str__(self) -> str:
        if self.p is None:
            return self.reason
        said = "less than 0.001" if self.p < 0.001 else f"{self.p:.3f}"
        if not self.clear:
            return f"not more than chance (p {said})"
        return f"{'higher' if (self.change or 0) > 0 else 'lower'} (p {said})"


@dataclass(frozen=True)
class SetUp:
    """A subtest, mostly the best one of its tier."""

    tier: str
    subtest: SubtestSummary
    agent: str = ""
    """Which of an experiment's several agents; empty where it has one."""

    @property
    def name(self) -> str:
        """`T0/00-empty`, with several agents `<agent>/T0/00-empty`."""
        return "/".join(filter(None, (self.agent, self.tier, self.subtest.id)))

    @property
    def figures(self) -> Figures:
        """Of its runs."""
        return self.subtest.figures


@dataclass(frozen=True)
class Rival:
    """Another set-up beside the adopted one."""

    set_up: SetUp
    score: Contrast
    cost: Contrast

    @property
    def told_apart(self) -> bool:
        """Score or cost differ by more than chance."""
        return self.score.clear or self.cost.clear

    @property
    def too_few(self) -> bool:
        """There are not enough runs to compare the scores."""
        return self.score.p is None and self.score.reason != EQUAL


EQUAL = "all values are equal"


@dataclass(frozen=True)
class Advice:
    """The adopted set-up, and the best ones of the other tiers, or agents."""

    adopted: SetUp
    rivals: tuple[Rival, ...]
    cheapest: SetUp | None = None
    """The one with the least cost of pass of all, where that is below the adopted one's: it is not
    the best of its tier."""
    among: str = "tier"
    """What each rival is the best of."""

    @property
    def by_cost(self) -> bool:
        """It was chosen by its cost of pass, and not by its score alone."""
        return self.adopted.figures.cost_of_pass is not None

    @cached_property
    def highest(self) -> Rival | None:
        """The rival with the highest mean score, where that is above the adopted one's."""
        above = [rival for rival in self.rivals if (rival.score.change or 0.0) > 0]
        return max(above, key=lambda rival: rival.score.change or 0.0, default=None)

    def how_sure(self) -> str:
        """A sentence on what these runs can tell."""
        if not self.rivals:
            return f"There is no other {self.among} to compare it with."
        count = len(self.rivals)
        few = sum(rival.too_few for rival in self.rivals)
        apart = sum(rival.told_apart for rival in self.rivals if not rival.too_few)
        if few == count:
            return f"Not enough runs to tell{self._least()}."
        same = count - few - apart
        parts = [
            f"{apart} {_differ(apart)} from it in score or cost by more than chance"
            if apart
            else "",
            f"{same} cannot be told apart from it with these runs" if same else "",
            f"{few} {'have' if few > 1 else 'has'} not enough runs to tell" if few else "",
        ]
        others = "the other set-up" if count == 1 else f"the {count} other set-ups"
        short = self._least() if apart == 0 else ""
        return f"Of {others}, {', '.join(part for part in parts if part)}{short}."

    def _least(self) -> str:
        """How many runs the comparison takes at least, where there are fewer."""
        if not scipy_is_there():
            return f": {self.rivals[0].score.reason}"
        needed = fewest_in_pair(len(self.rivals), ALPHA)
        set_ups = [self.adopted, *(rival.set_up for rival in self.rivals)]
        fewest = min(set_ups, key=lambda set_up: set_up.figures.judged)
        there = fewest.figures.judged
        if there >= needed:
            return ""
        return f": each set-up needs at least {needed} judged runs, and {fewest.name} has {there}"


def _differ(count: int) -> str:
    return "differ" if count > 1 else "differs"


def advice(experiment: ExperimentSummary) -> Advice | None:
    """None where no run has a verdict."""
    best = experiment.best
    if best is None or best.best is None:
        return None
    adopted = SetUp(best.id, best.best)
    others = [SetUp(t.id, t.best) for t in experiment.tiers if t.best and t.id != best.id]
    return _advice(adopted, others, set_ups(experiment), "tier")


def advice_on_agents(agents: Sequence[ExperimentSummary]) -> Advice | None:
    """Which agent to adopt, with its own best set-up; None where no run has a verdict."""
    best = [
        SetUp(one.best.id, one.best.best, one.agent_name)
        for one in agents
        if one.best is not None and one.best.best is not None
    ]
    if not best:
        return None
    adopted = min(best, key=lambda set_up: rank(set_up.subtest))
    others = [set_up for set_up in best if set_up is not adopted]
    return _advice(adopted, others, [s for one in agents for s in set_ups(one)], "agent")


def set_ups(experiment: ExperimentSummary) -> list[SetUp]:
    """All subtests."""
    return [
        SetUp(tier.id, subtest, experiment.agent_name)
        for tier in experiment.tiers
        for subtest in tier.subtests
    ]


def _advice(adopted: SetUp, others: Sequence[SetUp], all: Sequence[SetUp], among: str) -> Advice:
    scores = _contrasts(adopted, others, lambda result: result.judge_score)
    costs = _contrasts(adopted, others, lambda result: result.cost_usd)
    cheapest = min(all, key=lambda set_up: rank(set_up.subtest))
    least, mine = cheapest.figures.cost_of_pass, adopted.figures.cost_of_pass
    cheaper = least is not None and mine is not None and least < mine
    rivals = tuple(map(Rival, others, scores, costs))
    return Advice(adopted, rivals, cheapest if cheaper else None, among)


def _contrasts(
    adopted: SetUp, others: Sequence[SetUp], figure: Callable[[RunResult], float | None]
) -> list[Contrast]:
    mine = _values(adopted, figure)
    found = [(_values(other, figure)) for other in others]
    changes = [_mean(values) - _mean(mine) if values and mine else None for values in found]
    if not scipy_is_there():
        return [Contrast(change, None, MISSING.partition("\n")[0]) for change in changes]
    tests = [mann_whitney(values, mine) for values in found]
    corrected = iter(holm([test.p for test in tests if not isinstance(test, Unknown)]))
    return [
        Contrast(change, None, test.reason)
        if isinstance(test, Unknown)
        else Contrast(change, next(corrected))
        for change, test in zip(changes, tests, strict=True)
    ]


def _values(set_up: SetUp, figure: Callable[[RunResult], float | None]) -> list[float]:
    values = [figure(result) for result in set_up.figures.results]
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
