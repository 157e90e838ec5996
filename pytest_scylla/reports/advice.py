"""Which set-up passes at the least cost, and how sure that is: in words, from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..statistics import Unknown
from ..statistics.contrast import Contrast
from ..statistics.inference import fewest_in_pair
from .markdown_report import says
from .pairs import ALPHA, Pair, Sample, compare, corrected, standing
from .summary import ExperimentSummary, Figures, SubtestSummary, rank


@dataclass(frozen=True)
class SetUp:
    """A subtest of a tier."""

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
class Told:
    """One figure of a set-up less that of the chosen one, and p corrected for all set-ups."""

    contrast: Contrast
    p: float | None

    @property
    def clear(self) -> bool:
        """It is more than chance."""
        return self.p is not None and self.p < ALPHA

    @property
    def change(self) -> float:
        """The difference; 0 where it is not known."""
        return self.contrast.change or 0.0

    def __str__(self) -> str:
        return standing(self.contrast, self.p)


@dataclass(frozen=True)
class Rival:
    """Another set-up, compared with the chosen one."""

    set_up: SetUp
    pair: Pair
    score: Told
    pass_rate: Told
    cost: Told

    @property
    def told_apart(self) -> bool:
        """Score or cost differ by more than chance."""
        return self.score.clear or self.cost.clear

    @property
    def too_few(self) -> bool:
        """There are not enough runs to compare the scores."""
        return isinstance(self.score.contrast.p, Unknown)

    @property
    def beaten(self) -> bool:
        """Its score is lower, or its cost is higher, by more than chance; and in the other one
        it is not the better."""
        lower = self.score.clear and self.score.change < 0
        dearer = self.cost.clear and self.cost.change > 0
        return (lower and self.cost.change >= 0) or (dearer and self.score.change <= 0)


@dataclass(frozen=True)
class Advice:
    """The chosen set-up, and those that it is compared with."""

    chosen: SetUp
    rivals: tuple[Rival, ...]
    among: str = "set-up"
    """What was chosen from: the set-ups of an experiment, or its agents, each with the cheapest
    pass of its set-ups."""

    @cached_property
    def decided(self) -> bool:
        """It has passed, and beats every other one."""
        rivals = self.rivals
        return bool(self.chosen.figures.passed and rivals and all(r.beaten for r in rivals))

    @property
    def says(self) -> str:
        """What it is, in the words of every report."""
        return says(self.chosen.name, self.chosen.figures, self.decided)

    @cached_property
    def highest(self) -> Rival | None:
        """The rival with the highest mean score, where that is above the chosen one's."""
        above = [rival for rival in self.rivals if rival.score.change > 0]
        return max(above, key=lambda rival: rival.score.change, default=None)

    def how_sure(self) -> str:
        """A sentence on what these runs can tell."""
        if not self.rivals:
            return f"There is no other {self.among} to compare it with."
        count = len(self.rivals)
        few = sum(rival.too_few for rival in self.rivals)
        apart = sum(rival.told_apart for rival in self.rivals if not rival.too_few)
        if few == count:
            return f"Not enough runs to tell{self._least()}."
        if count == 1:
            return self._of_one()
        same = count - few - apart
        parts = [
            f"{apart} {_differ(apart)} from it in score or cost by more than chance"
            if apart
            else "",
            f"{same} cannot be told apart from it with these runs" if same else "",
            f"{few} {'have' if few > 1 else 'has'} not enough runs to tell" if few else "",
        ]
        short = self._least() if apart == 0 else ""
        said = ", ".join(part for part in parts if part)
        return f"Of the {count} other {self.among}s, {said}{short}."

    def _of_one(self) -> str:
        if self.rivals[0].told_apart:
            return f"The other {self.among} differs from it in score or cost by more than chance."
        return f"The other {self.among} cannot be told apart from it with these runs."

    def _least(self) -> str:
        """How many runs the comparison takes at least, where there are fewer."""
        needed = fewest_in_pair(len(self.rivals), ALPHA)
        set_ups = [self.chosen, *(rival.set_up for rival in self.rivals)]
        fewest = min(set_ups, key=lambda set_up: set_up.figures.judged)
        there = fewest.figures.judged
        if there >= needed:
            return ""
        return f": each set-up needs at least {needed} judged runs, and {fewest.name} has {there}"


def _differ(count: int) -> str:
    return "differ" if count > 1 else "differs"


def advice(experiment: ExperimentSummary) -> Advice | None:
    """The cheapest pass beside all other set-ups; None where no run has a verdict."""
    return _advice(set_ups(experiment), "set-up")


def advice_on_agents(agents: Sequence[ExperimentSummary]) -> Advice | None:
    """The agents, each with its cheapest pass; None where no run has a verdict."""
    each = [(one.agent_name, one.cheapest) for one in agents if one.cheapest]
    return _advice([SetUp(tier.id, s, name) for name, (tier, s) in each], "agent")


def set_ups(experiment: ExperimentSummary) -> list[SetUp]:
    """All subtests that have a verdict."""
    return [
        SetUp(tier.id, subtest)
        for tier in experiment.tiers
        for subtest in tier.subtests
        if subtest.figures.judged
    ]


def _advice(all: Sequence[SetUp], among: str) -> Advice | None:
    if not all:
        return None
    chosen = min(all, key=lambda set_up: rank(set_up.subtest))
    others = [set_up for set_up in all if set_up is not chosen]
    base = Sample.of(chosen.name, chosen.figures)
    pairs = compare([(Sample.of(other.name, other.figures), base) for other in others])
    told = [
        [Told(*both) for both in zip(contrasts, corrected(contrasts), strict=True)]
        for contrasts in (
            [pair.score for pair in pairs],
            [pair.pass_rate for pair in pairs],
            [pair.cost for pair in pairs],
        )
    ]
    return Advice(chosen, tuple(map(Rival, others, pairs, *told)), among)
